"""A keywork module that draws, as the probabilistic module of tensordict.nn that TorchRL looks for."""

from __future__ import annotations

from typing import Any

from tensordict import is_tensor_collection
from tensordict.nn import CompositeDistribution as TheirComposite
from tensordict.nn import InteractionType, dispatch
from tensordict.nn import ProbabilisticTensorDictModule as TheirHead

from keywork.distributions import CompositeDistribution
from keywork.interop._steps import called


class HeadStep(TheirHead):
    """The distribution of a keywork module, which draws and scores as keywork does.

    Args:
        module: the keywork module, with ``get_dist`` and the names of its parameters, samples and log-probabilities.
    """

    def __init__(self, module: Any) -> None:
        scores = list(module.log_prob_keys)
        super().__init__(
            in_keys=list(module.in_keys),
            out_keys=list(module.dist_sample_keys),
            distribution_class=module.distribution_class,
            default_interaction_type=InteractionType[module.default_interaction_type.name],
            return_log_prob=module.return_log_prob,
            **{"log_prob_key": scores[0]} if len(scores) == 1 else {"log_prob_keys": scores},
        )
        # Besides its sample it may write other entries, such as the state that it carries.
        self._out_keys = [key for key in module.out_keys if key not in scores]
        self.module = module

    @property
    def dist_params_keys(self) -> list[Any]:
        """The keys of the parameters."""
        return list(self.module.dist_params_keys)

    @property
    def dist_sample_keys(self) -> list[Any]:
        """The keys of the samples."""
        return list(self.module.dist_sample_keys)

    def get_dist(self, tensordict: Any) -> Any:
        """The distribution of the parameters in a TensorDict; that of several actions is tensordict.nn's composite."""
        dist = self.module.get_dist(tensordict)
        if isinstance(dist, CompositeDistribution):
            parts: Any = dist.dists
            return TheirComposite.from_distributions(tensordict, parts)
        return dist

    build_dist_from_params = get_dist

    def log_prob(self, tensordict: Any, *, dist: Any = None) -> Any:
        """The log-probability of the sample in a TensorDict; of several actions a TensorDict of each."""
        dist = self.get_dist(tensordict) if dist is None else dist
        if isinstance(dist, TheirComposite):
            return super().log_prob(tensordict, dist=dist)
        return dist.log_prob(tensordict.get(self.dist_sample_keys[0]))

    @dispatch(auto_batch_size=False)
    def forward(self, tensordict: Any, tensordict_out: Any = None, _requires_sample: bool = True) -> Any:
        """Draw, and score if ``return_log_prob``; or only score what an earlier step has drawn."""
        if _requires_sample:
            return called(self, tensordict, tensordict_out)
        target = tensordict if tensordict_out is None else tensordict_out
        if self.return_log_prob:
            scores = self.log_prob(tensordict)
            target.update(scores if is_tensor_collection(scores) else {self.log_prob_keys[0]: scores})
        return target
