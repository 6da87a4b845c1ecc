"""What Q-value actors and actor-critic operators cost on top of plain torch: nets, choice, noise and score."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import torch
from _distributions_by_hand import tanh_normal
from _timing import cell, interleave, table, verdict
from tensordict import TensorDict
from torch import Tensor, nn
from torch.nn import functional as F

import keywork.modules
import keywork.nn
import keywork.specs
from keywork.distributions import TanhNormal

OBSERVATION, ACTION, HIDDEN, CHOICES = 4, 2, 64, 4
EPSILON = 0.1
BATCHES = (1, 8, 256)
JUDGED = 8  # the batch that the goals are for
Calls = dict[str, Callable[[], Any]]


def operators(*, quick: bool) -> Iterator[str]:
    """One table for each."""
    rounds = 10 if quick else 60
    title = f"QValueActor and EGreedyModule: a net 4 → 64 → 64 → {CHOICES} with tanh, the best choice, or a random one"
    yield _table(title, 1.5, _greedy, "action", rounds)
    title = "ActorValueOperator: a trunk 4 → 64 → 64 with tanh, a scored draw of a TanhNormal, and the value"
    yield _table(title, 1.3, _actor_value, "state_value", rounds)


def _table(title: str, goal: float, calls_of: Callable[[int], Calls], key: str, rounds: int) -> str:
    measured = {}
    with torch.no_grad():
        for batch in BATCHES:
            calls = calls_of(batch)
            _check(calls["by hand"], calls["keywork"], key)
            measured[batch] = interleave(calls, rounds=rounds)
    rows = [[who, *(cell(measured[batch][who]) for batch in BATCHES)] for who in measured[JUDGED]]
    judgement = verdict(measured[JUDGED]["keywork"], goal)
    rows.append([f"goal {goal:g}x", *(judgement if batch == JUDGED else "" for batch in BATCHES)])
    return table(title, ["µs a call, ratio (quartiles)", *(f"batch {batch}" for batch in BATCHES)], rows)


def _check(by_hand: Callable[[], tuple[Tensor, ...]], ours: Callable[[], TensorDict], key: str) -> None:
    """With the same seed both do the same; by hand the entry of ``key`` is the last one."""
    torch.manual_seed(1)
    expected = by_hand()
    torch.manual_seed(1)
    torch.testing.assert_close(ours()[key], expected[-1])


def _trunk() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(OBSERVATION, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh())


def _libraries() -> dict[str, tuple[Any, Any]]:
    """Who takes part: its key modules, and its modules of this field."""
    found: dict[str, tuple[Any, Any]] = {"keywork": (keywork.nn, keywork.modules)}
    if find_spec("torchrl"):
        import tensordict.nn
        import torchrl.modules

        found["torchrl"] = (tensordict.nn, torchrl.modules)
    return found


def _all_calls(
    batch: int, by_hand: Callable[[Tensor], Any], make: Callable[[Any, Any, bool], Callable[[TensorDict], Any]]
) -> Calls:
    observation = torch.randn(batch, OBSERVATION)
    td = TensorDict(observation=observation, batch_size=[batch])
    calls: Calls = {"by hand": lambda: by_hand(observation)}
    for name, (library, modules) in _libraries().items():
        calls[name] = _call(make(library, modules, name == "torchrl"), td.copy())
    return calls


def _call(module: Any, td: TensorDict) -> Callable[[], Any]:
    return lambda: module(td)


def _greedy(batch: int) -> Calls:
    net = nn.Sequential(*_trunk(), nn.Linear(HIDDEN, CHOICES))
    epsilon = torch.tensor(EPSILON)

    def by_hand(observation: Tensor) -> tuple[Tensor, ...]:
        values = net(observation)
        chosen, index = values.max(-1, keepdim=True)
        best = index.squeeze(-1)
        coin = torch.rand_like(best, dtype=torch.float32) < epsilon
        return values, chosen, torch.where(coin, torch.randint_like(best, CHOICES), best)

    def make(library: Any, modules: Any, torchrl: bool) -> Any:
        spec: Any = keywork.specs.Categorical(CHOICES)
        if torchrl:
            from torchrl.data import Categorical

            spec = Categorical(CHOICES)
        actor = modules.QValueActor(net, in_keys=["observation"], spec=spec)
        explore = modules.EGreedyModule(spec=spec, eps_init=EPSILON, eps_end=EPSILON)
        return library.TensorDictSequential(actor, explore)

    return _all_calls(batch, by_hand, make)


def _actor_value(batch: int) -> Calls:
    trunk, policy, critic = _trunk(), nn.Linear(HIDDEN, 2 * ACTION), nn.Linear(HIDDEN, 1)
    bias = math.log(math.expm1(1.0 - 0.01))

    def by_hand(observation: Tensor) -> tuple[Tensor, ...]:
        hidden = trunk(observation)
        loc, raw = policy(hidden).chunk(2, -1)
        action, score = tanh_normal(loc, F.softplus(raw + bias) + 0.01)
        return hidden, action, score, critic(hidden)

    def make(library: Any, modules: Any, torchrl: bool) -> Any:
        common = library.TensorDictModule(trunk, ["observation"], ["hidden"])
        head = nn.Sequential(policy, modules.NormalParamExtractor())
        actor = modules.ProbabilisticActor(
            library.TensorDictModule(head, ["hidden"], ["loc", "scale"]),
            ["loc", "scale"],
            distribution_class=modules.TanhNormal if torchrl else TanhNormal,
            return_log_prob=True,
            **({"default_interaction_type": "random"} if torchrl else {}),  # it would not draw otherwise
        )
        return modules.ActorValueOperator(common, actor, modules.ValueOperator(critic, in_keys=["hidden"]))

    return _all_calls(batch, by_hand, make)
