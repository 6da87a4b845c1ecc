"""Collectors: environment and policy become data."""

from keywork.collectors._collector import Collector

__all__ = ["Collector"]
