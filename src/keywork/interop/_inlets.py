"""Children that TorchRL looks for when it walks through a policy. They have no parameters, and nobody calls them."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import nn

from keywork._wiring import specs_of_carried
from keywork.interop._specs import spec_from_torchrl, spec_to_torchrl
from keywork.interop._torchrl import torchrl
from keywork.modules import ExplorationModule, RandomPolicy
from keywork.nn import TensorDictModuleBase
from keywork.specs import Composite


def attach_inlets(theirs: nn.Module, ours: TensorDictModuleBase) -> None:
    """Give their module what TorchRL finds by it: the beginning of what ours carries, and where to put a spec."""
    if ours.contract.carries:
        theirs.add_module("_primer", Primer(ours))
    if isinstance(ours, ExplorationModule | RandomPolicy) and ours.spec is None:
        theirs.add_module("_spec_inlet", spec_inlet(ours))


class Primer(nn.Module):
    """What ``get_primers_from_module`` asks for the primer of a module that carries entries from step to step.

    Args:
        module: the keywork module.
    """

    def __init__(self, module: TensorDictModuleBase) -> None:
        super().__init__()
        self.__dict__["of"] = module  # and not as a child, which it is elsewhere

    def make_tensordict_primer(self) -> Any:
        """A ``TensorDictPrimer`` of zeros, as a collector of keywork begins with them."""
        carried = specs_of_carried(self.of)
        # Where environments are by default: a policy may be elsewhere, or (in a worker) nowhere yet, on "meta".
        primers = spec_to_torchrl(Composite(carried).to("cpu"))
        return torchrl("envs", "to_torchrl").TensorDictPrimer(primers, expand_specs=True)


def spec_inlet(module: ExplorationModule | RandomPolicy) -> Any:
    """What ``set_exploration_modules_spec_from_env`` takes for a module that waits for the spec of its action."""
    inlet = _inlet_class().__new__(_inlet_class())
    nn.Module.__init__(inlet)
    inlet.__dict__["of"] = module
    return inlet


@cache
def _inlet_class() -> Any:
    base: Any = torchrl("modules", "to_torchrl").AdditiveGaussianModule  # the class that TorchRL looks for

    class SpecInlet(base):  # type: ignore[misc]
        """Hands the spec of TorchRL's environment on to a keywork module."""

        in_keys, out_keys = (), ()

        @property
        def _spec(self) -> Any:
            return self.of.spec

        @property
        def spec(self) -> Any:
            return self.of.spec

        @spec.setter
        def spec(self, spec: Any) -> None:
            self.of.spec = spec_from_torchrl(spec)

        def __reduce__(self) -> Any:
            return spec_inlet, (self.of,)

    return SpecInlet
