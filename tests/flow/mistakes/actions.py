"""Actions: their form, their range, their distribution, their mask"""

from __future__ import annotations

import torch
from gymnasium.spaces import Box, Dict, MultiBinary, MultiDiscrete
from torch import nn

from keywork import specs
from keywork.collectors import Collector
from keywork.distributions import (
    Bernoulli,
    Categorical,
    IndependentNormal,
    MaskedCategorical,
    MultiCategorical,
    NormalParamExtractor,
    OneHotCategorical,
    TanhNormal,
)
from keywork.flow import Flow
from keywork.modules import (
    Actor,
    AdditiveGaussianModule,
    DistributionalQValueActor,
    EGreedyModule,
    OrnsteinUhlenbeckProcessModule,
    ProbabilisticActor,
    QValueActor,
    QValueModule,
    TanhModule,
    gSDEModule,
)
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModule, TensorDictSequential
from keywork.train import PPO


def _choice(outputs, distribution=Categorical, **options):
    net = TensorDictModule(nn.Linear(4, outputs), ["observation"], ["logits"])
    return ProbabilisticActor(net, ["logits"], distribution_class=distribution, **options)


def _numbers(outputs, distribution=TanhNormal, **options):
    net = nn.Sequential(nn.Linear(4, 2 * outputs), NormalParamExtractor())
    module = TensorDictModule(net, ["observation"], ["loc", "scale"])
    return ProbabilisticActor(module, ["loc", "scale"], distribution_class=distribution, **options)


def _masked_env(env, choices, **mask):
    return env(Dict(observation=Box(0, 1, (4,)), mask=Box(0, 1, (choices,), **mask)), 3)


def scores_as_the_action(env):
    """A layer's scores are the action, where the environment takes an index [feed-forward, discrete]"""
    return Flow(env(4, 2), Actor(nn.Linear(4, 2)))


def one_hot_for_an_index(env):
    """The policy draws one-hot vectors, the environment takes an index [feed-forward, discrete]"""
    return Flow(env(4, 3), _choice(3, OneHotCategorical))


def index_for_a_one_hot(env):
    """The policy draws an index, the environment takes one-hot vectors [feed-forward, discrete]"""
    return Flow(env(4, 3, one_hot=True), _choice(3))


def number_for_an_index(env):
    """The policy draws a number, the environment takes an index [feed-forward, discrete]"""
    return Flow(env(4, 2), _numbers(1))


def index_for_a_number(env):
    """The policy draws an index, the environment takes a number [feed-forward, continuous]"""
    return Flow(env(4, Box(-1, 1, (1,))), _choice(3))


def too_many_numbers(env):
    """The policy has three outputs for one action dimension [feed-forward, continuous]"""
    return Flow(env(4, Box(-1, 1, (1,))), _numbers(3))


def last_dimension_missing(env):
    """The action has lost its last dimension of one [feed-forward, continuous]"""
    actor = Actor(nn.Sequential(nn.Linear(4, 1), nn.Tanh(), nn.Flatten(-2)))
    return Flow(env(4, Box(-1, 1, (1,))), actor)


def one_dimension_too_many(env):
    """An index has a last dimension of one [feed-forward, discrete]"""
    best = TensorDictModule(lambda x: x[..., :2].argmax(-1, keepdim=True), ["observation"], ["action"])
    return Flow(env(4, 2), best)


def more_choices_than_there_are(env):
    """The policy chooses among 3, the environment has 2 [feed-forward, discrete]"""
    return Flow(env(4, 2), _choice(3))


def fewer_choices_than_there_are(env):
    """The policy chooses among 2, the environment has 4 [feed-forward, discrete]"""
    return Flow(env(4, 4), _choice(2))


def wider_than_the_environment(env):
    """TanhNormal without bounds ends at -1 and 1; the environment's are narrower [feed-forward, continuous]"""
    return Flow(env(4, Box(-0.5, 0.5, (1,))), _numbers(1))


def squashed_into_other_bounds(env):
    """A policy is squashed into [-2, 2], the environment takes [-1, 1] [feed-forward, continuous]"""
    squashed = TensorDictModule(nn.Linear(4, 1), ["observation"], ["raw"])
    bounds = specs.Bounded(-2.0, 2.0, (1,))
    return Flow(env(4, Box(-1, 1, (1,))), TensorDictSequential(squashed, TanhModule(["raw"], ["action"], spec=bounds)))


def unbounded_distribution(env):
    """A normal has no bounds, the environment has, and does not clip [feed-forward, continuous]"""
    return Flow(env(4, Box(-1, 1, (1,))), _numbers(1, IndependentNormal))


def wrong_number_of_q_values(env):
    """The network has 3 values, the spec 2 choices [feed-forward, discrete]"""
    return Flow(env(4, 2), QValueActor(nn.Linear(4, 3), spec=specs.Categorical(2)))


def q_values_of_another_environment(env):
    """The policy was built for 3 choices, the environment has 2 [feed-forward, discrete]"""
    return Flow(env(4, 2), QValueActor(nn.Linear(4, 3), spec=specs.Categorical(3)))


def q_values_in_the_wrong_form(env):
    """The best choice comes as a one-hot vector, the environment takes an index [feed-forward, discrete]"""
    return Flow(env(4, 2), QValueActor(nn.Linear(4, 2), spec=specs.OneHot(2)))


def q_values_of_numbers(env):
    """A QValueActor is given a spec of numbers [feed-forward, continuous]"""
    return QValueActor(nn.Linear(4, 1), spec=specs.Bounded(-1.0, 1.0, (1,)))


def atoms_and_choices_swapped(env):
    """The network has [choices, atoms], C51 takes [atoms, choices] [feed-forward, discrete]"""
    net = nn.Sequential(nn.Linear(4, 102), nn.Unflatten(-1, (2, 51)))
    return Flow(env(4, 2), DistributionalQValueActor(net, torch.linspace(-10, 10, 51), spec=specs.Categorical(2)))


def logits_of_several_choices(env):
    """A choice of 3 and one of 4 take 7 scores, the network has 6 [multi-head, discrete]"""
    policy = _choice(6, MultiCategorical, distribution_kwargs={"nvec": [3, 4]})
    return Flow(env(4, MultiDiscrete([3, 4])), policy)


def bits_of_another_number(env):
    """The environment takes 5 bits, the policy draws 4 [multi-head, discrete]"""
    return Flow(env(4, MultiBinary(5)), _choice(4, Bernoulli))


def argument_that_is_none(env):
    """A TanhNormal is given logits [feed-forward, continuous]"""
    return _choice(2, TanhNormal)


def argument_that_is_missing(env):
    """A TanhNormal is given no scale [feed-forward, continuous]"""
    net = TensorDictModule(nn.Linear(4, 1), ["observation"], ["loc"])
    return ProbabilisticActor(net, ["loc"], distribution_class=TanhNormal)


def parameters_that_nobody_writes(env):
    """The distribution reads 'loc', the network writes 'mean' [feed-forward, continuous]"""
    net = nn.Sequential(nn.Linear(4, 2), NormalParamExtractor())
    actor = ProbabilisticActor(
        TensorDictModule(net, ["observation"], ["mean", "scale"]), ["loc", "scale"], distribution_class=TanhNormal
    )
    return Flow(env(4, Box(-1, 1, (1,))), actor)


def several_actions_one_forgotten(env):
    """Of two named actions one has no distribution [multi-head, continuous]"""
    net = TensorDictModule(nn.Linear(4, 3), ["observation"], ["logits"])
    return ProbabilisticActor(
        net,
        {"steer": {"loc": "loc", "scale": "scale"}, "gear": {"logits": "logits"}},
        distribution_class={"gear": Categorical},
    )


def mask_of_another_size(env):
    """The mask is for 4 choices, the policy has 3 [masked, dict observations, discrete]"""
    net = TensorDictModule(nn.Linear(4, 3), ["observation"], ["logits"])
    actor = ProbabilisticActor(net, ["logits", "mask"], distribution_class=MaskedCategorical)
    return Flow(_masked_env(env, 4, dtype="int8"), actor)


def mask_of_floats(env):
    """The mask is of floats, where 0 could allow or forbid [masked, dict observations, discrete]"""
    net = TensorDictModule(nn.Linear(4, 3), ["observation"], ["logits"])
    actor = ProbabilisticActor(net, ["logits", "mask"], distribution_class=MaskedCategorical)
    return Flow(_masked_env(env, 3), actor)


def mask_of_q_values(env):
    """The mask of a DQN is for 4 choices, the network has 3 values [masked, dict observations, discrete]"""
    values = TensorDictModule(nn.Linear(4, 3), ["observation"], ["action_value"])
    greedy = QValueModule(spec=specs.Categorical(3), action_mask_key="mask")
    return Flow(_masked_env(env, 4, dtype="int8"), values, greedy)


def mask_of_exploration(env):
    """The mask of the exploration is for 4 choices, the policy has 3 [masked, dict observations, discrete]"""
    explore = EGreedyModule(specs.Categorical(3), action_mask_key="mask")
    actor = QValueActor(nn.Linear(4, 3), spec=specs.Categorical(3))
    return Flow(_masked_env(env, 4, dtype="int8"), actor, explore)


def exploration_among_other_choices(env):
    """ε-greedy draws among 3, the environment has 2 [feed-forward, discrete]"""
    actor = QValueActor(nn.Linear(4, 2), spec=specs.Categorical(2))
    return Flow(env(4, 2), actor, EGreedyModule(specs.Categorical(3)))


def noise_of_another_shape(env):
    """The noise is for 2 numbers, the action has 1 [feed-forward, continuous]"""
    actor = Actor(nn.Sequential(nn.Linear(4, 1), nn.Tanh()))
    return Flow(env(4, Box(-1, 1, (1,))), actor, AdditiveGaussianModule(specs.Bounded(-1.0, 1.0, (2,))))


def noise_that_leaves_the_bounds(env):
    """Noise keeps to the bounds that it was given, not to the environment's [feed-forward, continuous]"""
    actor = Actor(nn.Sequential(nn.Linear(4, 1), nn.Tanh()))
    return Flow(env(4, Box(-1, 1, (1,))), actor, AdditiveGaussianModule(specs.Bounded(-2.0, 2.0, (1,))))


def noise_with_a_memory_of_another_shape(env):
    """Ornstein-Uhlenbeck noise is for 2 numbers, the action has 1 [recurrent, continuous]"""
    actor = Actor(nn.Sequential(nn.Linear(4, 1), nn.Tanh()))
    return Flow(env(4, Box(-1, 1, (1,))), actor, OrnsteinUhlenbeckProcessModule(specs.Bounded(-1.0, 1.0, (2,))))


def exploration_of_another_state(env):
    """State-dependent noise is for 3 numbers of state, there are 4 [recurrent, continuous]"""
    mean = TensorDictModule(nn.Linear(4, 1), ["observation"], ["loc"])
    policy = ProbabilisticTensorDictSequential(mean, gSDEModule(1, 3, return_log_prob=True))
    return Flow(env(4, Box(-1, 1, (1,)), clip_actions=True), policy)


def exploration_of_another_action(env):
    """State-dependent noise is for 2 numbers of action, the policy has 1 [recurrent, continuous]"""
    mean = TensorDictModule(nn.Linear(4, 1), ["observation"], ["loc"])
    policy = ProbabilisticTensorDictSequential(mean, gSDEModule(2, 4, return_log_prob=True))
    return Flow(env(4, Box(-1, 1, (1,)), clip_actions=True), policy)


def stale_log_probability(env):
    """Noise changes an action whose log-probability is stored [feed-forward, continuous]"""
    actor = _numbers(1, return_log_prob=True)
    return Flow(env(4, Box(-1, 1, (1,))), actor, AdditiveGaussianModule(specs.Bounded(-1.0, 1.0, (1,))))


def stale_log_probability_in_a_collector(env):
    """A collector's policy changes a choice after its log-probability is stored [feed-forward, discrete]"""
    policy = TensorDictSequential(_choice(2, return_log_prob=True), EGreedyModule(specs.Categorical(2)))
    return Collector(env(4, 2), policy, frames_per_batch=8)


def algorithm_for_other_actions(env):
    """PPO is given an actor for another environment [feed-forward, discrete]"""
    return PPO(env(4, 2), actor=_choice(3, return_log_prob=True))


def collector_with_too_many_numbers(env):
    """A collector is given a policy with three outputs for one action dimension [feed-forward, continuous]"""
    return Collector(env(4, Box(-1, 1, (1,))), _numbers(3), frames_per_batch=8)


def keyword_that_is_none(env):
    """A keyword argument of the distribution is misspelt [feed-forward, continuous]"""
    return _numbers(1, distribution_kwargs={"lo": -2.0, "high": 2.0})


def exploration_before_the_policy(env):
    """ε-greedy comes before the policy that it is to change [feed-forward, discrete]"""
    actor = QValueActor(nn.Linear(4, 2), spec=specs.Categorical(2))
    return Flow(env(4, 2), EGreedyModule(specs.Categorical(2)), actor)


def exploration_in_another_form(env):
    """ε-greedy expects one-hot vectors, the policy gives an index [feed-forward, discrete]"""
    actor = QValueActor(nn.Linear(4, 3), spec=specs.Categorical(3))
    return Flow(env(4, 3), actor, EGreedyModule(specs.OneHot(3)))


def noise_on_an_index(env):
    """Gaussian noise is given the spec of a choice [feed-forward, discrete]"""
    return AdditiveGaussianModule(specs.Categorical(3))


def three_choices_where_there_are_two(env):
    """The policy makes three choices, the environment takes two [multi-head, discrete]"""
    policy = _choice(9, MultiCategorical, distribution_kwargs={"nvec": [3, 3, 3]})
    return Flow(env(4, MultiDiscrete([3, 4])), policy)


def choices_in_another_order(env):
    """The policy has choices among 4 and 3, the environment among 3 and 4 [multi-head, discrete]"""
    return Flow(env(4, MultiDiscrete([3, 4])), QValueActor(nn.Linear(4, 7), spec=specs.MultiDiscrete([4, 3])))
