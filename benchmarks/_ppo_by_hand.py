"""PPO in one file, in the way in which one writes it by hand: plain torch, gymnasium and Adam, nothing clever."""

from __future__ import annotations

import time

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from keywork.train import PPOConfig


def network(outputs: int, last_gain: float, width: int = 64) -> nn.Sequential:
    """Two hidden layers with tanh, orthogonal weights."""
    sizes, gains = (4, width, width, outputs), (2**0.5, 2**0.5, last_gain)
    layers: list[nn.Module] = []
    for size_in, size_out, gain in zip(sizes, sizes[1:], gains, strict=False):
        linear = nn.Linear(size_in, size_out)
        nn.init.orthogonal_(linear.weight, gain)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class PPOByHand:
    """Actor and critic apart, and a loop.

    Args:
        env_id: of Gymnasium.
        num_envs: how many environments.
        config: the settings, those of :class:`keywork.train.PPO`.
    """

    def __init__(self, env_id: str, num_envs: int, config: PPOConfig) -> None:
        self.config = config
        self.envs = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make(env_id)] * num_envs)
        self.actor, self.critic = network(2, 0.01), network(1, 1.0)
        self.parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=config.learning_rate, eps=1e-5)
        self.observation = torch.from_numpy(self.envs.reset(seed=0)[0])
        self.done = torch.zeros(num_envs)

    def train(self, frames: int) -> tuple[float, float]:
        """Seconds of collecting and of updating, for so many frames in whole batches."""
        seconds, size = [0.0, 0.0], self.config.num_steps * self.envs.num_envs
        updates = -(-frames // size)
        for number in range(updates):
            remaining = 1.0 - number / updates if self.config.anneal else 1.0
            began = time.perf_counter()
            batch = self._collect()
            collected = time.perf_counter()
            self._update(*batch, remaining)
            seconds[0] += collected - began
            seconds[1] += time.perf_counter() - collected
        return seconds[0], seconds[1]

    def _collect(self) -> tuple[Tensor, ...]:
        steps, rows = self.config.num_steps, self.envs.num_envs
        observations = torch.zeros(steps, rows, 4)
        actions, log_probs, rewards, dones, values = torch.zeros(5, steps, rows)
        for step in range(steps):
            observations[step], dones[step] = self.observation, self.done
            with torch.no_grad():
                chosen = Categorical(logits=self.actor(self.observation))
                action = chosen.sample()
                values[step] = self.critic(self.observation).flatten()
            actions[step], log_probs[step] = action, chosen.log_prob(action)
            observation, reward, terminated, truncated, _ = self.envs.step(action.numpy())
            rewards[step] = torch.as_tensor(reward)
            self.observation = torch.as_tensor(observation)
            self.done = torch.as_tensor(np.logical_or(terminated, truncated), dtype=torch.float32)
        gamma, lmbda = self.config.gamma, self.config.gae_lambda
        advantages, advantage = torch.zeros(steps, rows), torch.zeros(rows)
        with torch.no_grad():
            following, going_on = self.critic(self.observation).flatten(), 1.0 - self.done
            for step in reversed(range(steps)):
                delta = rewards[step] + gamma * following * going_on - values[step]
                advantages[step] = advantage = delta + gamma * lmbda * going_on * advantage
                following, going_on = values[step], 1.0 - dones[step]
        columns = (observations, actions, log_probs, advantages, advantages + values)
        return tuple(column.flatten(0, 1) for column in columns)

    def _update(
        self, observation: Tensor, action: Tensor, old: Tensor, advantage: Tensor, target: Tensor, remaining: float
    ) -> None:
        config, epsilon = self.config, self.config.clip_epsilon * remaining
        self.optimizer.param_groups[0]["lr"] = config.learning_rate * remaining
        for _ in range(config.num_epochs):
            for rows in torch.randperm(len(old)).split(config.minibatch_size):
                chosen = Categorical(logits=self.actor(observation[rows]))
                log_ratio = chosen.log_prob(action[rows]) - old[rows]
                ratio = log_ratio.exp()
                with torch.no_grad():
                    ((ratio - 1.0) - log_ratio).mean()
                    ((ratio - 1.0).abs() > epsilon).float().mean().item()
                scaled = advantage[rows]
                scaled = (scaled - scaled.mean()) / (scaled.std() + 1e-8)
                surrogate = torch.max(-scaled * ratio, -scaled * ratio.clamp(1.0 - epsilon, 1.0 + epsilon)).mean()
                error = (self.critic(observation[rows]).flatten() - target[rows]).square().mean()
                loss = surrogate + config.critic_coeff * error - config.entropy_coeff * chosen.entropy().mean()
                self.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.parameters, config.max_grad_norm)
                self.optimizer.step()
