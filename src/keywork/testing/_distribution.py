"""DistributionConformance: what every distribution over actions does, as tests to inherit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from keywork.testing import _dist_statistics, _dist_transforms, _dist_values
from keywork.testing._expect import check, refuse_strange_exemptions


class DistributionConformance:
    """Tests that hold for every distribution: inherit them, and say how it is built from which parameters.

    A test runner collects the subclass, as of :class:`KeyModuleConformance`. Draws come from a fixed seed; over seeds,
    a right distribution fails ``test_samples`` once in 10⁴ runs.

    Attributes:
        exempt: checks that do not apply, each with the reason: ``{"vmap": "looks at values"}``. They are skipped.
        point: whether all the probability is on one point, so that every sample is the same.
        batch_shape: what the batch shape should be, if that is to be checked.
        event_shape: likewise.

    Raises:
        UsageError: when the class is written: ``exempt`` names no check, or gives no reason.

    In ``test_laplace.py``::

        class TestLaplace(DistributionConformance):
            event_shape = (2,)

            def build(self, loc, scale):
                return Laplace(loc, scale)

            def params(self):
                return torch.randn(5, 3, 2), torch.rand(5, 3, 2) + 0.1

    A check can be called by itself too:

    >>> import torch
    >>> class TorchNormal(DistributionConformance):
    ...     def build(self, loc, scale):
    ...         return torch.distributions.Normal(loc, scale, validate_args=False)
    ...     def params(self):
    ...         return torch.zeros(5, 3), torch.ones(5, 3)
    >>> TorchNormal().test_samples()
    >>> TorchNormal().test_broadcast()
    Traceback (most recent call last):
    AssertionError: Normal.log_prob broadcasts a value of shape [1] to its batch [5, 3]
    """

    exempt: ClassVar[Mapping[str, str]] = {}
    point: bool = False
    batch_shape: tuple[int, ...] | None = None
    event_shape: tuple[int, ...] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_strange_exemptions(cls)

    def build(self, *params: Any) -> Any:
        """The distribution of some parameters, of those that ``params`` gives in any floating type and batch."""
        raise NotImplementedError(f"{type(self).__name__} has to define build(self, *params).")

    def params(self) -> tuple[Tensor, ...]:
        """Parameters of a batch, the same each time, of shapes such as ``[5, 3, ...]``."""
        raise NotImplementedError(f"{type(self).__name__} has to define params(self) -> a tuple of tensors.")

    def cdf(self, dist: Any, value: Tensor) -> Tensor | None:
        """P(a ≤ value) for each number of a value, if known; None integrates the density, number by number."""
        return None

    @check
    def test_shapes(self) -> None:
        """Samples, scores, noise-free actions and entropy have the shapes that batch and event ask for."""
        _dist_values.check_shapes(self)

    @check
    def test_support(self) -> None:
        """Samples and noise-free actions are inside the support."""
        _dist_values.check_support(self)

    @check
    def test_noise_free(self) -> None:
        """mode, mean and deterministic_sample repeat themselves bit for bit and draw nothing."""
        _dist_values.check_noise_free(self)

    @check
    def test_mode(self) -> None:
        """No sample scores higher than the mode."""
        _dist_values.check_mode(self)

    @check
    def test_joint_score(self) -> None:
        """The score of sample_and_log_prob is the score of the sample, with its gradient."""
        _dist_values.check_joint_score(self)

    @check
    def test_generator(self) -> None:
        """A generator decides the sample."""
        _dist_values.check_generator(self)

    @check
    def test_expand(self) -> None:
        """expand repeats the distribution."""
        _dist_values.check_expand(self)

    @check
    def test_broadcast(self) -> None:
        """A value that would have to be broadcast is refused."""
        _dist_values.check_broadcast(self)

    @check
    def test_gradients(self) -> None:
        """Gradients reach every parameter."""
        _dist_values.check_gradients(self)

    @check
    def test_vmap(self) -> None:
        """It is built and drawn from in torch.vmap, with both kinds of randomness."""
        _dist_transforms.check_vmap(self)

    @check
    def test_vmap_grad(self) -> None:
        """It is differentiated inside of torch.vmap."""
        _dist_transforms.check_vmap_grad(self)

    @check
    def test_compile(self) -> None:
        """torch.compile makes one graph of it."""
        _dist_transforms.check_compile(self)

    @check
    def test_precision(self) -> None:
        """Half precision is scored in float32."""
        _dist_transforms.check_precision(self)

    @check
    def test_gradcheck(self) -> None:
        """The gradients of log_prob and rsample are those that differences give."""
        _dist_transforms.check_gradcheck(self)

    @check
    def test_samples(self) -> None:
        """Samples are distributed as log_prob says."""
        _dist_statistics.check_samples(self)

    @check
    def test_density(self) -> None:
        """The density integrates to one."""
        _dist_statistics.check_density(self)

    @check
    def test_moments(self) -> None:
        """Mean and variance are those of the samples."""
        _dist_statistics.check_moments(self)

    @check
    def test_entropy(self) -> None:
        """The entropy is that of the samples."""
        _dist_statistics.check_entropy(self)

    @check
    def test_kl(self) -> None:
        """KL is registered, zero of the distribution itself, and that of the samples."""
        _dist_statistics.check_kl(self)
