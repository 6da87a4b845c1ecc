"""Pipelines that are right have no finding: each is built, collects data, and is learned from."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space
from torch import nn

from keywork import specs
from keywork.collectors import Collector
from keywork.distributions import (
    AddStateIndependentNormalScale,
    Bernoulli,
    Categorical,
    Delta,
    IndependentNormal,
    MaskedCategorical,
    MaskedOneHotCategorical,
    MultiCategorical,
    NormalParamExtractor,
    OneHotCategorical,
    OneHotOrdinal,
    Ordinal,
    TanhDelta,
    TanhNormal,
    TruncatedNormal,
)
from keywork.envs import GymEnv
from keywork.flow import Flow, Part
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
    gSDEModule,
)
from keywork.nets import MLP, ConvNet, DuelingMLP
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModule, TensorDictModuleBase, TensorDictSequential
from keywork.objectives import GAE, ClipPPOLoss
from keywork.train import PPO, PPOConfig

VECTOR = Box(-1.0, 1.0, (4,))
IMAGE = Box(0, 255, (36, 36, 3), dtype="uint8")
BOX = Box(-2.0, 2.0, (2,))
SMALL = NetworkConfig(num_cells=(8,))


class Drawn(gymnasium.Env):
    """Shows whatever its space allows, in episodes of five steps; every mask allows something."""

    def __init__(self, observation_space: Space, action_space: Space) -> None:
        self.observation_space, self.action_space = observation_space, action_space
        self.steps = 0

    def _shown(self) -> Any:
        shown = self.observation_space.sample()
        if isinstance(shown, dict) and "mask" in shown:
            shown["mask"][..., 0] = 1
        return shown

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.steps = 0
        return self._shown(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.steps += 1
        return self._shown(), 1.0, self.steps == 5, False, {}


def world(observation: Space, action: Space, **options: Any) -> GymEnv:
    return GymEnv(lambda: Drawn(observation, action), 2, seed=0, **options)


def run(env: GymEnv, policy: Any, *rest: Any, learns: bool = True) -> Flow:
    """Build all of it, and do once what it is for."""
    flow = Flow(env, policy, *rest)
    assert flow.findings == ()
    collector = Collector(env, policy, frames_per_batch=16)
    collector.collect()
    batch = collector.collect()
    assert batch.batch_size == (2, 8)
    results = [part(batch) for part in rest if isinstance(part, TensorDictModuleBase)]
    if learns:
        total = sum(results[-1][key] for key in ("loss_objective", "loss_critic", "loss_entropy"))
        total.backward()
        assert total.isfinite()
    env.close()
    return flow


def ppo_parts(actor: Any, critic: Any) -> list[Any]:
    loss = ClipPPOLoss(actor, critic)
    return [GAE(0.99, 0.95, critic), loss, torch.optim.Adam(loss.parameters(), lr=1e-3)]


# Every body with every action: 11 x 8 pipelines.


def wrapped(network: nn.Module, read: Any = "observation", write: Any = "features") -> TensorDictModule:
    return TensorDictModule(network, read if isinstance(read, list) else [read], [write])


def flat(sizes: int = 4, read: str = "observation", write: str = "features") -> TensorDictModule:
    return wrapped(nn.Sequential(nn.Linear(sizes, 16), nn.Tanh()), read, write)


Body = tuple[Space, Callable[[], list[Any]], Callable[[list[Any]], Any]]


def own_critic(steps: list[Any]) -> Any:
    return ValueOperator(MLP(4, 1, num_cells=[8]))


def on_the_trunk(steps: list[Any]) -> Any:
    return TensorDictSequential(*steps, ValueOperator(nn.Linear(16, 1), ["features"]))


BODIES: dict[str, Body] = {
    "mlp": (VECTOR, lambda: [flat()], own_critic),
    "shared trunk": (VECTOR, lambda: [flat()], on_the_trunk),
    "lazy": (VECTOR, lambda: [wrapped(nn.Sequential(nn.LazyLinear(16), nn.Tanh()))], own_critic),
    "two steps": (VECTOR, lambda: [flat(write="hidden"), flat(16, "hidden")], own_critic),
    "gru": (VECTOR, lambda: [GRUModule(4, 16, in_key="observation", out_key="features")], own_critic),
    "gru as a trunk": (VECTOR, lambda: [GRUModule(4, 16, in_key="observation", out_key="features")], on_the_trunk),
    "lstm": (VECTOR, lambda: [flat(write="seen"), LSTMModule(16, 16, in_key="seen", out_key="features")], own_critic),
    "lstm as a trunk": (VECTOR, lambda: [LSTMModule(4, 16, in_key="observation", out_key="features")], on_the_trunk),
    "dict": (
        Dict(pose=VECTOR, goal=Box(-1, 1, (2,))),
        lambda: [wrapped(MLP(6, 16, num_cells=[8]), ["pose", "goal"])],
        on_the_trunk,
    ),
    "images": (
        Box(0, 255, (3, 36, 36), dtype="uint8"),
        lambda: [wrapped(nn.Sequential(ConvNet(3), nn.LazyLinear(16)))],
        on_the_trunk,
    ),
    "index": (Discrete(5), lambda: [wrapped(nn.Embedding(5, 16))], on_the_trunk),
}

Head = tuple[Space, dict[str, Any], Callable[[], nn.Module], list[str], Any, dict[str, Any]]

HEADS: dict[str, Head] = {
    "categorical": (Discrete(3), {}, lambda: nn.Linear(16, 3), ["logits"], Categorical, {}),
    "one-hot": (Discrete(3), {"one_hot": True}, lambda: nn.Linear(16, 3), ["logits"], OneHotCategorical, {}),
    "ordinal": (Discrete(3), {}, lambda: nn.Linear(16, 3), ["scores"], Ordinal, {}),
    "tanh-normal": (
        BOX,
        {},
        lambda: nn.Sequential(nn.Linear(16, 4), NormalParamExtractor()),
        ["loc", "scale"],
        TanhNormal,
        {"spec": specs.Bounded(-2.0, 2.0, (2,))},
    ),
    "truncated": (
        BOX,
        {},
        lambda: nn.Sequential(nn.Linear(16, 4), NormalParamExtractor()),
        ["loc", "scale"],
        TruncatedNormal,
        {"spec": specs.Bounded(-2.0, 2.0, (2,))},
    ),
    "normal": (
        BOX,
        {"clip_actions": True},
        lambda: nn.Sequential(nn.Linear(16, 2), AddStateIndependentNormalScale(2)),
        ["loc", "scale"],
        IndependentNormal,
        {},
    ),
    "several indices": (
        MultiDiscrete([3, 4]),
        {},
        lambda: nn.Linear(16, 7),
        ["logits"],
        MultiCategorical,
        {"distribution_kwargs": {"nvec": [3, 4]}},
    ),
    "bits": (MultiBinary(3), {}, lambda: nn.Linear(16, 3), ["logits"], Bernoulli, {}),
}


@pytest.mark.parametrize(("body", "head"), list(itertools.product(BODIES, HEADS)))
def test_ppo_of_any_body_with_any_action(body: str, head: str) -> None:
    observation, trunk, critic_of = BODIES[body]
    action, env_options, network, keys, distribution, options = HEADS[head]
    steps = trunk()
    parameters = TensorDictModule(network(), ["features"], keys)
    actor = ProbabilisticActor(
        [*steps, parameters], keys, distribution_class=distribution, return_log_prob=True, **options
    )
    actor_and_critic = actor, critic_of(steps)
    with torch.no_grad():  # lazy layers get their sizes from what they see first
        env = world(observation, action, **env_options)
        Collector(env, actor, frames_per_batch=2).collect()
    run(world(observation, action, **env_options), actor, *ppo_parts(*actor_and_critic))


# Networks from specs, and the algorithm that is built from nothing else.

OBSERVATIONS: dict[str, Space] = {
    "vector": VECTOR,
    "images": IMAGE,
    "index": Discrete(5),
    "bits": MultiBinary(4),
    "dict": Dict(camera=IMAGE, speed=Box(-1, 1, (2,)), gear=Discrete(3)),
}
ACTIONS: dict[str, tuple[Space, dict[str, Any]]] = {
    "categorical": (Discrete(3), {}),
    "one-hot": (Discrete(3), {"one_hot": True}),
    "box": (BOX, {"clip_actions": True}),
    "several indices": (MultiDiscrete([3, 4]), {}),
    "bits": (MultiBinary(3), {}),
}


@pytest.mark.parametrize(("observation", "action"), list(itertools.product(OBSERVATIONS, ACTIONS)))
def test_the_algorithm_for_any_spaces(observation: str, action: str) -> None:
    space, options = ACTIONS[action]
    env = world(OBSERVATIONS[observation], space, **options)
    ppo = PPO(env, PPOConfig(num_steps=4, num_epochs=1, minibatch_size=4, num_cells=(8,)))
    assert ppo.flow.findings == ()
    metrics = ppo.update(ppo.collector.collect(), progress=0.0)
    assert np.isfinite(list(metrics.values())).all()
    env.close()


@pytest.mark.parametrize("masked", [MaskedCategorical, MaskedOneHotCategorical])
@pytest.mark.parametrize("memory", [False, True])
def test_ppo_with_masks(masked: Any, memory: bool) -> None:
    observation = Dict(observation=VECTOR, mask=MultiBinary(3))
    env = world(observation, Discrete(3), one_hot=masked is MaskedOneHotCategorical)
    body = GRUModule(4, 16, in_key="observation", out_key="features") if memory else flat()
    head = TensorDictModule(nn.Linear(16, 3), ["features"], ["logits"])
    actor = ProbabilisticActor([body, head], ["logits", "mask"], distribution_class=masked, return_log_prob=True)
    run(env, actor, *ppo_parts(actor, own_critic([])))


# Policies that act by values, and exploration.

CHOICES: dict[str, tuple[Space, dict[str, Any], Any, int]] = {
    "categorical": (Discrete(3), {}, specs.Categorical(3), 3),
    "one-hot": (Discrete(3), {"one_hot": True}, specs.OneHot(3), 3),
    "several indices": (MultiDiscrete([3, 4]), {}, specs.MultiDiscrete([3, 4]), 7),
    "bits": (MultiBinary(3), {}, specs.MultiBinary(3), 3),
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("explores", [False, True])
def test_q_values_of_any_choice(choice: str, explores: bool) -> None:
    space, options, spec, values = CHOICES[choice]
    actor: Any = QValueActor(MLP(4, values, num_cells=[8]), spec=spec)
    policy = TensorDictSequential(actor, EGreedyModule(spec)) if explores else actor
    run(world(VECTOR, space, **options), policy, learns=False)


def tanh_actor() -> Actor:
    return Actor(nn.Sequential(nn.Linear(4, 2), nn.Tanh()), spec=specs.Bounded(-1.0, 1.0, (2,)))


def masked_q() -> tuple[Any, ...]:
    values = TensorDictModule(nn.Linear(4, 3), ["observation"], ["action_value"])
    greedy = QValueModule(spec=specs.Categorical(3), action_mask_key="mask")
    policy = TensorDictSequential(values, greedy, EGreedyModule(specs.Categorical(3), action_mask_key="mask"))
    return world(Dict(observation=VECTOR, mask=MultiBinary(3)), Discrete(3)), policy


def c51() -> tuple[Any, ...]:
    net = nn.Sequential(nn.Linear(4, 33), nn.Unflatten(-1, (11, 3)))
    return world(VECTOR, Discrete(3)), DistributionalQValueActor(
        net, torch.linspace(-1, 1, 11), spec=specs.Categorical(3)
    )


def noisy() -> tuple[Any, ...]:
    return world(VECTOR, Discrete(3)), QValueActor(NoisyLinear(4, 3), spec=specs.Categorical(3))


def dueling() -> tuple[Any, ...]:
    return world(VECTOR, Discrete(3)), QValueActor(DuelingMLP(4, 3), spec=specs.Categorical(3))


def recurrent_q() -> tuple[Any, ...]:
    gru = GRUModule(4, 16, in_key="observation", out_key="features")
    actor = QValueActor(nn.Linear(16, 3), in_keys=["features"], spec=specs.Categorical(3))
    return world(VECTOR, Discrete(3)), TensorDictSequential(gru, actor, EGreedyModule(specs.Categorical(3)))


def q_from_specs() -> tuple[Any, ...]:
    env = world(OBSERVATIONS["dict"], Discrete(3))
    return env, QValueActor.from_spec(env.observation_spec, env.action_spec, config=SMALL)


def plain_actor() -> tuple[Any, ...]:
    return world(VECTOR, BOX), tanh_actor()


def squashed_by_a_module() -> tuple[Any, ...]:
    raw = wrapped(nn.Linear(4, 2), write="raw")
    return world(VECTOR, BOX), TensorDictSequential(
        raw, TanhModule(["raw"], ["action"], spec=specs.Bounded(-2.0, 2.0, (2,)))
    )


def gaussian_noise() -> tuple[Any, ...]:
    return world(VECTOR, BOX), TensorDictSequential(
        tanh_actor(), AdditiveGaussianModule(specs.Bounded(-2.0, 2.0, (2,)))
    )


def gaussian_noise_without_a_spec() -> tuple[Any, ...]:
    return world(VECTOR, BOX), TensorDictSequential(tanh_actor(), AdditiveGaussianModule())


def correlated_noise() -> tuple[Any, ...]:
    return world(VECTOR, BOX), TensorDictSequential(tanh_actor(), OrnsteinUhlenbeckProcessModule())


def correlated_noise_of_a_memory() -> tuple[Any, ...]:
    gru = GRUModule(4, 16, in_key="observation", out_key="features")
    actor = Actor(nn.Sequential(nn.Linear(16, 2), nn.Tanh()), ["features"])
    noise = OrnsteinUhlenbeckProcessModule(specs.Bounded(-2.0, 2.0, (2,)))
    return world(VECTOR, BOX), TensorDictSequential(gru, actor, noise)


def noise_after_a_distribution_without_log_prob() -> tuple[Any, ...]:
    net = nn.Sequential(nn.Linear(4, 4), NormalParamExtractor())
    params = TensorDictModule(net, ["observation"], ["loc", "scale"])
    spec = specs.Bounded(-2.0, 2.0, (2,))
    actor = ProbabilisticActor(params, ["loc", "scale"], distribution_class=TanhNormal, spec=spec)
    return world(VECTOR, BOX), TensorDictSequential(actor, AdditiveGaussianModule(spec))


def points() -> tuple[Any, ...]:
    param = TensorDictModule(nn.Linear(4, 2), ["observation"], ["param"])
    spec = specs.Bounded(-2.0, 2.0, (2,))
    return world(VECTOR, BOX), ProbabilisticActor(param, ["param"], distribution_class=TanhDelta, spec=spec)


def points_that_are_clipped() -> tuple[Any, ...]:
    param = TensorDictModule(nn.Linear(4, 2), ["observation"], ["param"])
    return world(VECTOR, BOX, clip_actions=True), ProbabilisticActor(param, ["param"], distribution_class=Delta)


def random_actions() -> tuple[Any, ...]:
    return world(VECTOR, BOX), RandomPolicy()


def ordered_vectors() -> tuple[Any, ...]:
    scores = TensorDictModule(nn.Linear(4, 3), ["observation"], ["scores"])
    return world(VECTOR, Discrete(3), one_hot=True), ProbabilisticActor(
        scores, ["scores"], distribution_class=OneHotOrdinal
    )


def twin_critics() -> tuple[Any, ...]:
    critic = ValueOperator(MLP(6, 1, num_cells=[8]), ["observation", "action"])
    return world(VECTOR, BOX), tanh_actor(), EnsembleModule(critic, num_copies=2)


def critic_of_the_action_on_a_trunk() -> tuple[Any, ...]:
    actor = Actor(nn.Sequential(nn.Linear(16, 2), nn.Tanh()), ["features"])
    both = ActorCriticOperator(flat(), actor, ValueOperator(MLP(18, 1, num_cells=[8]), ["features", "action"]))
    return world(VECTOR, BOX), both


def actor_beside_critic() -> tuple[Any, ...]:
    return world(VECTOR, BOX), ActorCriticWrapper(tanh_actor(), ValueOperator(nn.Linear(4, 1)))


def value_on_a_trunk() -> tuple[Any, ...]:
    actor = Actor(nn.Sequential(nn.Linear(16, 2), nn.Tanh()), ["features"])
    return world(VECTOR, BOX), ActorValueOperator(flat(), actor, ValueOperator(nn.Linear(16, 1), ["features"]))


def normaliser_first() -> tuple[Any, ...]:
    normaliser = TensorDictModule(lambda x: (x - 0.5) / 2, ["observation"], ["observation"])
    return world(VECTOR, BOX), TensorDictSequential(normaliser, tanh_actor())


def function_over_a_tensordict() -> tuple[Any, ...]:
    flip = WrapModule(lambda td: td.set("flipped", -td["observation"]), in_keys=["observation"], out_keys=["flipped"])
    actor = Actor(nn.Sequential(nn.Linear(4, 2), nn.Tanh()), ["flipped"])
    return world(VECTOR, BOX), TensorDictSequential(flip, actor)


def other_names() -> tuple[Any, ...]:
    return world(Dict(pixels=VECTOR), BOX), tanh_actor().renamed({"observation": "pixels"})


def another_head_in_its_place() -> tuple[Any, ...]:
    chain = TensorDictSequential({"trunk": flat(), "head": Actor(nn.Linear(16, 3), ["features"])})
    return world(VECTOR, BOX), chain.replaced("head", Actor(nn.Sequential(nn.Linear(16, 2), nn.Tanh()), ["features"]))


def outputs_that_are_selected() -> tuple[Any, ...]:
    actor = Actor(nn.Sequential(nn.Linear(16, 2), nn.Tanh()), ["features"])
    return world(VECTOR, BOX), TensorDictSequential(flat(), actor).select_out_keys("action")


def attention_along_a_dimension_of_its_own() -> tuple[Any, ...]:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(1, 1, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            parts = x.reshape(-1, 4, 1)
            return self.attend(parts, parts, parts)[0].tanh()[:, :2, 0].reshape(*x.shape[:-1], 2)

    return world(VECTOR, BOX), TensorDictModule(Attention(), ["observation"], ["action"])


def normalised_layers_and_dropout() -> tuple[Any, ...]:
    net = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Dropout(0.1), nn.Linear(8, 2), nn.Tanh())
    return world(VECTOR, BOX), Actor(net)


ACTING = [
    *(masked_q, c51, noisy, dueling, recurrent_q, q_from_specs),
    *(plain_actor, squashed_by_a_module, gaussian_noise, gaussian_noise_without_a_spec, correlated_noise),
    *(correlated_noise_of_a_memory, noise_after_a_distribution_without_log_prob, points, points_that_are_clipped),
    *(random_actions, ordered_vectors, twin_critics, critic_of_the_action_on_a_trunk, actor_beside_critic),
    *(value_on_a_trunk, normaliser_first, function_over_a_tensordict, other_names, another_head_in_its_place),
    *(outputs_that_are_selected, attention_along_a_dimension_of_its_own, normalised_layers_and_dropout),
]


@pytest.mark.parametrize("parts", ACTING, ids=lambda parts: parts.__name__)
def test_what_acts(parts: Callable[[], tuple[Any, ...]]) -> None:
    run(*parts(), learns=False)


# Whole pipelines around one policy.


def choice(memory: bool = False, **options: Any) -> ProbabilisticActor:
    body = GRUModule(4, 16, in_key="observation", out_key="features") if memory else flat()
    head = TensorDictModule(nn.Linear(16, 3), ["features"], ["logits"])
    return ProbabilisticActor([body, head], ["logits"], distribution_class=Categorical, return_log_prob=True, **options)


def smooth_exploration() -> tuple[Any, ...]:
    mean = wrapped(nn.Linear(4, 2), write="loc")
    actor = ProbabilisticTensorDictSequential(mean, gSDEModule(2, 4, return_log_prob=True))
    return world(VECTOR, BOX, clip_actions=True), actor, *ppo_parts(actor, own_critic([]))


def a_buffer_that_keeps_everything() -> tuple[Any, ...]:
    actor, critic = choice(), own_critic([])
    return world(VECTOR, Discrete(3)), actor, Part("buffer", "buffer"), *ppo_parts(actor, critic)


def a_buffer_that_keeps_what_is_read() -> tuple[Any, ...]:
    actor, critic = choice(), own_critic([])
    kept = ("observation", "action", "sample_log_prob", "next")
    return world(VECTOR, Discrete(3)), actor, Part("buffer", "buffer", keeps=kept), *ppo_parts(actor, critic)


def a_collector_between() -> tuple[Any, ...]:
    actor, critic = choice(), own_critic([])
    return world(VECTOR, Discrete(3)), actor, Part("Collector", "collector"), *ppo_parts(actor, critic)


def values_of_the_critic_stored() -> tuple[Any, ...]:
    actor, critic = choice(), own_critic([])
    return world(VECTOR, Discrete(3)), TensorDictSequential(actor, critic), *ppo_parts(actor, critic)


def clipped_values_and_standardised_advantages() -> tuple[Any, ...]:
    actor, critic = choice(), own_critic([])
    loss = ClipPPOLoss(actor, critic, clip_value=0.2, normalize_advantage=True, loss_critic_type="smooth_l1")
    return world(VECTOR, Discrete(3)), actor, GAE(0.99, 0.95, critic, average_gae=True), loss


def an_optimiser_for_each() -> tuple[Any, ...]:
    actor, critic = choice(), own_critic([])
    optimisers = [torch.optim.Adam(actor.parameters()), torch.optim.SGD(critic.parameters(), 0.1)]
    return world(VECTOR, Discrete(3)), actor, GAE(0.99, 0.95, critic), ClipPPOLoss(actor, critic), *optimisers


def a_frozen_trunk() -> tuple[Any, ...]:
    actor, critic = choice(), own_critic([])
    actor[0].requires_grad_(False)
    loss = ClipPPOLoss(actor, critic)
    learning = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    return world(VECTOR, Discrete(3)), actor, GAE(0.99, 0.95, critic), loss, torch.optim.Adam(learning)


def a_frozen_critic_for_the_advantages() -> tuple[Any, ...]:
    actor, critic, target = choice(), own_critic([]), own_critic([]).requires_grad_(False)
    return world(VECTOR, Discrete(3)), actor, GAE(0.99, 0.95, target), ClipPPOLoss(actor, critic)


def operators_on_one_trunk() -> tuple[Any, ...]:
    head = ProbabilisticActor(
        TensorDictModule(nn.Linear(16, 3), ["features"], ["logits"]),
        ["logits"],
        distribution_class=Categorical,
        return_log_prob=True,
    )
    both = ActorValueOperator(flat(), head, ValueOperator(nn.Linear(16, 1), ["features"]))
    actor, critic = both.get_policy_operator(), both.get_value_operator()
    return world(VECTOR, Discrete(3)), actor, *ppo_parts(actor, critic)


def a_memory_and_a_critic_without() -> tuple[Any, ...]:
    actor, critic = choice(memory=True), own_critic([])
    return world(VECTOR, Discrete(3)), actor, *ppo_parts(actor, critic)


def an_actor_from_specs_with_a_mask() -> tuple[Any, ...]:
    env = world(Dict(observation=VECTOR, mask=MultiBinary(3)), Discrete(3))
    actor = ProbabilisticActor.from_spec(env.observation_spec, env.action_spec, action_mask_key="mask", config=SMALL)
    return env, actor, *ppo_parts(actor, own_critic([]))


LEARNING = [
    *(smooth_exploration, a_buffer_that_keeps_everything, a_buffer_that_keeps_what_is_read, a_collector_between),
    *(values_of_the_critic_stored, clipped_values_and_standardised_advantages, an_optimiser_for_each),
    *(a_frozen_trunk, a_frozen_critic_for_the_advantages, operators_on_one_trunk, a_memory_and_a_critic_without),
    *(an_actor_from_specs_with_a_mask,),
]


@pytest.mark.parametrize("parts", LEARNING, ids=lambda parts: parts.__name__)
def test_what_learns(parts: Callable[[], tuple[Any, ...]]) -> None:
    run(*parts())


@pytest.mark.parametrize("shared", [False, True])
def test_memories_of_actor_and_critic_in_the_algorithm(shared: bool) -> None:
    env = world(VECTOR, Discrete(3))
    actor = choice(memory=True)
    own = GRUModule(4, 16, in_keys=["observation", "critic_state", "is_init"], out_key="judged")
    critic = TensorDictSequential(
        actor[0] if shared else own, ValueOperator(nn.Linear(16, 1), ["features" if shared else "judged"])
    )
    ppo = PPO(env, PPOConfig(num_steps=8, num_epochs=1, minibatch_size=16), actor=actor, critic=critic)
    assert ppo.flow.findings == ()
    metrics = ppo.update(ppo.collector.collect(), progress=0.0)
    assert np.isfinite(list(metrics.values())).all()
    env.close()


def test_they_are_more_than_a_hundred() -> None:
    algorithms = len(OBSERVATIONS) * len(ACTIONS)
    assert len(BODIES) * len(HEADS) + algorithms + 2 * len(CHOICES) + len(ACTING) + len(LEARNING) > 100
