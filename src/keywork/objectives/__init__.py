"""Losses and value estimators: key modules that read batches and write numbers."""

from keywork.objectives._gae import GAE
from keywork.objectives._ppo import ClipPPOLoss

__all__ = ["GAE", "ClipPPOLoss"]
