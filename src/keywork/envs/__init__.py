"""Environments: Gymnasium's, stepped together, as a source of experience."""

from keywork._keys import VALID
from keywork.envs._env import Env
from keywork.envs._gym_env import GymEnv
from keywork.envs._mask_from_info import MaskFromInfo
from keywork.envs._processes import ProcessWorkers
from keywork.envs._transition import EpisodeStats, Transition

__all__ = ["VALID", "Env", "EpisodeStats", "GymEnv", "MaskFromInfo", "ProcessWorkers", "Transition"]
