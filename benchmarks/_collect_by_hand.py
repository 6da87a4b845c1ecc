"""Loops that collect as a person would write them: the environments, a network, and arrays to store into."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from keywork.envs.native import NativeEnv
from keywork.nn import TensorDictModuleBase, set_exploration_type

Collect = Callable[[], object]  # one batch


def choices(net: nn.Module, observation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, actions drawn from them, and the log-probabilities of these."""
    scores = net(observation)
    log_p = torch.log_softmax(scores, -1)
    # The Gumbel trick: the fastest way to draw from few categories on a CPU.
    action = (log_p - torch.empty_like(log_p).exponential_().log_()).argmax(-1)
    return scores, action, log_p.gather(-1, action.unsqueeze(-1)).squeeze(-1)


def cart_pole(act: Callable[[Tensor], tuple[Tensor, ...]], num_envs: int, steps: int) -> Collect:
    """Gymnasium's SyncVectorEnv, and the arrays that PPO needs."""
    modes = gymnasium.vector.AutoresetMode
    env = gymnasium.make_vec(
        "CartPole-v1", num_envs, vectorization_mode="sync", vector_kwargs={"autoreset_mode": modes.SAME_STEP}
    )
    observation, _ = env.reset(seed=0)

    @torch.no_grad()
    @set_exploration_type("random")
    def batch() -> dict[str, np.ndarray]:
        nonlocal observation
        size = (num_envs, steps)
        kept = {name: np.empty((*size, 4), np.float32) for name in ("observation", "next_observation")}
        kept |= {name: np.empty(size, np.float32) for name in ("log_prob", "reward")}
        kept |= {"action": np.empty(size, np.int64), "logits": np.empty((*size, 2), np.float32)}
        kept |= {name: np.empty(size, np.bool_) for name in ("terminated", "truncated", "is_init")}
        for t in range(steps):
            logits, action, log_prob = act(torch.from_numpy(observation))
            kept["observation"][:, t], kept["logits"][:, t] = observation, logits.numpy()
            kept["action"][:, t] = chosen = action.numpy()
            kept["log_prob"][:, t] = log_prob.numpy()
            observation, reward, terminated, truncated, info = env.step(chosen)
            kept["next_observation"][:, t], kept["reward"][:, t] = observation, reward
            kept["terminated"][:, t], kept["truncated"][:, t] = terminated, truncated
            done = terminated | truncated
            if done.any():
                for row in np.flatnonzero(done):
                    kept["next_observation"][row, t] = info["final_obs"][row]
            if t + 1 < steps:
                kept["is_init"][:, t + 1] = done
        return kept

    return batch


def by_keys(policy: TensorDictModuleBase) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """The key module in the place of :func:`choices`."""
    return lambda observation: policy.run(observation)


def pendulum(net: nn.Module, capacity: int = 10_000) -> Collect:
    """One environment and a squashed normal policy; a frame a call, into the ring that SAC would sample from."""
    env = gymnasium.make("Pendulum-v1")
    observation, _ = env.reset(seed=0)
    kept = {name: np.empty((capacity, 3), np.float32) for name in ("observation", "next_observation")}
    kept |= {name: np.empty((capacity, 1), np.float32) for name in ("loc", "scale", "action", "reward")}
    kept |= {name: np.empty((capacity, 1), np.bool_) for name in ("terminated", "truncated")}
    at = 0

    @torch.no_grad()
    def frame() -> None:
        nonlocal observation, at
        loc, scale = net(torch.from_numpy(observation).unsqueeze(0)).chunk(2, -1)
        scale = torch.nn.functional.softplus(scale + math.log(math.e - 1.0)).clamp_min(1e-4)
        action = 2.0 * torch.tanh(loc + scale * torch.randn_like(loc))
        chosen = action.numpy()
        following, reward, terminated, truncated, _ = env.step(chosen[0])
        values: dict[str, Any] = {"observation": observation, "loc": loc.numpy(), "scale": scale.numpy()}
        values |= {"action": chosen, "next_observation": following, "reward": reward}
        values |= {"terminated": terminated, "truncated": truncated}
        for name, value in values.items():
            kept[name][at] = value
        at = (at + 1) % capacity
        observation = env.reset()[0] if terminated or truncated else following

    return frame


def native(env: NativeEnv, net: nn.Module, steps: int) -> Collect:
    """An environment in torch, and tensors to store into."""
    observation = env.begin()["observation"]

    @torch.no_grad()
    def batch() -> dict[str, Tensor]:
        nonlocal observation
        size = (env.num_envs, steps)
        kept = {name: torch.empty((*size, 4)) for name in ("observation", "next_observation")}
        kept |= {"log_prob": torch.empty(size), "reward": torch.empty((*size, 1))}
        kept |= {"action": torch.empty(size, dtype=torch.int64), "logits": torch.empty((*size, 2))}
        kept |= {name: torch.empty((*size, 1), dtype=torch.bool) for name in ("terminated", "truncated")}
        for t in range(steps):
            logits, action, log_prob = choices(net, observation)
            reached = env.advance(action)
            values = {"observation": observation, "logits": logits, "action": action, "log_prob": log_prob}
            values |= {"next_observation": reached.next_observation["observation"], "reward": reached.reward}
            values |= {"terminated": reached.terminated, "truncated": reached.truncated}
            for name, value in values.items():
                kept[name][:, t] = value
            observation = reached.observation["observation"]
        return kept

    return batch


def stepped(env: NativeEnv, steps: int) -> Collect:
    """Nothing but steps with the same random actions again and again."""
    env.begin()
    action = env.random_action()

    def batch() -> None:
        for _ in range(steps):
            env.advance(action)

    return batch
