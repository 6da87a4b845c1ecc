"""Key modules that draw from a distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack, cast

from torch import Tensor, nn
from torch.distributions import Distribution

from keywork._errors import Finding
from keywork._keys import Key
from keywork._modes import ExplorationType, exploration_type
from keywork._wiring import entries
from keywork.distributions import DrawOptions, plan_of, score
from keywork.nn._base import TensorDictModuleBase
from keywork.nn._sequential import TensorDictSequential


class ProbabilisticTensorDictModule(TensorDictModuleBase):
    """Build a distribution from the entries of ``in_keys`` and draw from it, as the exploration type says.

    Several named actions are drawn from a :class:`~keywork.distributions.CompositeDistribution`.

    Args:
        in_keys: the distribution's parameters, whose last parts are its argument names (``["loc", "scale"]``), or
            a dict ``{argument name: key}``. Of several actions: keys that end in action and argument, or a dict
            ``{action: either of these}``, or the one key of a group ``{action: {argument: tensor}}``.
        out_keys: the key of the sample; of several actions, if left out, those that the distribution names.
        distribution_class: the distribution, or a function that returns one; or a dict ``{action: distribution}``.
        distribution_kwargs: further arguments of every construction; after a dict ``{action: further arguments}``.
        return_log_prob: also write the log-probability of the sample, scored where it is drawn.
        options: see :class:`~keywork.distributions.DrawOptions`.

    >>> import torch
    >>> from tensordict import TensorDict
    >>> normal = torch.distributions.Normal
    >>> head = ProbabilisticTensorDictModule(["loc", "scale"], ["action"], distribution_class=normal)
    >>> head(TensorDict(loc=torch.zeros(3), scale=torch.ones(3), batch_size=[3]))["action"].shape
    torch.Size([3])
    """

    _keyed = ("dist_params_keys", "dist_sample_keys", "log_prob_keys", "_plan")

    def __init__(
        self,
        in_keys: Any,
        out_keys: Any = None,
        *,
        distribution_class: Callable[..., Distribution] | Mapping[Any, Callable[..., Distribution]],
        distribution_kwargs: Mapping[Any, Any] | None = None,
        return_log_prob: bool = False,
        **options: Unpack[DrawOptions],
    ) -> None:
        keywords = distribution_kwargs or {}
        plan = plan_of(type(self).__name__, in_keys, out_keys, distribution_class, keywords, options)
        super().__init__(list(plan.params), [*plan.samples, *plan.log_probs * return_log_prob])
        self.dist_params_keys, self.dist_sample_keys = list(plan.params), list(plan.samples)
        self.log_prob_keys: list[Key] = list(plan.log_probs)
        self.distribution_class = plan.arguments[0]
        self.default_interaction_type = ExplorationType.of(options.get("default_interaction_type", "random"))
        self.return_log_prob, self.num_samples = return_log_prob, options.get("num_samples")
        self.generator, self._plan = options.get("generator"), plan
        if plan.alone is None:  # networks among them are found as this module's, as that of a single one is
            self._makers = nn.ModuleList(call.maker for call in plan.calls if isinstance(call.maker, nn.Module))

    @property
    def distribution_kwargs(self) -> dict[str, Any]:
        """Further arguments of every construction; of several actions, also which there are and where they go."""
        return self._plan.arguments[1]

    @property
    def log_prob_key(self) -> Key | None:
        """Where the log-probability is written; None where there are several."""
        return self.log_prob_keys[0] if len(self.log_prob_keys) == 1 else None

    def dist_of(self, *params: Any) -> Distribution:
        """The distribution, from the tensors of ``in_keys``."""
        return self._plan.build(params)

    def get_dist(self, tensordict: Any) -> Distribution:
        """The distribution of the parameters that a TensorDict holds."""
        return self.dist_of(*self.read(tensordict))

    def log_prob(self, tensordict: Any) -> Tensor:
        """The log-probability of the sample that a TensorDict holds, of several actions together."""
        return score(self.get_dist(tensordict), entries(self, tensordict, self.dist_sample_keys), self.num_samples)

    def compute(self, *params: Any) -> tuple[Any, ...]:
        """Draw, and score if ``return_log_prob``."""
        kind = exploration_type() or self.default_interaction_type
        return self._plan.draw(self.dist_of(*params), kind, self.return_log_prob, self.generator)


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
        if self.opaque:
            return self.get_dist(self._held(inputs))
        values = self._program.run(inputs, self._program.last[0])
        return cast(Distribution, self[-1].dist_of(*[values[slot] for slot in self._program.last[1]]))

    def get_dist(self, tensordict: Any) -> Distribution:
        """The distribution that follows from what a TensorDict holds; the TensorDict is left alone."""
        if self.opaque:
            return cast(Distribution, self[-1].get_dist(self._stepwise(tensordict.copy(), -1)))
        return self.dist_of(*self.read(tensordict))

    def log_prob(self, tensordict: Any) -> Tensor:
        """The log-probability, under the policy as it is now, of the sample that a TensorDict holds."""
        values = entries(self, tensordict, self.dist_sample_keys)
        return score(self.get_dist(tensordict), values, getattr(self[-1], "num_samples", None))

    def __getattr__(self, name: str) -> Any:
        return getattr(self[-1], name) if name in _OF_THE_LAST_STEP else super().__getattr__(name)


_OF_THE_LAST_STEP = {
    *("log_prob_key", "log_prob_keys", "return_log_prob", "dist_params_keys", "dist_sample_keys"),
    *("default_interaction_type", "distribution_class", "distribution_kwargs", "generator", "num_samples"),
}
