"""Conformance kits: what every key module and every distribution does, as tests that yours can inherit."""

from ._distribution import DistributionConformance
from ._key_module import KeyModuleConformance

__all__ = ["DistributionConformance", "KeyModuleConformance"]
