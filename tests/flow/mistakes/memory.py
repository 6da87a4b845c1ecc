"""What is carried from step to step"""

from __future__ import annotations

from gymnasium.spaces import Box, Dict
from torch import nn

from keywork import specs
from keywork.buffers import ReplayBuffer
from keywork.collectors import Collector
from keywork.distributions import Categorical
from keywork.flow import Flow, Part
from keywork.modules import (
    Actor,
    GRUModule,
    OrnsteinUhlenbeckProcessModule,
    ProbabilisticActor,
    QValueActor,
    ValueOperator,
)
from keywork.nn import TensorDictModule, TensorDictModuleBase, TensorDictSequential
from keywork.objectives import GAE, DQNLoss
from keywork.specs import Bounded, Composite, Unbounded
from keywork.train import PPO, PPOConfig


def _policy(memory, features=16):
    head = TensorDictModule(nn.Linear(features, 2), ["features"], ["logits"])
    return ProbabilisticActor([memory, head], ["logits"], distribution_class=Categorical, return_log_prob=True)


def _gru(**keys):
    return GRUModule(4, 16, **(keys or {"in_key": "observation", "out_key": "features"}))


def _critic(memory):
    return TensorDictSequential(memory, ValueOperator(nn.Linear(16, 1), [memory.out_keys[0]]))


class _Trace(TensorDictModuleBase):
    """A running mean of the observation, which says what it carries, or does not."""

    def __init__(self, carried_specs=None):
        super().__init__(in_keys=["observation", "trace"], out_keys=["features", ("next", "trace")], carries=["trace"])
        self.carried_specs = carried_specs or Composite({})

    def compute(self, x, trace):
        now = 0.9 * trace + 0.1 * x
        return now, now


def is_init_missing(env):
    """A memory reads 'is_init', and nobody says where episodes begin [recurrent, discrete]"""
    return Flow({"observation": Unbounded(4)}, _policy(_gru()))


def is_init_missing_for_noise(env):
    """Noise with a memory reads 'is_init' as well [recurrent, continuous]"""
    actor = Actor(nn.Sequential(nn.Linear(4, 1), nn.Tanh()))
    return Flow({"observation": Unbounded(4)}, actor, OrnsteinUhlenbeckProcessModule(Bounded(-1.0, 1.0, (1,))))


def is_init_of_another_name(env):
    """A memory looks for the beginnings under 'is_first' [recurrent, discrete]"""
    gru = _gru(in_keys=["observation", "recurrent_state", "is_first"], out_key="features")
    return Flow(env(4, 2), _policy(gru))


def state_that_nobody_begins(env):
    """A module of one's own carries a state, and does not say how it begins [recurrent, discrete]"""
    return Flow(env(4, 2), _policy(_Trace(), 4))


def state_that_nobody_begins_in_a_collector(env):
    """A collector is given a policy that does not say how its state begins [recurrent, discrete]"""
    return Collector(env(4, 2), _policy(_Trace(), 4), frames_per_batch=8)


def state_that_nobody_writes(env):
    """A part carries a state, and does not write the next one [recurrent]"""
    return Flow(Part("tracker", "policy", ("observation", "trace"), ("action",), carries=("trace",)))


def two_memories_one_state(env):
    """The memories of actor and critic have one state key [recurrent, discrete]"""
    critic = _critic(_gru(in_key="observation", out_key="judged"))
    return Flow(env(4, 2), _policy(_gru()), critic)


def two_memories_one_state_in_an_algorithm(env):
    """PPO is given an actor and a critic whose memories have one state key [recurrent, discrete]"""
    return PPO(env(4, 2), actor=_policy(_gru()), critic=_critic(_gru(in_key="observation", out_key="judged")))


def memory_in_a_sequential_twice(env):
    """Two memories one after the other have one state key: the state of the first is lost [recurrent]"""
    return TensorDictSequential(
        _gru(in_key="observation", out_key="hidden"), GRUModule(16, 16, in_key="hidden", out_key="features")
    )


def state_that_the_environment_shows(env):
    """The environment shows an entry with the name of the state [recurrent, dict observations, discrete]"""
    shown = Dict(observation=Box(0, 1, (4,)), recurrent_state=Box(0, 1, (1, 16)))
    return Collector(env(shown, 2), _policy(_gru()), frames_per_batch=8)


def features_of_the_step_after(env):
    """GAE's critic reads what the actor's memory writes, also of the step after [recurrent, shared trunk, discrete]"""
    critic = ValueOperator(nn.Linear(16, 1), ["features"])
    return Flow(env(4, 2), _policy(_gru()), GAE(0.99, 0.95, critic))


def state_in_place_of_features(env):
    """The head reads the state [layers, hidden], not the features [recurrent, discrete]"""
    head = TensorDictModule(nn.Linear(16, 2), [("next", "recurrent_state")], ["logits"])
    return Flow(env(4, 2), ProbabilisticActor([_gru(), head], ["logits"], distribution_class=Categorical))


def both_directions_in_time(env):
    """A memory in both directions is to act, where the future is not known [recurrent, discrete]"""
    gru = GRUModule(4, 16, in_key="observation", out_key="features", bidirectional=True)
    return Flow(env(4, 2), _policy(gru, 32))


def single_steps_from_a_buffer(env):
    """A policy with a memory is to learn from a buffer that draws each step alone [recurrent, discrete]"""
    policy = QValueActor(
        TensorDictSequential(_gru(), TensorDictModule(nn.Linear(16, 2), ["features"], ["action_value"])),
        spec=specs.Categorical(2),
    )
    return Flow(env(4, 2), policy, ReplayBuffer(64, batch_size=8), DQNLoss(policy))


def rows_longer_than_a_minibatch(env):
    """A minibatch of PPO holds not one whole row of 32 steps [recurrent, discrete]"""
    config = PPOConfig(num_steps=32, minibatch_size=16)
    return PPO(env(4, 2), config, actor=_policy(_gru()), critic=ValueOperator(nn.Linear(4, 1)))


def batch_of_a_broken_number_of_rows(env):
    """A batch of 10 frames is to come from 4 environments [feed-forward, discrete]"""
    return Collector(env(4, 2, num_envs=4), None, frames_per_batch=10)


def state_of_another_width(env):
    """A module says that its state has 3 numbers, and works on 4 [recurrent, discrete]"""
    return Flow(env(4, 2), _policy(_Trace(Composite({"trace": Unbounded(3)})), 4))


def state_that_changes_its_shape(env):
    """The state that is handed on has 3 numbers, the one that is taken 4 [recurrent, discrete]"""

    class Shrinking(_Trace):
        def compute(self, x, trace):
            return x, trace[..., :3]

    return Flow(env(4, 2), _policy(Shrinking(Composite({"trace": Unbounded(4)})), 4))


def state_that_changes_its_type(env):
    """The state that is handed on is of whole numbers, the one that is taken of floats [recurrent, discrete]"""

    class Counting(_Trace):
        def compute(self, x, trace):
            return x, trace.long() + 1

    return Flow(env(4, 2), _policy(Counting(Composite({"trace": Unbounded(4)})), 4))
