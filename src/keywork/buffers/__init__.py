"""Replay: experience is stored, and drawn again in batches. A buffer is a storage, a writer and a sampler."""

from keywork.buffers._epochs import SamplerWithoutReplacement
from keywork.buffers._prioritized import PrioritizedSampler
from keywork.buffers._replay import ReplayBuffer
from keywork.buffers._sampler import Draw, RandomSampler, Sampler
from keywork.buffers._slices import SliceSampler

__all__ = [
    "Draw",
    "PrioritizedSampler",
    "RandomSampler",
    "ReplayBuffer",
    "Sampler",
    "SamplerWithoutReplacement",
    "SliceSampler",
]
