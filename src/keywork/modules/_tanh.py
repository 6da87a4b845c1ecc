"""Squashing a network's output into bounds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from keywork._errors import SpecError
from keywork._keys import Key, as_keys
from keywork.modules._exploration import leaf_spec
from keywork.modules._refusal import refusal
from keywork.nn import TensorDictModuleBase
from keywork.specs import Bounded, Spec, as_spec


class TanhModule(TensorDictModuleBase):
    """y = c + h tanh(x),    c = (low + high) / 2,  h = (high − low) / 2

    Of any bounds zero goes to the centre, and nothing goes outside. A deterministic policy (DDPG, TD3) ends in this.

    Args:
        in_keys: what is squashed: one key or several.
        out_keys: where to; the in_keys if left out.
        spec: the bounds: Bounded, or a Box, for all out_keys, or a Composite that has each of them.
        low: lower bound, a number or an array that broadcasts to the entry; -1 if left out.
        high: upper bound, likewise; 1 if left out.
        clamp: stay off the bounds by one number, so that the inverse of tanh is finite.

    Raises:
        SpecError: bounds that are infinite or not low < high; a spec without bounds, or besides bounds.

    >>> TanhModule(["action"], low=0.0, high=10.0)(torch.tensor([-50.0, 0.0, 50.0]))
    tensor([ 0.,  5., 10.])
    """

    _keyed = ("spec",)

    def __init__(
        self,
        in_keys: Any,
        out_keys: Any = None,
        *,
        spec: Any = None,
        low: Any = None,
        high: Any = None,
        clamp: bool = False,
    ) -> None:
        reads = as_keys(in_keys)
        writes = reads if out_keys is None else as_keys(out_keys)
        if len(reads) != len(writes):
            raise _refused(
                "there are not as many out_keys as in_keys",
                "out_keys",
                f"as many as in_keys, {len(reads)}",
                f"{len(writes)}",
                "leave out_keys out",
            )
        super().__init__(list(reads), list(writes))
        self.clamp = clamp
        self.spec: Spec | None = None if spec is None else as_spec(spec)
        if spec is not None and (low is not None or high is not None):
            raise _refused(
                "its bounds are given twice",
                "spec, low, high",
                "a spec, or low and high",
                "both",
                "leave low and high out",
            )
        self._forms: list[tuple[str, str, bool]] = []
        for number, key in enumerate(writes):
            least, most = (low, high) if self.spec is None else self._bounds_in(key)
            lower, upper = _as_bound("low", least, -1.0), _as_bound("high", most, 1.0)
            if not bool((lower < upper).all()):
                raise _refused(
                    "its bounds leave no room between them",
                    "low, high",
                    "low below high everywhere",
                    f"{least!r}, {most!r}",
                    "low=-1.0, high=1.0",
                )
            self.register_buffer(f"_low_{number}", lower, persistent=False)
            self.register_buffer(f"_high_{number}", upper, persistent=False)
            # The two forms differ in rounding: around a centre of zero the first one keeps all digits.
            self._forms.append((f"_low_{number}", f"_high_{number}", bool((lower == -upper).all())))

    def _bounds_in(self, key: Key) -> tuple[Tensor, Tensor]:
        spec = leaf_spec(type(self).__name__, self.spec, key)
        if not isinstance(spec, Bounded):
            raise _refused(
                "its spec has no bounds", "spec", "one with bounds: Bounded, or a Box", repr(spec), "low=-1.0, high=1.0"
            )
        return spec.low, spec.high

    def compute(self, *inputs: Any) -> tuple[Any, ...]:
        """Squash each entry."""
        return tuple([self._squashed(x, *form) for x, form in zip(inputs, self._forms, strict=True)])

    def _squashed(self, x: Tensor, low_name: str, high_name: str, symmetric: bool) -> Tensor:
        low, high = getattr(self, low_name).to(x.dtype), getattr(self, high_name).to(x.dtype)
        # σ(2x) is (1 + tanh x) / 2: a half where x is zero, and never outside of [0, 1].
        y = x.tanh() * high if symmetric else torch.lerp(low, high, (x + x).sigmoid())
        return y.clamp(torch.nextafter(low, high), torch.nextafter(high, low)) if self.clamp else y


def _as_bound(name: str, bound: Any, default: float) -> Tensor:
    value = torch.as_tensor(default if bound is None else bound)
    value = value if value.is_floating_point() else value.to(torch.get_default_dtype())
    if not bool(value.isfinite().all()):
        raise _refused(
            "a bound is not finite", name, "finite numbers", repr(bound), "an unbounded action needs no TanhModule"
        )
    return value.detach().clone()


def _refused(problem: str, where: str, expected: str, got: str, fix: str) -> SpecError:
    what = f"TanhModule cannot be built: {problem}."
    return refusal(SpecError, what, where=where, expected=expected, got=got, fix=fix)
