"""Several named actions at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, cast, final

import torch
from tensordict import TensorDict, is_tensor_collection
from torch import Size, Tensor
from torch.distributions import Distribution

from keywork._errors import ContractError, SpecError, describe
from keywork._keys import Key, as_key, listed

from ._base import NO_SHAPE
from ._composite_parts import ActionPart, overlaps, parts_of_map
from ._composite_support import JointSupport
from ._composite_values import entry_of, values_of
from ._constraints import Constraint
from ._noiseless import noiseless


@final
class CompositeDistribution(Distribution):
    """Independent actions a₁, a₂, ... under keys of their own: log p(a) = Σᵢ log pᵢ(aᵢ), H = Σᵢ Hᵢ.

    A value is a TensorDict of the samples, of batch size ``[*sample_shape, *batch]``. What is scored may be a
    TensorDict, a mapping, or a tuple in the order of ``keys``. All parts have one batch shape; nothing is broadcast.
    Each exploration type takes from each part what it takes from that distribution alone.

    Args:
        params: the parameters, ``{name: {argument: tensor}}``: a TensorDict or nested mappings.
        distribution_map: ``{name: distribution}``, each a class, or a function that returns one.
        name_map: ``{name: key of the sample}``, for names that are not their own keys.
        extra_kwargs: ``{name: further arguments}``.
        validate_args: passed on to every part that ``extra_kwargs`` does not tell otherwise.

    Raises:
        ContractError: the maps name actions that are not there, or two samples share a key.
        SpecError: an action has no parameters, or two parts have different batch shapes.

    >>> from keywork.distributions import Categorical, TanhNormal
    >>> params = {"steer": {"loc": torch.zeros(4, 1), "scale": torch.ones(4, 1)}, "gear": {"logits": torch.zeros(4, 5)}}
    >>> dist = CompositeDistribution(params, {"steer": TanhNormal, "gear": Categorical})
    >>> action = dist.sample()
    >>> action["steer"].shape, action["gear"].shape, dist.log_prob(action).shape
    (torch.Size([4, 1]), torch.Size([4]), torch.Size([4]))
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(
        self,
        params: Any,
        distribution_map: Mapping[Any, Callable[..., Distribution]],
        *,
        name_map: Mapping[Any, Any] | None = None,
        extra_kwargs: Mapping[Any, Mapping[str, Any]] | None = None,
        validate_args: bool | None = None,
    ) -> None:
        parts, findings = parts_of_map(distribution_map, name_map, extra_kwargs)
        if findings:
            raise ContractError(type(self).__name__, findings)
        common: dict[str, Any] = {} if validate_args is None else {"validate_args": validate_args}
        self._hold({part.key: made(part, params, common) for part in parts})

    @classmethod
    def from_distributions(cls, distributions: Mapping[Any, Distribution]) -> Self:
        """Join distributions that are there, under the keys of their samples.

        Raises:
            ContractError: there is none, or two samples share a key.
            SpecError: two parts have different batch shapes.
        """
        held = {as_key(key): dist for key, dist in distributions.items()}
        findings = overlaps(list(held)) if held else parts_of_map({}, None, None)[1]
        if findings:
            raise ContractError(cls.__name__, findings)
        return cls._of(held)

    @classmethod
    def _of(cls, distributions: dict[Key, Distribution]) -> Self:
        self = cls.__new__(cls)
        self._hold(distributions)
        return self

    def _hold(self, dists: dict[Key, Distribution]) -> None:
        self._dists, self._keys = dists, tuple(dists)
        batch, *others = [dist.batch_shape for dist in dists.values()]
        self._batch_shape, self._event_shape, self._validate_args = batch, NO_SHAPE, False
        for key, other in zip(self._keys[1:], others, strict=True):
            if other != batch:
                raise self._uneven(self._keys[0], key)

    def _uneven(self, *keys: Key) -> SpecError:
        one, other = (
            f"{key!r} ({type(dist).__name__}) has batch shape {list(dist.batch_shape)} and event shape "
            f"{list(dist.event_shape)}"
            for key, dist in ((key, self._dists[key]) for key in keys)
        )
        return SpecError(
            f"CompositeDistribution cannot be built: {one}, {other}, and all parts need the same batch shape. "
            "Bring the parameters to one batch shape; torch.distributions.Independent(dist, 1) counts the last "
            "dimension of a part as its action's."
        )

    @property
    def dists(self) -> dict[Key, Distribution]:
        """The parts, by the keys of their samples, in order."""
        return dict(self._dists)

    def keys(self) -> tuple[Key, ...]:
        """The keys of the samples, in order."""
        return self._keys

    def __getitem__(self, key: Any) -> Distribution:
        return self._dists[as_key(key)]

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]  # torch has it as a plain attribute
        """Whether every part has a reparameterised sample."""
        return all(dist.has_rsample for dist in self._dists.values())

    @property
    def support(self) -> JointSupport:
        """Each action in the support of its part."""
        return JointSupport({key: cast(Constraint, dist.support) for key, dist in self._dists.items()})

    @property
    def mode(self) -> Any:
        """The mode of every part, a TensorDict."""
        return self._noiseless("mode")

    @property
    def mean(self) -> Any:
        """The mean of every part as MEAN exploration takes it (of a discrete one, its mode); a TensorDict."""
        return self._noiseless("mean")

    @property
    def deterministic_sample(self) -> Any:
        """What DETERMINISTIC exploration takes from every part; a TensorDict."""
        return self._noiseless("deterministic")

    def sample(self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None) -> Any:
        """Draw every action, with no gradient; a TensorDict."""
        return self._drawn("sample", sample_shape, generator)

    def rsample(self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None) -> Any:
        """Draw every action with a gradient to its parameters; a TensorDict.

        Raises:
            NotImplementedError: a part has no reparameterised sample.
        """
        self._require_rsample()
        return self._drawn("rsample", sample_shape, generator)

    def sample_and_log_prob(
        self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> tuple[Any, Tensor]:
        """Draw every action and score them together, each where it is drawn."""
        return self._scored("sample", sample_shape, generator)

    def rsample_and_log_prob(
        self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> tuple[Any, Tensor]:
        """The same by reparameterised samples."""
        self._require_rsample()
        return self._scored("rsample", sample_shape, generator)

    def log_probs(self, value: Any) -> tuple[Tensor, ...]:
        """The log-probability ``[..., *batch]`` of each action, in the order of ``keys``."""
        values = values_of(self._keys, value)
        return tuple([dist.log_prob(one) for dist, one in zip(self._dists.values(), values, strict=True)])

    def log_prob(self, value: Any) -> Tensor:
        """The log-probability of all actions together, ``[..., *batch]``: the sum of :meth:`log_probs`."""
        return joint(self.log_probs(value))

    def entropy(self) -> Tensor:
        """The sum of the parts' entropies, ``[*batch]``."""
        return joint([dist.entropy() for dist in self._dists.values()])

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Self:
        """The same distribution over a larger batch; no memory is copied."""
        return self._of({key: dist.expand(Size(batch_shape)) for key, dist in self._dists.items()})

    def __repr__(self) -> str:
        parts = ", ".join(f"{key!r}: {type(dist).__name__}" for key, dist in self._dists.items())
        return f"CompositeDistribution({{{parts}}}, batch_shape={list(self.batch_shape)})"

    def _noiseless(self, kind: str) -> TensorDict:
        return self._gathered({key: noiseless(dist, kind) for key, dist in self._dists.items()})

    def _drawn(self, name: str, shape: Sequence[int], generator: torch.Generator | None) -> TensorDict:
        options = {} if generator is None else {"generator": generator}
        drawn = {key: getattr(dist, name)(Size(shape), **options) for key, dist in self._dists.items()}
        return self._gathered(drawn, shape)

    def _scored(self, name: str, shape: Sequence[int], generator: torch.Generator | None) -> tuple[TensorDict, Tensor]:
        values, scores = {}, []
        for key, dist in self._dists.items():
            values[key], score = sample_and_score(dist, name, Size(shape) if shape else NO_SHAPE, generator)
            scores.append(score)
        return self._gathered(values, shape), joint(scores)

    def _gathered(self, values: dict[Key, Tensor], shape: Sequence[int] = NO_SHAPE) -> TensorDict:
        return TensorDict(values, Size(shape) + self._batch_shape if shape else self._batch_shape)

    def _require_rsample(self) -> None:
        without = [key for key, dist in self._dists.items() if not dist.has_rsample]
        if without:
            raise NotImplementedError(
                f"CompositeDistribution has no reparameterised sample: {listed(without)} of {listed(self._keys)} "
                "has none; use sample() and the score: log_prob()."
            )


def sample_and_score(
    dist: Any, name: str, shape: Sequence[int], generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Draw by ``sample`` or ``rsample`` and score, in one where the distribution can do that.

    Scoring a sample afterwards has lost what the last transformation rounded away.
    """
    jointly = getattr(dist, f"{name}_and_log_prob", None)
    if jointly is not None and generator is None and not shape:  # the common case
        return cast(tuple[Tensor, Tensor], jointly())
    options = {} if generator is None else {"generator": generator}
    if jointly is not None:
        return cast(tuple[Tensor, Tensor], jointly(shape, **options) if shape else jointly(**options))
    value = getattr(dist, name)(shape, **options) if shape else getattr(dist, name)(**options)
    return value, dist.log_prob(value)


def joint(scores: Sequence[Tensor]) -> Tensor:
    """The sum of what belongs to independent parts; one shape, nothing is broadcast.

    Raises:
        SpecError: the shapes differ.
    """
    total, *others = scores
    for score in others:
        if score.shape != total.shape:
            shapes = ", ".join(str(list(score.shape)) for score in scores)
            raise SpecError(
                f"CompositeDistribution cannot add up what its parts give: the shapes are {shapes}. "
                "Score values that all have the same leading dimensions."
            )
        total = total + score
    return total


def made(part: ActionPart, params: Any, common: Mapping[str, Any]) -> Distribution:
    """The distribution of one action, from the group of its parameters in ``params``.

    Raises:
        SpecError: there is no such group.
    """
    arguments = params.get(part.name) if type(params) is dict else None
    arguments = entry_of(params, part.name) if arguments is None else arguments
    if type(arguments) is dict:  # the common case
        return part.maker(**{**common, **part.keywords, **arguments})
    if not isinstance(arguments, Mapping) and not is_tensor_collection(arguments):
        what = "is not there" if arguments is None else f"is {describe(arguments)}"
        held = listed(params.keys()) if isinstance(params, Mapping) or is_tensor_collection(params) else "no names"
        raise SpecError(
            f"CompositeDistribution cannot be built: the group of parameters of {part.name!r} {what}. "
            f"params holds {held}. Pass {{{part.name!r}: {{argument: tensor}}}}."
        )
    return part.maker(**{**common, **part.keywords, **dict(arguments.items())})
