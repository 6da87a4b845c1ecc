"""Key modules that draw from a distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributions import Distribution

from keywork._errors import ContractError, Finding
from keywork._keys import SAMPLE_LOG_PROB, Key, as_key, as_keys, leaf, with_leaf
from keywork.distributions import check_arguments, draw
from keywork.nn._base import TensorDictModuleBase
from keywork.nn._modes import ExplorationType, exploration_type
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

    >>> from tensordict import TensorDict
    >>> normal = torch.distributions.Normal
    >>> head = ProbabilisticTensorDictModule(["loc", "scale"], ["action"], distribution_class=normal)
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
    ) -> None:
        named = {str(k): as_key(v) for k, v in in_keys.items()} if isinstance(in_keys, Mapping) else None
        params = list(named.values()) if named is not None else list(as_keys(in_keys))
        samples = list(as_keys(out_keys))
        arguments = tuple(named) if named is not None else tuple(leaf(key) for key in params)
        findings = check_arguments(distribution_class, arguments, distribution_kwargs or {})
        if len(samples) != 1:
            problem = f"out_keys is {samples}, and a distribution gives one sample."
            findings.append(Finding("sample-key", problem, "", "name one key, such as out_keys=['action']."))
        if findings:
            raise ContractError(type(self).__name__, findings)
        self.log_prob_key = as_key(log_prob_key or with_leaf(samples[0], SAMPLE_LOG_PROB))
        super().__init__(params, samples + self.log_prob_keys * return_log_prob)
        self.distribution_class, self.distribution_kwargs = distribution_class, dict(distribution_kwargs or {})
        self.default_interaction_type = ExplorationType.of(default_interaction_type)
        self.dist_params_keys, self.dist_sample_keys, self._arguments = params, samples, arguments
        self.return_log_prob, self.generator = return_log_prob, generator

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

    def log_prob(self, tensordict: Any) -> Tensor:
        """The log-probability of the sample that a TensorDict holds."""
        return self.get_dist(tensordict).log_prob(tensordict[self.dist_sample_keys[0]])

    def compute(self, *params: Any) -> tuple[Any, ...]:
        """Draw, and score if ``return_log_prob``."""
        kind = exploration_type() or self.default_interaction_type
        return draw(self.dist_of(*params), kind, with_log_prob=self.return_log_prob, generator=self.generator)


class ProbabilisticTensorDictSequential(TensorDictSequential):
    """Steps of which the last draws from a distribution, whose parameters the steps before it compute.

    What the last one says of its keys and defaults (``dist_sample_keys``, ``log_prob_keys`` ...) holds for the whole.
    """

    def findings(self, steps: Mapping[str, TensorDictModuleBase]) -> list[Finding]:
        """The findings of every chain, and a last step without a distribution."""
        last = list(steps)[-1:]
        if last and hasattr(steps[last[0]], "dist_of"):
            return super().findings(steps)
        problem = f"step {last[0]} is the last and has no distribution." if last else "there is no step."
        fix = "end with a ProbabilisticTensorDictModule, or use TensorDictSequential."
        return [*super().findings(steps), Finding("no-distribution", problem, "", fix)]

    def dist_of(self, *inputs: Any) -> Distribution:
        """The distribution, from the tensors of ``in_keys``: a pure function of tensors, as ``compute``."""
        *before, head = self._children.values()
        if self.opaque:
            return self.get_dist(self._held(inputs))
        values = self._program.run(before, inputs)
        return cast(Distribution, head.dist_of(*[values[slot] for slot in self._program.steps[-1][0]]))

    def get_dist(self, tensordict: Any) -> Distribution:
        """The distribution that follows from what a TensorDict holds; the TensorDict is left alone."""
        if self.opaque:
            return cast(Distribution, self[-1].get_dist(self._stepwise(tensordict.copy(), -1)))
        return self.dist_of(*self.read(tensordict))

    def log_prob(self, tensordict: Any) -> Tensor:
        """The log-probability, under the policy as it is now, of the sample that a TensorDict holds."""
        return self.get_dist(tensordict).log_prob(tensordict[self.dist_sample_keys[0]])

    def __getattr__(self, name: str) -> Any:
        return getattr(self[-1], name) if name in _OF_THE_LAST_STEP else super().__getattr__(name)


_OF_THE_LAST_STEP = {
    *("log_prob_key", "log_prob_keys", "return_log_prob", "dist_params_keys", "dist_sample_keys"),
    *("default_interaction_type", "distribution_class", "distribution_kwargs", "generator"),
}
