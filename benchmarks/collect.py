"""What a collector costs on top of stepping the same environments with the same policy by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec

import numpy as np
import torch
from _timing import Result, compare, table
from torch import nn

from keywork.collectors import Collector
from keywork.distributions import Categorical
from keywork.envs import GymEnv
from keywork.modules import ProbabilisticActor
from keywork.nn import TensorDictModule

ENV, NUM_ENVS, STEPS = "CartPole-v1", 8, 32
Collect = Callable[[], object]  # one batch of NUM_ENVS * STEPS frames


def collect(*, quick: bool) -> Iterator[str]:
    """Batches of 8 x 32 frames, in turns."""
    torch.manual_seed(0)
    with ExitStack() as stack:
        contestants = {
            "the same environments and policy by hand": _by_hand(stack.enter_context(GymEnv(ENV, NUM_ENVS, seed=0))),
            "keywork Collector": _keywork(stack.enter_context(GymEnv(ENV, NUM_ENVS, seed=0))),
        }
        if find_spec("stable_baselines3"):
            contestants["stable-baselines3 collect_rollouts (with its critic)"] = _stable_baselines3()
        if find_spec("torchrl"):
            contestants["torchrl Collector, SerialEnv"] = _torchrl(stack)
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for number in range(2 + (5 if quick else 40)):
            for name, call in contestants.items():
                began = time.perf_counter()
                call()
                if number >= 2:  # the first two warm up
                    times[name].append((time.perf_counter() - began) / (NUM_ENVS * STEPS))
    rows = [[name, *_cells(result)] for name, result in compare(times).items()]
    yield table(f"{ENV} x {NUM_ENVS}, one process", ["who", "steps/s", "µs a step", "ratio (quartiles)"], rows)


def _cells(result: Result) -> list[str]:
    ratio = f"{result.ratio:.2f}x ({result.low:.2f}-{result.high:.2f})"
    return [f"{1 / result.seconds:,.0f}", f"{result.seconds * 1e6:.1f}", ratio]


def _net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))


def _by_hand(env: GymEnv) -> Collect:
    net, observation = _net(), env.begin()["observation"]

    @torch.no_grad()
    def batch() -> dict[str, np.ndarray]:
        nonlocal observation
        size = (NUM_ENVS, STEPS)
        kept = {name: np.empty((*size, 4), np.float32) for name in ("observation", "next_observation")}
        kept |= {name: np.empty(size, np.float32) for name in ("log_prob", "reward")}
        kept |= {"action": np.empty(size, np.int64)}
        kept |= {name: np.empty(size, np.bool_) for name in ("terminated", "truncated")}
        for t in range(STEPS):
            log_p = torch.log_softmax(net(torch.from_numpy(observation)), -1)
            # The Gumbel trick: the fastest way to draw from few categories on a CPU.
            action = (log_p - torch.empty_like(log_p).exponential_().log_()).argmax(-1)
            kept["observation"][:, t] = observation
            kept["action"][:, t] = chosen = action.numpy()
            kept["log_prob"][:, t] = log_p.gather(-1, action.unsqueeze(-1)).squeeze(-1).numpy()
            reached = env.advance(chosen)
            kept["next_observation"][:, t] = reached.next_observation["observation"]
            kept["reward"][:, t : t + 1] = reached.reward
            kept["terminated"][:, t : t + 1] = reached.terminated
            kept["truncated"][:, t : t + 1] = reached.truncated
            observation = reached.observation["observation"]
        return kept

    return batch


def _keywork(env: GymEnv) -> Collect:
    net = TensorDictModule(_net(), ["observation"], ["logits"])
    actor = ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)
    return Collector(env, actor, frames_per_batch=NUM_ENVS * STEPS).collect


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
