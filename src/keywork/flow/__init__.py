"""The flow: the whole pipeline, seen and checked before its first step."""

from keywork.flow._flow import Flow
from keywork.flow._graph import Carry, Entry, Graph, Holding, Kind, Part, Stream
from keywork.flow._stale import stale_log_probs

__all__ = ["Carry", "Entry", "Flow", "Graph", "Holding", "Kind", "Part", "Stream", "stale_log_probs"]
