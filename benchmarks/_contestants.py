"""The three calls that are measured, each by hand, in keywork, and in the peers that are installed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn
from torch.nn import functional as F

import keywork.distributions
import keywork.modules
import keywork.nn

BATCHES = (1, 8, 256)
OBSERVATION, ACTION = 4, 2


@dataclass(frozen=True)
class Case:
    """One thing to do, and those who do it.

    Attributes:
        title: what is done.
        goal: how many times as long as by hand keywork may take for a batch of 8.
        goal_compiled: the same of the compiled forms.
        makers: who does it, the handwritten form first; each maker gives a callable of one argument and says
            whether it takes a TensorDict (or else the observations).
    """

    title: str
    goal: float
    goal_compiled: float
    makers: dict[str, Callable[[], tuple[Callable[[Any], Any], bool]]]

    def calls(self, batch: int, *, compiled: bool = False) -> dict[str, Callable[[], object]]:
        """Everyone's call on the same observations, ready to be timed."""
        observation = torch.randn(batch, OBSERVATION)
        return {name: _bound(*make(), observation, compiled) for name, make in self.makers.items()}


def _bound(target: Callable[[Any], Any], takes_td: bool, observation: Tensor, compiled: bool) -> Callable[[], object]:
    argument = TensorDict(observation=observation, batch_size=observation.shape[:1]) if takes_td else observation
    if compiled:
        target = torch.compile(target)
        for _ in range(5):  # the outputs are new entries at the first call, and known ones from then on
            target(argument)
    return lambda: target(argument)


def cases() -> list[Case]:
    """The cases of the issue, with torchrl and tensordict.nn where they are installed."""
    return [_module(), _chain(), _actor()]


def _layers(out: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    torch.manual_seed(0)
    middle = nn.Sequential(nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
    return nn.Linear(OBSERVATION, 64), middle, nn.Linear(64, out)


def _net(out: int) -> nn.Sequential:
    first, middle, last = _layers(out)
    return nn.Sequential(first, *middle, last)


def _libraries() -> dict[str, Any]:
    import tensordict.nn

    return {"keywork": keywork.nn, "tensordict.nn": tensordict.nn}


def _module() -> Case:
    makers: dict[str, Any] = {"nn.Module by hand": lambda: (_net(ACTION), False)}
    for name, library in _libraries().items():
        makers[f"{name} TensorDictModule"] = lambda library=library: (
            library.TensorDictModule(_net(ACTION), ["observation"], ["action"]),
            True,
        )
    return Case("One module: 4 → 64 → 64 → 2, tanh", 1.2, 1.1, makers)


def _chain() -> Case:
    keys = ["observation", "hidden", "features", "action"]

    def by_hand() -> tuple[Callable[[Tensor], Tensor], bool]:
        first, middle, last = _layers(ACTION)
        return lambda observation: last(middle(first(observation))), False

    def of(library: Any) -> tuple[Callable[[Any], Any], bool]:
        steps = zip(_layers(ACTION), keys, keys[1:], strict=False)
        modules = [library.TensorDictModule(net, [read], [written]) for net, read, written in steps]
        return library.TensorDictSequential(*modules), True

    makers: dict[str, Any] = {"three nn.Modules by hand": by_hand}
    for name, library in _libraries().items():
        makers[f"{name} TensorDictSequential"] = lambda library=library: of(library)
    return Case("Three steps: Linear, then Tanh-Linear-Tanh, then Linear", 1.3, 1.1, makers)


_BIAS = math.log(math.expm1(1.0 - 0.01))
_CONSTANT = ACTION * (0.5 * math.log(2.0 * math.pi) + 2.0 * math.log(2.0))


def tanh_normal_by_hand(net: nn.Module) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Sample and score a squashed normal, in as few operations of torch as we could."""

    def act(observation: Tensor) -> tuple[Tensor, Tensor]:
        loc, raw = net(observation).chunk(2, -1)
        scale = F.softplus(raw + _BIAS) + 0.01
        noise = torch.randn_like(loc)
        u = torch.addcmul(loc, scale, noise)
        # −log N(u) = log scale + ½ noise² + c, and log |da/du| = −2 log cosh u, with log cosh u = u + softplus(−2u) − log 2.
        surprise = torch.addcmul(scale.log(), noise, noise, value=0.5)
        log_cosh = torch.sub(u, F.softplus(u, -2.0, 40.0), alpha=2.0)
        return u.tanh(), -_CONSTANT - torch.sub(surprise, log_cosh, alpha=2.0).sum(-1)

    return act


def _actor() -> Case:
    def ours() -> tuple[Callable[[Any], Any], bool]:
        net = nn.Sequential(_net(2 * ACTION), keywork.distributions.NormalParamExtractor())
        module = keywork.nn.TensorDictModule(net, ["observation"], ["loc", "scale"])
        tanh_normal = keywork.distributions.TanhNormal
        return keywork.modules.ProbabilisticActor(
            module, ["loc", "scale"], distribution_class=tanh_normal, return_log_prob=True
        ), True

    def torchrls() -> tuple[Callable[[Any], Any], bool]:
        from tensordict.nn import TensorDictModule
        from torchrl.modules import NormalParamExtractor, ProbabilisticActor, TanhNormal

        net = nn.Sequential(_net(2 * ACTION), NormalParamExtractor())
        module = TensorDictModule(net, ["observation"], ["loc", "scale"])
        return ProbabilisticActor(
            module, ["loc", "scale"], distribution_class=TanhNormal, return_log_prob=True
        ), True

    makers: dict[str, Any] = {
        "tanh-normal by hand": lambda: (tanh_normal_by_hand(_net(2 * ACTION)), False),
        "keywork ProbabilisticActor": ours,
    }
    if find_spec("torchrl"):
        makers["torchrl ProbabilisticActor"] = torchrls
    return Case("An actor: the module, a tanh-normal draw, and its log-probability", 1.25, 1.1, makers)
