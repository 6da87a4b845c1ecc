"""Pipelines that are right have no finding: each is built, collects data, and is learned from."""

from __future__ import annotations

import itertools
import runpy
from collections.abc import Callable
from pathlib import Path
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
    IndependentNormal,
    MaskedCategorical,
    MaskedOneHotCategorical,
    MultiCategorical,
    NormalParamExtractor,
    OneHotCategorical,
    Ordinal,
    TanhNormal,
    TruncatedNormal,
)
from keywork.envs import GymEnv
from keywork.flow import Flow
from keywork.modules import (
    EGreedyModule,
    GRUModule,
    LSTMModule,
    NetworkConfig,
    ProbabilisticActor,
    QValueActor,
    ValueOperator,
)
from keywork.nets import MLP, ConvNet
from keywork.nn import TensorDictModule, TensorDictModuleBase, TensorDictSequential
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
    if any(isinstance(parameter, nn.UninitializedParameter) for parameter in actor.parameters()):
        Collector(
            world(observation, action, **env_options), actor, frames_per_batch=2
        ).collect()  # sizes come from data
    assert run(world(observation, action, **env_options), actor, *ppo_parts(actor, critic_of(steps))).findings == ()


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
    assert run(env, actor, *ppo_parts(actor, own_critic([]))).findings == ()


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
    assert run(world(VECTOR, space, **options), policy, learns=False).findings == ()


# Pipelines one by one.


def cases(name: str) -> dict[str, Callable[..., tuple[Any, ...]]]:
    """The functions of a file of tests/flow/right that build something."""
    path = str(Path(__file__).parent / "right" / f"{name}.py")
    return {
        key: value
        for key, value in runpy.run_path(path).items()
        if not key.startswith("_") and getattr(getattr(value, "__code__", None), "co_filename", "") == path
    }


ACTING, LEARNING = cases("acting"), cases("learning")


@pytest.mark.parametrize("name", ACTING)
def test_what_acts(name: str) -> None:
    assert run(*ACTING[name](world), learns=False).findings == ()


@pytest.mark.parametrize("name", LEARNING)
def test_what_learns(name: str) -> None:
    assert run(*LEARNING[name](world)).findings == ()


@pytest.mark.parametrize("shared", [False, True])
def test_memories_of_actor_and_critic_in_the_algorithm(shared: bool) -> None:
    env = world(VECTOR, Discrete(3))
    gru = GRUModule(4, 16, in_key="observation", out_key="features")
    head = TensorDictModule(nn.Linear(16, 3), ["features"], ["logits"])
    actor = ProbabilisticActor([gru, head], ["logits"], distribution_class=Categorical, return_log_prob=True)
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
