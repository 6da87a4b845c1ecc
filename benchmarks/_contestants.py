"""The three calls that are measured, each by hand, in keywork, and in the peers that are installed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import tensordict.nn
import torch
from tensordict import TensorDict
from torch import Tensor, nn
from torch.nn import functional as F

import keywork.nn
from keywork.distributions import NormalParamExtractor, TanhNormal
from keywork.modules import ProbabilisticActor

OBSERVATION, ACTION, HIDDEN = 4, 2, 64
Function = Callable[[Tensor], Any]
LIBRARIES: dict[str, Any] = {"keywork": keywork.nn, "tensordict.nn": tensordict.nn}


@dataclass(frozen=True)
class Case:
    """One thing to do, and those who do it.

    Attributes:
        title: what is done.
        goal: how many times as long as by hand keywork may take for a batch of 8.
        by_hand: makes a plain function of the observations, in nothing but torch.
        libraries: who makes a key module that does the same; keywork first.
    """

    title: str
    goal: float
    by_hand: Callable[[], Function]
    libraries: dict[str, Callable[[], Any]]

    def calls(self, batch: int) -> dict[str, Callable[[], object]]:
        """Everyone's call on the same observations, ready to be timed."""
        observation, td = _inputs(batch)
        calls = {"by hand": _call(self.by_hand(), observation)}
        return calls | {name: _call(make(), td) for name, make in self.libraries.items()}

    def compiled_calls(self, batch: int) -> dict[str, Callable[[], object]]:
        """The same after ``torch.compile``; and what its two wrappers, of modules and of TensorDicts, cost alone."""
        observation, td = _inputs(batch)
        calls = {
            "by hand": _call(torch.compile(self.by_hand()), observation),
            "by hand, in an nn.Module": _call(torch.compile(_InModule(self.by_hand())), observation),
            "keywork, its compute() on tensors": _call(torch.compile(self.libraries["keywork"]().compute), observation),
        }
        calls |= {name: _call(torch.compile(make()), td) for name, make in self.libraries.items()}
        for call in calls.values():
            for _ in range(5):  # the outputs are new entries in the first call, and known ones from then on
                call()
        return calls


class _InModule(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, observation: Tensor) -> Any:
        return self.function(observation)


def cases() -> list[Case]:
    """One module, a chain of three, and an actor."""
    return [_module(), _chain(), _actor()]


def _inputs(batch: int) -> tuple[Tensor, TensorDict]:
    observation = torch.randn(batch, OBSERVATION)
    return observation, TensorDict(observation=observation, batch_size=[batch])


def _call(target: Callable[[Any], Any], argument: Any) -> Callable[[], object]:
    return lambda: target(argument)


def _layers(out: int) -> tuple[nn.Module, nn.Sequential, nn.Module]:
    torch.manual_seed(0)
    middle = nn.Sequential(nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh())
    return nn.Linear(OBSERVATION, HIDDEN), middle, nn.Linear(HIDDEN, out)


def _net(out: int) -> nn.Sequential:
    first, middle, last = _layers(out)
    return nn.Sequential(first, *middle, last)


def _module() -> Case:
    def of(library: Any) -> Any:
        return library.TensorDictModule(_net(ACTION), ["observation"], ["action"])

    libraries = {name: lambda library=library: of(library) for name, library in LIBRARIES.items()}
    return Case("TensorDictModule: a net 4 → 64 → 64 → 2 with tanh", 1.2, lambda: _net(ACTION), libraries)


def _chain() -> Case:
    keys = ["observation", "hidden", "features", "action"]

    def by_hand() -> Function:
        first, middle, last = _layers(ACTION)
        return lambda observation: last(middle(first(observation)))

    def of(library: Any) -> Any:
        steps = zip(_layers(ACTION), keys, keys[1:], strict=False)
        modules = [library.TensorDictModule(net, [read], [written]) for net, read, written in steps]
        return library.TensorDictSequential(*modules)

    libraries = {name: lambda library=library: of(library) for name, library in LIBRARIES.items()}
    title = "TensorDictSequential: the same net in three steps, Linear, Tanh-Linear-Tanh, Linear"
    return Case(title, 1.3, by_hand, libraries)


_BIAS = math.log(math.expm1(1.0 - 0.01))
_CONSTANT = ACTION * (0.5 * math.log(2.0 * math.pi) + 2.0 * math.log(2.0))


def _tanh_normal_by_hand() -> Function:
    """Draw from a squashed normal and score the draw, in as few operations of torch as there can be."""
    net = _net(2 * ACTION)

    def act(observation: Tensor) -> tuple[Tensor, Tensor]:
        loc, raw = net(observation).chunk(2, -1)
        scale = F.softplus(raw + _BIAS) + 0.01
        noise = torch.randn_like(loc)
        u = torch.addcmul(loc, scale, noise)
        # −log N(u) = log scale + ½ noise² + c; log |da/du| = 2 log 2 − 2 log_cosh, log_cosh = u + softplus(−2u).
        surprise = torch.addcmul(scale.log(), noise, noise, value=0.5)
        log_cosh = torch.sub(u, F.softplus(u, -2.0, 40.0), alpha=2.0)
        return u.tanh(), -_CONSTANT - torch.sub(surprise, log_cosh, alpha=2.0).sum(-1)

    return act


def _actor() -> Case:
    def ours() -> Any:
        net = nn.Sequential(_net(2 * ACTION), NormalParamExtractor())
        module = keywork.nn.TensorDictModule(net, ["observation"], ["loc", "scale"])
        return ProbabilisticActor(module, ["loc", "scale"], distribution_class=TanhNormal, return_log_prob=True)

    def torchrls() -> Any:
        from torchrl import modules

        net = nn.Sequential(_net(2 * ACTION), modules.NormalParamExtractor())
        module = tensordict.nn.TensorDictModule(net, ["observation"], ["loc", "scale"])
        return modules.ProbabilisticActor(
            module,
            ["loc", "scale"],
            distribution_class=modules.TanhNormal,
            return_log_prob=True,
            default_interaction_type="random",  # it would not draw otherwise
        )

    libraries = {"keywork": ours} | ({"torchrl": torchrls} if find_spec("torchrl") else {})
    title = "ProbabilisticActor: a net, a draw from its TanhNormal, and the draw's log-probability"
    return Case(title, 1.25, _tanh_normal_by_hand, libraries)
