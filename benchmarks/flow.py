"""What it takes to check a pipeline when it is built: inference of every key, and all findings."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from _timing import table
from torch import nn

from keywork.distributions import Categorical
from keywork.envs import GymEnv
from keywork.flow import Flow
from keywork.modules import ActorValueOperator, GRUModule, ProbabilisticActor, ValueOperator
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.objectives import GAE, ClipPPOLoss
from keywork.specs import Unbounded
from keywork.train import PPO

WIDTH, LENGTH = 16, 30


def flow(*, quick: bool) -> Iterator[str]:
    """One table: the pipelines, with a goal in seconds for two of them."""
    rounds = 5 if quick else 30
    with GymEnv("CartPole-v1", num_envs=8, seed=0) as env:
        ppo = PPO(env)
        memory = _recurrent(env)
        chain = [TensorDictModule(nn.Linear(WIDTH, WIDTH), [f"k{i}"], [f"k{i + 1}"]) for i in range(LENGTH)]
        cases: dict[str, tuple[float | None, Callable[[], Any]]] = {
            "PPO on CartPole-v1": (0.05, lambda: Flow(env, ppo.policy, ppo.gae, ppo.loss)),
            "recurrent PPO with a shared trunk": (None, lambda: Flow(env, *memory)),
            f"a policy of {LENGTH} steps": (1.0, lambda: Flow({"k0": Unbounded(WIDTH)}, TensorDictSequential(*chain))),
            "PPO(env) as a whole, its networks included": (None, lambda: PPO(env)),
        }
        seconds: dict[str, list[float]] = {name: [] for name in cases}
        for round_ in range(rounds + 1):
            for name, (_, build) in cases.items():
                began = time.perf_counter()
                build()
                if round_:  # the first one imports what torch imports late
                    seconds[name].append(time.perf_counter() - began)
    rows = []
    for name, (goal, _) in cases.items():
        middle = statistics.median(seconds[name])
        low, _, high = statistics.quantiles(seconds[name], n=4)
        judgement = "" if goal is None else f"{goal * 1e3:g} ms: " + ("met" if middle <= goal else "**missed**")
        rows.append([name, f"{middle * 1e3:.1f} ({low * 1e3:.1f}-{high * 1e3:.1f})", judgement])
    yield table("Checking a pipeline when it is built", ["pipeline", "ms (quartiles)", "goal"], rows)


def _recurrent(env: GymEnv) -> tuple[Any, ...]:
    trunk = GRUModule(4, 32, in_key="observation", out_key="hidden")
    net = TensorDictModule(nn.Linear(32, 2), ["hidden"], ["logits"])
    actor = ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)
    both = ActorValueOperator(trunk, actor, ValueOperator(nn.Linear(32, 1), ["hidden"]))
    policy, critic = both.get_policy_operator(), both.get_value_operator()
    return policy, GAE(0.99, 0.95, critic), ClipPPOLoss(policy, critic)
