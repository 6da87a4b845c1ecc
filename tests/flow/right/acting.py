"""Policies that act, with what stands beside them: each takes ``world(observation, action)``, an environment"""

from __future__ import annotations

import copy

import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Tuple
from torch import nn

from keywork import specs
from keywork.distributions import Delta, IndependentNormal, NormalParamExtractor, OneHotOrdinal, TanhDelta, TanhNormal
from keywork.flow import Part
from keywork.modules import (
    Actor,
    ActorCriticOperator,
    ActorCriticWrapper,
    ActorValueOperator,
    AdditiveGaussianModule,
    DistributionalQValueActor,
    EGreedyModule,
    EnsembleModule,
    GRUModule,
    LSTMModule,
    NetworkConfig,
    NoisyLinear,
    OrnsteinUhlenbeckProcessModule,
    ProbabilisticActor,
    QValueActor,
    QValueModule,
    RandomPolicy,
    TanhModule,
    ValueOperator,
    WrapModule,
)
from keywork.nets import MLP, DuelingMLP
from keywork.nn import TensorDictModule, TensorDictModuleBase, TensorDictSequential

VECTOR = Box(-1.0, 1.0, (4,))
IMAGE = Box(0, 255, (36, 36, 3), dtype="uint8")
BOX = Box(-2.0, 2.0, (2,))


def _flat():
    return TensorDictModule(nn.Sequential(nn.Linear(4, 16), nn.Tanh()), ["observation"], ["features"])


def _tanh_actor():
    return Actor(nn.Sequential(nn.Linear(4, 2), nn.Tanh()), spec=specs.Bounded(-1.0, 1.0, (2,)))


def masked_q(world):
    values = TensorDictModule(nn.Linear(4, 3), ["observation"], ["action_value"])
    greedy = QValueModule(spec=specs.Categorical(3), action_mask_key="mask")
    policy = TensorDictSequential(values, greedy, EGreedyModule(specs.Categorical(3), action_mask_key="mask"))
    return world(Dict(observation=VECTOR, mask=MultiBinary(3)), Discrete(3)), policy


def c51(world):
    net = nn.Sequential(nn.Linear(4, 33), nn.Unflatten(-1, (11, 3)))
    return world(VECTOR, Discrete(3)), DistributionalQValueActor(
        net, torch.linspace(-1, 1, 11), spec=specs.Categorical(3)
    )


def noisy(world):
    return world(VECTOR, Discrete(3)), QValueActor(NoisyLinear(4, 3), spec=specs.Categorical(3))


def dueling(world):
    return world(VECTOR, Discrete(3)), QValueActor(DuelingMLP(4, 3), spec=specs.Categorical(3))


def recurrent_q(world):
    gru = GRUModule(4, 16, in_key="observation", out_key="features")
    actor = QValueActor(nn.Linear(16, 3), in_keys=["features"], spec=specs.Categorical(3))
    return world(VECTOR, Discrete(3)), TensorDictSequential(gru, actor, EGreedyModule(specs.Categorical(3)))


def q_from_specs(world):
    env = world(Dict(camera=IMAGE, speed=Box(-1, 1, (2,)), gear=Discrete(3)), Discrete(3))
    return env, QValueActor.from_spec(env.observation_spec, env.action_spec, config=NetworkConfig(num_cells=(8,)))


def plain_actor(world):
    return world(VECTOR, BOX), _tanh_actor()


def squashed_by_a_module(world):
    raw = TensorDictModule(nn.Linear(4, 2), ["observation"], ["raw"])
    return world(VECTOR, BOX), TensorDictSequential(
        raw, TanhModule(["raw"], ["action"], spec=specs.Bounded(-2.0, 2.0, (2,)))
    )


def gaussian_noise(world):
    return world(VECTOR, BOX), TensorDictSequential(
        _tanh_actor(), AdditiveGaussianModule(specs.Bounded(-2.0, 2.0, (2,)))
    )


def gaussian_noise_without_a_spec(world):
    return world(VECTOR, BOX), TensorDictSequential(_tanh_actor(), AdditiveGaussianModule())


def correlated_noise(world):
    return world(VECTOR, BOX), TensorDictSequential(_tanh_actor(), OrnsteinUhlenbeckProcessModule())


def correlated_noise_of_a_memory(world):
    gru = GRUModule(4, 16, in_key="observation", out_key="features")
    actor = Actor(nn.Sequential(nn.Linear(16, 2), nn.Tanh()), ["features"])
    noise = OrnsteinUhlenbeckProcessModule(specs.Bounded(-2.0, 2.0, (2,)))
    return world(VECTOR, BOX), TensorDictSequential(gru, actor, noise)


def noise_after_a_distribution_without_log_prob(world):
    net = nn.Sequential(nn.Linear(4, 4), NormalParamExtractor())
    params = TensorDictModule(net, ["observation"], ["loc", "scale"])
    spec = specs.Bounded(-2.0, 2.0, (2,))
    actor = ProbabilisticActor(params, ["loc", "scale"], distribution_class=TanhNormal, spec=spec)
    return world(VECTOR, BOX), TensorDictSequential(actor, AdditiveGaussianModule(spec))


def points(world):
    param = TensorDictModule(nn.Linear(4, 2), ["observation"], ["param"])
    spec = specs.Bounded(-2.0, 2.0, (2,))
    return world(VECTOR, BOX), ProbabilisticActor(param, ["param"], distribution_class=TanhDelta, spec=spec)


def points_that_are_clipped(world):
    param = TensorDictModule(nn.Linear(4, 2), ["observation"], ["param"])
    return world(VECTOR, BOX, clip_actions=True), ProbabilisticActor(param, ["param"], distribution_class=Delta)


def random_actions(world):
    return world(VECTOR, BOX), RandomPolicy()


def ordered_vectors(world):
    scores = TensorDictModule(nn.Linear(4, 3), ["observation"], ["scores"])
    return world(VECTOR, Discrete(3), one_hot=True), ProbabilisticActor(
        scores, ["scores"], distribution_class=OneHotOrdinal
    )


def twin_critics(world):
    critic = ValueOperator(MLP(6, 1, num_cells=[8]), ["observation", "action"])
    return world(VECTOR, BOX), _tanh_actor(), EnsembleModule(critic, num_copies=2)


def critic_of_the_action_on_a_trunk(world):
    actor = Actor(nn.Sequential(nn.Linear(16, 2), nn.Tanh()), ["features"])
    both = ActorCriticOperator(_flat(), actor, ValueOperator(MLP(18, 1, num_cells=[8]), ["features", "action"]))
    return world(VECTOR, BOX), both


def actor_beside_critic(world):
    return world(VECTOR, BOX), ActorCriticWrapper(_tanh_actor(), ValueOperator(nn.Linear(4, 1)))


def value_on_a_trunk(world):
    actor = Actor(nn.Sequential(nn.Linear(16, 2), nn.Tanh()), ["features"])
    return world(VECTOR, BOX), ActorValueOperator(_flat(), actor, ValueOperator(nn.Linear(16, 1), ["features"]))


def normaliser_first(world):
    normaliser = TensorDictModule(lambda x: (x - 0.5) / 2, ["observation"], ["observation"])
    return world(VECTOR, BOX), TensorDictSequential(normaliser, _tanh_actor())


def function_over_a_tensordict(world):
    flip = WrapModule(lambda td: td.set("flipped", -td["observation"]), in_keys=["observation"], out_keys=["flipped"])
    actor = Actor(nn.Sequential(nn.Linear(4, 2), nn.Tanh()), ["flipped"])
    return world(VECTOR, BOX), TensorDictSequential(flip, actor)


def other_names(world):
    return world(Dict(pixels=VECTOR), BOX), _tanh_actor().renamed({"observation": "pixels"})


def another_head_in_its_place(world):
    chain = TensorDictSequential({"trunk": _flat(), "head": Actor(nn.Linear(16, 3), ["features"])})
    return world(VECTOR, BOX), chain.replaced("head", Actor(nn.Sequential(nn.Linear(16, 2), nn.Tanh()), ["features"]))


def outputs_that_are_selected(world):
    actor = Actor(nn.Sequential(nn.Linear(16, 2), nn.Tanh()), ["features"])
    return world(VECTOR, BOX), TensorDictSequential(_flat(), actor).select_out_keys("action")


def attention_along_a_dimension_of_its_own(world):
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attend = nn.MultiheadAttention(1, 1, batch_first=True)

        def forward(self, x):
            parts = x.reshape(-1, 4, 1)
            return self.attend(parts, parts, parts)[0].tanh()[:, :2, 0].reshape(*x.shape[:-1], 2)

    return world(VECTOR, BOX), TensorDictModule(Attention(), ["observation"], ["action"])


def normalised_layers_and_dropout(world):
    net = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Dropout(0.1), nn.Linear(8, 2), nn.Tanh())
    return world(VECTOR, BOX), Actor(net)


def batch_norm(world):
    return world(VECTOR, BOX), Actor(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2), nn.Tanh()))


def observations_in_double_precision(world):
    return world(Box(-1, 1, (4,), dtype="float64"), BOX), _tanh_actor()


def network_in_double_precision(world):
    cast = TensorDictModule(lambda x: x.double(), ["observation"], ["exact"])
    actor = Actor(nn.Sequential(nn.Linear(4, 2), nn.Tanh()).double(), ["exact"])
    return world(VECTOR, BOX), TensorDictSequential(cast, actor)


def stacked_frames(world):
    return world(Box(-1, 1, (3, 4)), BOX), Actor(nn.Sequential(nn.Flatten(-2), nn.Linear(12, 2), nn.Tanh()))


def one_batch_dimension_is_all_it_knows(world):
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(12, 2)

        def forward(self, x):
            return self.layer(x.view(x.size(0), -1)).tanh()

    return world(Box(-1, 1, (3, 4)), BOX), TensorDictModule(Flat(), ["observation"], ["action"])


def convolution_without_its_wrapper(world):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2), nn.Tanh())
    return world(Box(-1, 1, (3, 12, 12)), BOX), TensorDictModule(net, ["observation"], ["action"])


def convolution_of_a_signal(world):
    net = nn.Sequential(nn.Conv1d(3, 4, 2), nn.ReLU(), nn.Flatten(-2), nn.LazyLinear(2), nn.Tanh())
    return world(Box(-1, 1, (3, 8)), BOX), Actor(net)


def function_that_looks_at_values(world):
    def careful(x):
        if x.abs().max() > 1e3:
            raise ValueError("too large")
        return x[..., :2].clamp(-1, 1)

    return world(VECTOR, BOX), TensorDictModule(careful, ["observation"], ["action"])


def function_by_way_of_numpy(world):
    return world(VECTOR, BOX), TensorDictModule(
        lambda x: torch.from_numpy(x.numpy()[..., :2].copy()), ["observation"], ["action"]
    )


def rule_for_an_index(world):
    return world(VECTOR, Discrete(2)), TensorDictModule(lambda x: (x[..., 0] > 0).long(), ["observation"], ["action"])


def rule_for_a_vector(world):
    rule = TensorDictModule(lambda x: nn.functional.one_hot(x[..., :3].argmax(-1), 3), ["observation"], ["action"])
    return world(VECTOR, Discrete(3), one_hot=True), rule


def temperature_that_may_be_absent(world):
    def scaled(x, temperature=None):
        return x[..., :2].tanh() * (1 if temperature is None else temperature)

    module = TensorDictModule(scaled, ["observation", "temperature"], ["action"], optional_keys=["temperature"])
    return world(VECTOR, BOX), module


def mean_of_an_ensemble(world):
    several = EnsembleModule(TensorDictModule(nn.Linear(4, 2), ["observation"], ["raw"]), num_copies=3)
    return world(VECTOR, BOX), TensorDictSequential(
        several, TensorDictModule(lambda raw: raw.mean(-2).tanh(), ["raw"], ["action"])
    )


def model_of_the_reward(world):
    model = TensorDictModule(MLP(6, 1), ["observation", "action"], ["predicted_reward"])
    return world(VECTOR, BOX), TensorDictSequential(_tanh_actor(), model)


def action_that_is_scaled(world):
    scale = TensorDictModule(lambda action: 2 * action, ["action"], ["action"])
    return world(VECTOR, BOX), TensorDictSequential(_tanh_actor(), scale)


def score_of_the_action_before_it_is_squashed(world):
    net = nn.Sequential(nn.Linear(4, 4), NormalParamExtractor())
    raw = ProbabilisticActor(
        TensorDictModule(net, ["observation"], ["loc", "scale"]),
        ["loc", "scale"],
        out_keys=["raw"],
        distribution_class=IndependentNormal,
        return_log_prob=True,
    )
    return world(VECTOR, BOX), TensorDictSequential(raw, TensorDictModule(torch.tanh, ["raw"], ["action"]))


def projected_memory_of_two_layers(world):
    lstm = LSTMModule(4, 16, in_key="observation", out_key="features", num_layers=2, proj_size=8)
    return world(VECTOR, BOX), TensorDictSequential(
        lstm, Actor(nn.Sequential(nn.Linear(8, 2), nn.Tanh()), ["features"])
    )


def memory_of_ones_own(world):
    class Cell(TensorDictModuleBase):
        def __init__(self):
            super().__init__(["observation", "h", "is_init"], ["features", ("next", "h")], carries=["h"])
            self.cell = nn.GRUCell(4, 8)
            self.carried_specs = specs.Composite({"h": specs.Unbounded(8)})

        def compute(self, x, h, is_init):
            before = torch.where(is_init, torch.zeros_like(h), h)
            after = self.cell(x.reshape(-1, 4), before.reshape(-1, 8)).reshape(h.shape)
            return after, after

    return world(VECTOR, BOX), TensorDictSequential(
        Cell(), Actor(nn.Sequential(nn.Linear(8, 2), nn.Tanh()), ["features"])
    )


def tuple_of_observations(world):
    policy = TensorDictModule(lambda x, y: (x[..., :2] + y).tanh(), ["0", "1"], ["action"])
    return world(Tuple((VECTOR, Box(-1, 1, (2,)))), BOX), policy


def dict_in_a_dict(world):
    shown = Dict(robot=Dict(pose=VECTOR), goal=Box(-1, 1, (2,)))
    net = TensorDictModule(MLP(6, 2), [("robot", "pose"), "goal"], ["raw"])
    return world(shown, BOX), TensorDictSequential(net, TensorDictModule(torch.tanh, ["raw"], ["action"]))


def actions_in_rows(world):
    net = nn.Sequential(nn.Linear(4, 6), nn.Unflatten(-1, (2, 3)), nn.Tanh())
    return world(VECTOR, Box(-1, 1, (2, 3))), Actor(net)


def whole_numbers(world):
    policy = TensorDictModule(lambda x: x[..., :2].abs().long(), ["observation"], ["action"])
    return world(VECTOR, Box(0, 5, (2,), dtype="int64")), policy


def bounds_on_one_side(world):
    low, high = np.array([-np.inf, 0], np.float32), np.array([np.inf, 1], np.float32)
    return world(VECTOR, Box(low, high), clip_actions=True), Actor(nn.Linear(4, 2))


def no_bounds(world):
    net = nn.Sequential(nn.Linear(4, 4), NormalParamExtractor())
    params = TensorDictModule(net, ["observation"], ["loc", "scale"])
    actor = ProbabilisticActor(params, ["loc", "scale"], distribution_class=IndependentNormal)
    return world(VECTOR, Box(-np.inf, np.inf, (2,))), actor


def bounds_of_each_dimension(world):
    env = world(VECTOR, Box(np.array([-1, 0], np.float32), np.array([1, 0.3], np.float32)))
    net = nn.Sequential(nn.Linear(4, 4), NormalParamExtractor())
    params = TensorDictModule(net, ["observation"], ["loc", "scale"])
    return env, ProbabilisticActor(params, ["loc", "scale"], distribution_class=TanhNormal, spec=env.action_spec)


def distribution_of_torch(world):
    net = TensorDictModule(nn.Sequential(nn.Linear(4, 2), nn.Softplus()), ["observation"], ["concentration1"])
    other = TensorDictModule(nn.Sequential(nn.Linear(4, 2), nn.Softplus()), ["observation"], ["concentration0"])
    keys = ["concentration1", "concentration0"]
    return world(VECTOR, Box(0, 1, (2,))), ProbabilisticActor(
        [net, other], keys, distribution_class=torch.distributions.Beta
    )


def choice_of_torch(world):
    net = TensorDictModule(nn.Linear(4, 3), ["observation"], ["logits"])
    return world(VECTOR, Discrete(3)), ProbabilisticActor(
        net, ["logits"], distribution_class=torch.distributions.Categorical
    )


def target_network(world):
    actor = QValueActor(nn.Linear(4, 3), spec=specs.Categorical(3))
    names = {"observation": ("next", "observation"), "action_value": ("next", "target_value")}
    target = copy.deepcopy(actor[0]).requires_grad_(False).renamed(names)
    loss = Part("DQN", "loss", ("action_value", ("next", "target_value"), ("next", "reward")), ("loss",))
    return world(VECTOR, Discrete(3)), actor, target, loss


def critics_after_a_buffer(world):
    spec = specs.Bounded(-2.0, 2.0, (2,))
    net = nn.Sequential(nn.Linear(4, 4), NormalParamExtractor())
    params = TensorDictModule(net, ["observation"], ["loc", "scale"])
    actor = ProbabilisticActor(params, ["loc", "scale"], distribution_class=TanhNormal, spec=spec, return_log_prob=True)
    twins = EnsembleModule(ValueOperator(MLP(6, 1), ["observation", "action"]), num_copies=2)
    reads = ("state_action_value", "sample_log_prob", ("next", "reward"))
    return world(VECTOR, BOX), actor, Part("replay", "buffer"), twins, Part("SAC", "loss", reads, ("loss_actor",))
