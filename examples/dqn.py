"""DQN on CartPole-v1, in one file: double Q-learning of a dueling network from prioritised three-step replay.

Run it with ``python examples/dqn.py``: about a minute, and it balances the pole for the full 500 steps.
"""

# test: --total-frames 1500 --learning-starts 500
import argparse

import torch
from torch import nn

from keywork.buffers import PrioritizedSampler, ReplayBuffer
from keywork.collectors import Collector
from keywork.envs import GymEnv
from keywork.flow import Flow
from keywork.modules import EGreedyModule, QValueActor
from keywork.nets import DuelingMLP
from keywork.nn import TensorDictSequential
from keywork.objectives import DQNLoss, SoftUpdate
from keywork.train import evaluate


def main(total_frames: int, learning_starts: int, seed: int) -> float:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    env = GymEnv("CartPole-v1", num_envs=4, seed=seed)

    # The actor takes the action of the highest value. What explores is a step of its own, which the loss does without.
    actor = QValueActor(DuelingMLP(4, 2, num_cells=[128, 128], activation_class=nn.ReLU), spec=env.action_spec)
    explorer = EGreedyModule(env.action_spec, eps_init=1.0, eps_end=0.04, annealing_num_steps=total_frames // 5)
    policy = TensorDictSequential(actor, explorer)

    collector = Collector(
        env, policy, frames_per_batch=16, total_frames=total_frames, init_random_frames=learning_starts
    )
    loss = DQNLoss(actor, gamma=0.99, double_dqn=True, loss_function="smooth_l1")
    sampler = PrioritizedSampler(alpha=0.6, beta=(0.4, 1.0), beta_frames=total_frames)
    keys = ["observation", "action", "next"]
    buffer = ReplayBuffer(50_000, sampler=sampler, batch_size=128, keys=keys, seed=seed, n_step=3, gamma=0.99)
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3, fused=True)
    targets = SoftUpdate(loss, tau=0.01)

    print(Flow(env, policy, buffer, loss, optimizer).table())

    told = 0
    for batch in collector:
        buffer.extend(batch)
        if collector.frames < learning_starts:
            continue
        for _ in range(8):
            sample = buffer.sample()
            losses = loss(sample)
            optimizer.zero_grad()
            losses["loss"].backward()
            nn.utils.clip_grad_norm_(loss.parameters(), 10.0)
            optimizer.step()
            buffer.update_priority(sample["index"], losses["td_error"])
            targets.step()
        if collector.frames - told >= 5_000:
            told, episodes = collector.frames, collector.take_episodes()
            mean = sum(episode.return_ for episode in episodes) / len(episodes)
            print(f"{collector.frames:6d} frames: mean return {mean:.0f} of {len(episodes)} episodes")
    env.close()

    with GymEnv("CartPole-v1", num_envs=10, seed=seed + 1) as test_env:
        result = evaluate(actor, test_env, episodes=100).metrics
    print(f"mean return of 100 episodes without exploration: {result['eval/return_mean']:.1f}")
    return result["eval/return_mean"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--total-frames", type=int, default=40_000)
    parser.add_argument("--learning-starts", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    main(options.total_frames, options.learning_starts, options.seed)
