"""How many steps a second the environments in torch take, beside Gymnasium's vectorised ones; and PPO in them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from statistics import median

import torch
from _timing import table

from keywork.envs import Env, GymEnv
from keywork.envs.native import Acrobot, CartPole, MountainCar, MountainCarContinuous, NativeEnv, Pendulum
from keywork.train import PPO, PPOConfig

NUM_ENVS = 4096
ENVS: tuple[type[NativeEnv], ...] = (CartPole, Pendulum, Acrobot, MountainCar, MountainCarContinuous)
WHOLE = PPOConfig(num_steps=32, num_epochs=4, minibatch_size=32_768)
STEPS_OF = {"native": 50, "gymnasium": 2}  # in one slice: the ones are a hundred times the others


def native(*, quick: bool) -> Iterator[str]:
    """Random actions in 4,096 environments, in turns; then PPO, whole iterations."""
    torch.manual_seed(0)
    rounds = 3 if quick else 9
    rows = []
    for env in ENVS:
        with ExitStack() as stack:
            contestants = {
                "GymEnv": _gymnasium(stack, env.name),
                "eager": _native(env(NUM_ENVS, seed=0)),
                "eager, float32": _native(env(NUM_ENVS, seed=0, dtype=torch.float32)),
                "compiled": _native(env(NUM_ENVS, seed=0, compile=True)),
                "compiled, float32": _native(env(NUM_ENVS, seed=0, compile=True, dtype=torch.float32)),
            }
            speeds: dict[str, list[float]] = {name: [] for name in contestants}
            for number in range(1 + rounds):
                for name, steps in contestants.items():
                    began = time.perf_counter()
                    taken = steps()
                    if number:  # the first one compiles
                        speeds[name].append(taken / (time.perf_counter() - began))
        rows.append([env.name, *(f"{median(times) / 1e6:,.2f}" for times in speeds.values())])
    columns = ["environment", "GymEnv (vectorised where there is such a form)", "eager", "eager, float32"]
    yield table(
        f"Millions of steps a second, {NUM_ENVS} environments", [*columns, "compiled", "compiled, float32"], rows
    )
    title = f"CartPole-v1 x {NUM_ENVS}: {WHOLE.num_steps} steps a batch"
    title += f", {WHOLE.num_epochs} epochs in minibatches of {WHOLE.minibatch_size:,}, 2x64 tanh"
    yield table(title, ["what", "steps/s"], [*_whole(rounds=1 if quick else 5)])


def _native(env: NativeEnv) -> Callable[[], int]:
    env.begin()
    actions = [env.random_action() for _ in range(8)]

    def steps() -> int:
        for number in range(STEPS_OF["native"]):
            env.advance(actions[number % 8])
        return NUM_ENVS * STEPS_OF["native"]

    return steps


def _gymnasium(stack: ExitStack, name: str) -> Callable[[], int]:
    env = stack.enter_context(GymEnv(name, NUM_ENVS, workers="vector" if name == CartPole.name else "sync", seed=0))
    env.begin()
    action = env.random_action()

    def steps() -> int:
        for _ in range(STEPS_OF["gymnasium"]):
            env.advance(action)
        return NUM_ENVS * STEPS_OF["gymnasium"]

    return steps


def _whole(rounds: int) -> Iterator[list[str]]:
    """What a Collector and PPO make of it, actor and critic of two times 64 units included; in turns."""
    with GymEnv(CartPole.name, NUM_ENVS, workers="vector", seed=0) as gymnasium:
        contestants: dict[str, Callable[[], object]] = {}
        kinds: dict[str, tuple[Env, bool]] = {
            "GymEnv, vectorised": (gymnasium, False),
            "CartPole": (CartPole(NUM_ENVS, seed=0), False),
            "CartPole, compiled": (CartPole(NUM_ENVS, seed=0, compile=True), True),
        }
        for name, (env, compile) in kinds.items():
            ppo = PPO(env, WHOLE, compile=compile)
            contestants[f"{name}: Collector"] = ppo.collector.collect
            contestants[f"{name}: PPO"] = lambda ppo=ppo: ppo.update(ppo.collector.collect(), 0.0)
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for number in range(1 + rounds):
            for name, batch in contestants.items():
                began = time.perf_counter()
                batch()
                if number:
                    times[name].append(time.perf_counter() - began)
    for name, own in times.items():
        yield [name, f"{NUM_ENVS * WHOLE.num_steps / median(own):,.0f}"]
