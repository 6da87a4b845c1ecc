"""What a collector costs on top of stepping the same environments with the same policy by hand."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib.util import find_spec

import torch
from _collect_by_hand import Collect, by_keys, cart_pole, choices, native, pendulum, stepped
from _timing import Result, compare, table
from torch import nn

from keywork.collectors import Collector
from keywork.distributions import Categorical, NormalParamExtractor, TanhNormal
from keywork.envs import GymEnv
from keywork.envs.native import CartPole
from keywork.modules import ProbabilisticActor
from keywork.nn import TensorDictModule

ENV, NUM_ENVS, STEPS = "CartPole-v1", 8, 32
MANY = 4096
COLUMNS = ["who", "steps/s", "µs a step", "ratio (quartiles)"]


def collect(*, quick: bool) -> Iterator[str]:
    """A batch of 8 x 32 frames, a frame at a time as SAC wants it, and 4,096 x 32 frames in torch; in turns."""
    torch.manual_seed(0)
    with ExitStack() as stack:
        actor = _actor(_net(4, 2))
        contestants: dict[str, Collect] = {
            "SyncVectorEnv and the network by hand": _by_hand(),
            "SyncVectorEnv by hand, the network as a key module": cart_pole(
                by_keys(_actor(_net(4, 2))), NUM_ENVS, STEPS
            ),
            "keywork Collector": _batches(stack.enter_context(GymEnv(ENV, NUM_ENVS, seed=0)), actor, STEPS),
        }
        if find_spec("stable_baselines3"):
            contestants["stable-baselines3 collect_rollouts (with its critic)"] = _stable_baselines3()
        if find_spec("torchrl"):
            contestants["torchrl Collector, SerialEnv"] = _torchrl(stack)
        rows = _turns(contestants, NUM_ENVS * STEPS, rounds=5 if quick else 60)
        yield table(f"{ENV} x {NUM_ENVS}, {STEPS} steps a batch, one process", COLUMNS, rows)
        env = stack.enter_context(GymEnv("Pendulum-v1", seed=0))
        contestants = {
            "the environment and the network by hand": pendulum(_net(3, 2)),
            "keywork Collector": Collector(env, _squashed(env), frames_per_batch=1).collect,
        }
        rows = _turns(contestants, 1, rounds=300 if quick else 4000)
        yield table("Pendulum-v1 x 1, 1 step a batch", COLUMNS, rows)
    net = _net(4, 2)
    contestants = {
        "by hand": native(CartPole(MANY, seed=0), net, STEPS),
        "the steps alone": stepped(CartPole(MANY, seed=0), STEPS),
        "keywork Collector": _batches(CartPole(MANY, seed=0), _actor(net), STEPS),
    }
    rows = _turns(contestants, MANY * STEPS, rounds=2 if quick else 15)
    yield table(f"{ENV} in torch x {MANY}, {STEPS} steps a batch", COLUMNS, rows)


def _turns(contestants: Mapping[str, Collect], frames: int, rounds: int) -> list[list[str]]:
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(2 + rounds):
        for name, call in contestants.items():
            began = time.perf_counter()
            call()
            if number >= 2:  # the first two warm up
                times[name].append((time.perf_counter() - began) / frames)
    return [[name, *_cells(result)] for name, result in compare(times).items()]


def _cells(result: Result) -> list[str]:
    ratio = f"{result.ratio:.2f}x ({result.low:.2f}-{result.high:.2f})"
    return [f"{1 / result.seconds:,.0f}", f"{result.seconds * 1e6:.2f}", ratio]


def _net(features: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, out))


def _actor(net: nn.Module) -> ProbabilisticActor:
    module = TensorDictModule(net, ["observation"], ["logits"])
    return ProbabilisticActor(module, ["logits"], distribution_class=Categorical, return_log_prob=True)


def _squashed(env: GymEnv) -> ProbabilisticActor:
    net = nn.Sequential(_net(3, 2), NormalParamExtractor())
    module = TensorDictModule(net, ["observation"], ["loc", "scale"])
    bounds = {"low": env.action_spec.low, "high": env.action_spec.high}
    return ProbabilisticActor(
        module, ["loc", "scale"], distribution_class=TanhNormal, distribution_kwargs=bounds, return_log_prob=False
    )


def _by_hand() -> Collect:
    net = _net(4, 2)
    return cart_pole(lambda observation: choices(net, observation), NUM_ENVS, STEPS)


def _batches(env: GymEnv | CartPole, actor: ProbabilisticActor, steps: int) -> Collect:
    collector = Collector(env, actor, frames_per_batch=env.num_envs * steps)

    def batch() -> None:
        collector.collect()
        collector.take_episodes()

    return batch


def _stable_baselines3() -> Collect:
    from ppo import sb3_agent
    from stable_baselines3.common.callbacks import CallbackList

    agent = sb3_agent(seed=0)
    _, callback = agent._setup_learn(1, CallbackList([]))
    return lambda: agent.collect_rollouts(agent.env, callback, agent.rollout_buffer, STEPS)


def _torchrl(stack: ExitStack) -> Collect:
    from tensordict.nn import TensorDictModule as TorchRLModule
    from torchrl.collectors import Collector as TorchRLCollector
    from torchrl.envs import GymEnv as TorchRLEnv
    from torchrl.envs import SerialEnv
    from torchrl.modules import OneHotCategorical
    from torchrl.modules import ProbabilisticActor as TorchRLActor

    env = SerialEnv(NUM_ENVS, lambda: TorchRLEnv(ENV))
    net = TorchRLModule(_net(), ["observation"], ["logits"])
    actor = TorchRLActor(
        net, ["logits"], spec=env.full_action_spec, distribution_class=OneHotCategorical, return_log_prob=True
    )
    collector = TorchRLCollector(
        env, actor, frames_per_batch=NUM_ENVS * STEPS, total_frames=-1, auto_register_policy_transforms=False
    )
    stack.callback(collector.shutdown)
    batches = iter(collector)
    return lambda: next(batches)
