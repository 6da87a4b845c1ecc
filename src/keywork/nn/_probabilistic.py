"""Key modules that draw from a distribution."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributions import Distribution

from keywork._errors import ContractError, Finding
from keywork._keys import SAMPLE_LOG_PROB, Key, as_key, as_keys, leaf, listed, nearest, with_leaf
from keywork.nn._base import Inplace, TensorDictModuleBase
from keywork.nn._exploration import ExplorationType, exploration_type
from keywork.nn._sequential import TensorDictSequential


class ProbabilisticTensorDictModule(TensorDictModuleBase):
    """Build a distribution from the entries of ``in_keys`` and draw from it, as the exploration type says.

    Args:
        in_keys: the distribution's parameters, whose last parts are its argument names (``["loc", "scale"]``), or
            a dict ``{argument name: key}``.
        out_keys: the key of the sample.
        distribution_class: the distribution, or a function that returns one.
        distribution_kwargs: further arguments of every construction.
        default_interaction_type: what is done outside of :func:`set_exploration_type`.
        return_log_prob: also write the log-probability of the sample, scored where it is drawn.
        log_prob_key: where to; ``"sample_log_prob"`` beside the sample if left out.
        generator: a generator of the random draws, in place of torch's own.

    Raises:
        ContractError: the distribution has no such parameters.

    >>> head = ProbabilisticTensorDictModule(["loc", "scale"], ["action"], distribution_class=torch.distributions.Normal)
    >>> from tensordict import TensorDict
    >>> head(TensorDict(loc=torch.zeros(3), scale=torch.ones(3), batch_size=[3]))["action"].shape
    torch.Size([3])
    """

    def __init__(
        self,
        in_keys: Any,
        out_keys: Any,
        *,
        distribution_class: Callable[..., Distribution],
        distribution_kwargs: Mapping[str, Any] | None = None,
        default_interaction_type: Any = ExplorationType.RANDOM,
        return_log_prob: bool = False,
        log_prob_key: Any = None,
        generator: torch.Generator | None = None,
        inplace: Inplace = True,
    ) -> None:
        named = {str(k): as_key(v) for k, v in in_keys.items()} if isinstance(in_keys, Mapping) else None
        params = list(named.values()) if named is not None else list(as_keys(in_keys))
        samples = as_keys(out_keys)
        self._arguments = tuple(named) if named is not None else tuple(leaf(key) for key in params)
        self.distribution_class, self.distribution_kwargs = distribution_class, dict(distribution_kwargs or {})
        self.default_interaction_type = ExplorationType.of(default_interaction_type)
        self.return_log_prob, self.generator = return_log_prob, generator
        self.dist_params_keys, self.dist_sample_keys = params, list(samples)
        findings = self._findings()
        if findings:
            raise ContractError(type(self).__name__, findings)
        self.log_prob_key = as_key(log_prob_key or with_leaf(samples[0], SAMPLE_LOG_PROB))
        super().__init__(params, [*samples, *([self.log_prob_key] if return_log_prob else [])], inplace=inplace)

    def _findings(self) -> list[Finding]:
        name = getattr(self.distribution_class, "__name__", repr(self.distribution_class))
        if len(self.dist_sample_keys) != 1:
            problem = f"out_keys is {self.dist_sample_keys}, and a {name} gives one sample."
            return [Finding("sample-key", problem, "", "name one key, such as out_keys=['action'].")]
        accepted = inspect.signature(self.distribution_class).parameters
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values()):
            return []
        findings = []
        provided = f"{name}({', '.join(accepted)})"
        for given, kind in ((self._arguments, "parameter"), (self.distribution_kwargs, "keyword argument")):
            for argument in given:
                if argument not in accepted:
                    near = nearest(argument, accepted, cutoff=0.5)
                    fix = f"did you mean {near!r}? " if near else ""
                    fix += "Name a key otherwise with in_keys={'argument': key}." if kind == "parameter" else "Drop it."
                    findings.append(Finding(f"unknown-{kind}", f"{name} has no {kind} {argument!r}.", provided, fix))
        missing = [
            parameter.name
            for parameter in accepted.values()
            if parameter.default is parameter.empty
            and parameter.kind is not parameter.VAR_POSITIONAL
            and parameter.name not in {*self._arguments, *self.distribution_kwargs}
        ]
        if missing:
            problem = f"{name} needs {listed(missing)}, which in_keys does not bring."
            fix = f"add a key for {missing[0]!r} to in_keys, or pass distribution_kwargs={{{missing[0]!r}: ...}}."
            findings.append(Finding("missing-parameter", problem, f"in_keys={self.dist_params_keys}", fix))
        return findings

    @property
    def log_prob_keys(self) -> list[Key]:
        """Where log-probabilities are written, one for each sample."""
        return [self.log_prob_key]

    def dist_of(self, *params: Any) -> Distribution:
        """The distribution, from the tensors of ``in_keys``."""
        return self.distribution_class(**dict(zip(self._arguments, params, strict=True)), **self.distribution_kwargs)

    def get_dist(self, tensordict: Any) -> Distribution:
        """The distribution of the parameters that a TensorDict holds."""
        return self.dist_of(*self.read(tensordict))

    build_dist_from_params = get_dist

    def log_prob(self, tensordict: Any) -> Tensor:
        """The log-probability of the sample that a TensorDict holds."""
        return cast(Tensor, self.get_dist(tensordict).log_prob(tensordict[self.dist_sample_keys[0]]))

    def compute(self, *params: Any) -> tuple[Any, ...]:
        """Draw, and score if ``return_log_prob``."""
        kind = exploration_type() or self.default_interaction_type
        return draw(self.dist_of(*params), kind, self.return_log_prob, self.generator)


class ProbabilisticTensorDictSequential(TensorDictSequential):
    """Steps of which the last draws from a distribution, whose parameters the steps before it compute.

    Arguments are those of :class:`TensorDictSequential`.

    Raises:
        ContractError: the last step has no distribution.
    """

    def findings(self, steps: Sequence[tuple[str, TensorDictModuleBase]]) -> list[Finding]:
        """The findings of every chain, and a last step without a distribution."""
        found = super().findings(steps)
        if not steps or not hasattr(steps[-1][1], "dist_of"):
            problem = f"step {steps[-1][0]} is the last and has no distribution." if steps else "there is no step."
            fix = "end with a ProbabilisticTensorDictModule, or use TensorDictSequential."
            found.append(Finding("no-distribution", problem, "", fix))
        return found

    @property
    def head(self) -> Any:
        """The last step, which draws."""
        return self.steps[-1]

    def dist_of(self, *inputs: Any) -> Distribution:
        """The distribution, from the tensors of ``in_keys``: a pure function of tensors, as ``compute``."""
        *before, head = self._children().values()
        values = self._program.run(before, inputs)
        return cast(Distribution, head.dist_of(*[values[slot] for slot in self._program.steps[-1][0]]))

    def get_dist(self, tensordict: Any) -> Distribution:
        """The distribution that follows from what a TensorDict holds; the TensorDict is left alone."""
        if self.opaque:
            return cast(Distribution, self.head.get_dist(self.get_dist_params(tensordict)))
        return self.dist_of(*self.read(tensordict))

    def get_dist_params(self, tensordict: Any) -> Any:
        """A copy of a TensorDict with what the steps before the last one write."""
        before: TensorDictModuleBase = self[:-1]
        return before(tensordict.copy())

    def build_dist_from_params(self, tensordict: Any) -> Distribution:
        """The distribution of the parameters that a TensorDict already holds."""
        return cast(Distribution, self.head.build_dist_from_params(tensordict))

    def log_prob(self, tensordict: Any) -> Tensor:
        """The log-probability, under the policy as it is now, of the sample that a TensorDict holds."""
        return cast(Tensor, self.get_dist(tensordict).log_prob(tensordict[self.dist_sample_keys[0]]))

    def __getattr__(self, name: str) -> Any:
        # What the distribution's step says of its keys and defaults holds for the whole.
        if name in ("log_prob_key", "log_prob_keys", "dist_params_keys", "dist_sample_keys", "return_log_prob",
                    "default_interaction_type", "distribution_class", "distribution_kwargs", "generator"):
            return getattr(self.head, name)
        return super().__getattr__(name)


def draw(dist: Any, kind: ExplorationType, with_log_prob: bool, generator: torch.Generator | None) -> tuple[Any, ...]:
    """A value of the distribution as the exploration type says, and its log-probability if asked for.

    A distribution that can score a draw where it is made (``rsample_and_log_prob``) does so: scoring it afterwards
    has lost what the last transformation rounded away.
    """
    options = {} if generator is None else {"generator": generator}
    if kind is ExplorationType.RANDOM:
        name = "rsample" if dist.has_rsample else "sample"
        jointly = getattr(dist, f"{name}_and_log_prob", None) if with_log_prob else None
        if jointly is not None:
            return cast(tuple[Any, ...], jointly(**options))
        value = getattr(dist, name)(**options)
    elif kind is ExplorationType.DETERMINISTIC:
        value = dist.deterministic_sample if hasattr(dist, "deterministic_sample") else _representative(dist)
    else:
        value = dist.mode if kind is ExplorationType.MODE else dist.mean
    return (value, dist.log_prob(value)) if with_log_prob else (value,)


def _representative(dist: Distribution) -> Tensor:
    """The mode, or the mean of a distribution of torch that has no mode."""
    try:
        return dist.mode
    except NotImplementedError:
        return dist.mean
