"""Conformance kits: what every key module, distribution and environment does, as tests that yours can inherit."""

from ._distribution import DistributionConformance
from ._env import EnvConformance, check_env
from ._key_module import KeyModuleConformance

__all__ = ["DistributionConformance", "EnvConformance", "KeyModuleConformance", "check_env"]
