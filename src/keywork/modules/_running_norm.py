"""Observations with a mean of zero and a variance of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

from tensordict import is_tensor_collection
from torch import Tensor, nn

from keywork._errors import SpecError, UsageError, shape_of
from keywork._keys import OBSERVATION, VALID, Key, as_keys, listed, meant, with_suffix
from keywork.modules._from_spec_leaves import leaves_of
from keywork.modules._moments import Moments
from keywork.modules._refusal import refusal
from keywork.nn import TensorDictModuleBase
from keywork.specs import Bounded, Composite, Spec


class RunningNorm(TensorDictModuleBase):
    """Standardise observations by their running mean μ and variance σ².    y = clip((x - μ) / √(σ² + eps), ±clip)

    The statistics change by :meth:`update` alone, never in a call: between collecting a batch and learning from it a
    policy's log-probabilities stay what they are. An algorithm updates them when it has learned from a batch, see
    :func:`update_statistics`. They are buffers in float64 without gradient, whatever the type of the policy, and so
    are saved, copied, moved and exported with it.

    One module serves a policy and its critic: as the first step of both, or inside of networks that are built with
    ``NetworkConfig(observation_norm=norm)``.

    Observations of floating numbers are standardised. Others have no mean to speak of: indices and flags are names,
    and the bytes of an image have a known range, by which :class:`~keywork.nets.ConvNet` divides them.

    Args:
        observation_spec: of what there is: a Composite by key, or one spec for ``"observation"``.
        in_keys: what to standardise; all floating numbers if left out.
        out_keys: ``"<in-key>_norm"`` if left out.
        clip: how far from zero the results may be.
        eps: is added to the variance.

    Raises:
        SpecError: there is nothing to standardise, or no such observation, or one that is no floating numbers.
        UsageError: clip or eps is not above zero.

    Each entry is ``[*B, *shape]`` before and after, of the type that it had.

    >>> import torch
    >>> from keywork.specs import Unbounded
    >>> norm = RunningNorm(Unbounded((2,)))
    >>> norm.update(torch.tensor([[0.0, 10.0], [2.0, 30.0]]))  # means 1 and 20, deviations 1 and 10
    >>> norm(torch.tensor([[2.0, 20.0], [3.0, 0.0]]))
    tensor([[ 1.,  0.],
            [ 2., -2.]])
    >>> norm.in_keys, norm.out_keys
    (['observation'], ['observation_norm'])
    """

    _keyed = ("_seen",)

    def __init__(
        self, observation_spec: Any, in_keys: Any = None, out_keys: Any = None, *, clip: float = 10.0, eps: float = 1e-8
    ) -> None:
        require_positive(type(self).__name__, clip=clip, eps=eps)
        seen = leaves_of(type(self).__name__, "observation_spec", observation_spec, OBSERVATION)
        chosen = _chosen(type(self).__name__, seen, None if in_keys is None else as_keys(in_keys))
        super().__init__(chosen, [with_suffix(key, "_norm") for key in chosen] if out_keys is None else out_keys)
        if len(self._out_keys) != len(chosen):
            raise refusal(
                SpecError,
                f"{type(self).__name__} cannot be built: in_keys and out_keys are not of one number.",
                where="out_keys",
                expected=f"{len(chosen)}, one for each of {listed(chosen)}",
                got=listed(self._out_keys),
                fix="leave out_keys out",
            )
        self.clip, self.eps = clip, eps
        self._shapes = [tuple(seen[key].shape) for key in chosen]
        self._seen = seen
        self._each = tuple(Moments(shape) for shape in self._shapes)
        self.moments = nn.ModuleList(self._each)

    @property
    def out_specs(self) -> Composite:
        """What a network behind this step is shown: all observations, those that are standardised under their new keys.

        >>> from keywork.specs import Categorical, Unbounded
        >>> RunningNorm({"speed": Unbounded((2,)), "gear": Categorical(5)}).out_specs.keys()
        ('speed_norm', 'gear')
        """
        new = dict(zip(self._in_keys, self._out_keys, strict=True))
        return Composite(
            {
                new.get(key, key): Bounded(-self.clip, self.clip, spec.shape, spec.dtype) if key in new else spec
                for key, spec in self._seen.items()
            }
        )

    @property
    def frozen(self) -> bool:
        """Whether updates change nothing."""
        return any(of_one.frozen for of_one in self._each)

    def freeze(self, mode: bool = True) -> Self:
        """Keep the statistics as they are from now on, or no longer with False; returns the module itself."""
        for of_one in self._each:
            of_one.frozen = mode
        return self

    def update(self, *data: Any) -> None:
        """Merge a batch into the statistics.

        Args:
            data: a TensorDict that holds the observations, of any batch size; its steps of which
                ``("collector", "valid")`` says no do not count. Or the observations themselves, in order.

        Raises:
            MissingKeyError: an observation is absent.
            SpecError: one is of another shape, or no floating numbers.
            NonFiniteError: one holds a NaN or an infinity.
        """
        whole = data[0] if len(data) == 1 and is_tensor_collection(data[0]) else None
        values: Sequence[Tensor] = data if whole is None else self.read(whole)
        self._require_fit(values)
        valid = None if whole is None else whole.get(VALID, None)
        for key, value, of_one, shape in zip(self._in_keys, values, self._each, self._shapes, strict=True):
            rows = value.detach().reshape(-1, *shape)
            of_one.update(rows if valid is None else rows[valid.reshape(-1)], repr(key))

    def compute(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The observations, standardised."""
        self._require_fit(inputs)
        pairs = zip(inputs, self._each, strict=True)
        return tuple([m.standardised(x, self.eps).clamp(-self.clip, self.clip).to(x.dtype) for x, m in pairs])

    def _require_fit(self, values: Sequence[Tensor]) -> None:
        for key, value, shape in zip(self._in_keys, values, self._shapes, strict=True):
            if value.shape[value.ndim - len(shape) :] != shape or not value.dtype.is_floating_point:
                raise refusal(
                    SpecError,
                    f"{self.label} cannot run: {key!r} is not what it was built for.",
                    where=repr(key),
                    expected=f"floating numbers of shape [*B{''.join(f', {n}' for n in shape)}]",
                    got=shape_of(value),
                    fix=f"{self.label}(env.observation_spec), of the environment that shows this",
                )


def update_statistics(modules: nn.Module | Iterable[nn.Module], batch: Any) -> None:
    """Update every :class:`RunningNorm` within modules by a batch, each one once, in how many places it may be.

    An algorithm calls this once it has learned from the batch.

    Args:
        modules: policies, critics or losses.
        batch: a TensorDict as it was collected.

    Raises:
        MissingKeyError: the batch lacks an observation.
        NonFiniteError: an observation holds a NaN or an infinity.

    >>> import torch
    >>> from keywork.modules import NetworkConfig, ProbabilisticActor, ValueOperator
    >>> from keywork.specs import Categorical, Unbounded
    >>> from tensordict import TensorDict
    >>> norm = RunningNorm(Unbounded((4,)))
    >>> config = NetworkConfig(observation_norm=norm)
    >>> actor = ProbabilisticActor.from_spec(Unbounded((4,)), Categorical(2), config=config)
    >>> critic = ValueOperator.from_spec(Unbounded((4,)), config=config)
    >>> update_statistics([actor, critic], TensorDict(observation=torch.randn(8, 4), batch_size=[8]))
    >>> norm.moments[0].count
    tensor(8)
    """
    roots = [modules] if isinstance(modules, nn.Module) else [*modules]
    norms = {part.moments: part for root in roots for part in root.modules() if isinstance(part, RunningNorm)}
    for norm in norms.values():  # by their statistics, as a module under other keys shares them
        norm.update(batch)


def require_positive(owner: str, **numbers: float) -> None:
    """Refuse numbers that are not above zero.

    Raises:
        UsageError: one is not.
    """
    for name, number in numbers.items():
        if not number > 0.0:
            raise refusal(
                UsageError,
                f"{owner} cannot be built: {name} is out of range.",
                where=name,
                expected="a number above zero",
                got=repr(number),
                fix=f"leave {name} out",
            )


def _chosen(owner: str, seen: dict[Key, Spec], asked: tuple[Key, ...] | None) -> list[Key]:
    numbers = [key for key, spec in seen.items() if spec.dtype is not None and spec.dtype.is_floating_point]
    chosen = numbers if asked is None else list(asked)
    wrong = [key for key in chosen if key not in numbers]
    if chosen and not wrong:
        return chosen
    unknown = [key for key in wrong if key not in seen]
    raise refusal(
        SpecError,
        f"{owner} cannot be built: "
        + (f"{wrong[0]!r} is {'not observed' if unknown else 'no floating numbers'}." if wrong else "no numbers."),
        where="in_keys" if wrong else "observation_spec",
        expected="observations of floating numbers: indices are names, and bytes of images are divided by 255 anyway",
        got=", ".join(f"{key!r} {spec}" for key, spec in seen.items()),
        fix=f"{meant(unknown[0], seen) if unknown else ''}"
        + (f"in_keys=[{listed(numbers)}]" if numbers else "leave it out of the networks"),
    )
