"""Classic control environments in torch: thousands at a time, on any device, step for step Gymnasium's own."""

from keywork.envs.native._acrobot import Acrobot
from keywork.envs.native._cart_pole import CartPole
from keywork.envs.native._mountain_car import MountainCar
from keywork.envs.native._mountain_car_continuous import MountainCarContinuous
from keywork.envs.native._native_env import NativeEnv
from keywork.envs.native._pendulum import Pendulum

__all__ = ["Acrobot", "CartPole", "MountainCar", "MountainCarContinuous", "NativeEnv", "Pendulum"]
