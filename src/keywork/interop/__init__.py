"""Interoperation: to and from genuine tensordict.nn and TorchRL objects. It needs the extra ``torchrl``."""

from keywork.interop._from_torchrl import TorchRLModule, from_torchrl
from keywork.interop._specs import spec_from_torchrl, spec_to_torchrl
from keywork.interop._to_torchrl import to_torchrl

__all__ = ["TorchRLModule", "from_torchrl", "spec_from_torchrl", "spec_to_torchrl", "to_torchrl"]
