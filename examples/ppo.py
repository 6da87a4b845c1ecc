"""PPO on CartPole-v1, in one file: every part in the open, nothing behind it but the library's parts.

Run it with ``python examples/ppo.py``: half a minute, and it balances the pole for the full 500 steps.
"""

# test: --total-frames 1024
import argparse

import torch
from torch import nn

from keywork.collectors import Collector
from keywork.distributions import Categorical
from keywork.envs import GymEnv
from keywork.flow import Flow
from keywork.modules import ProbabilisticActor, ValueOperator
from keywork.nets import MLP
from keywork.nn import TensorDictModule
from keywork.objectives import GAE, ClipPPOLoss
from keywork.train import evaluate


def main(total_frames: int, seed: int) -> float:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    env = GymEnv("CartPole-v1", num_envs=8, seed=seed)

    # Networks know nothing of keys; the modules around them say what they read and write.
    policy_net = TensorDictModule(MLP(4, 2, num_cells=[64, 64]), in_keys=["observation"], out_keys=["logits"])
    actor = ProbabilisticActor(
        policy_net, in_keys=["logits"], distribution_class=Categorical, spec=env.action_spec, return_log_prob=True
    )
    critic = ValueOperator(MLP(4, 1, num_cells=[64, 64]), in_keys=["observation"])

    collector = Collector(env, actor, frames_per_batch=256, total_frames=total_frames)
    advantage = GAE(gamma=0.98, lmbda=0.8, value_network=critic)
    loss = ClipPPOLoss(actor, critic, clip_epsilon=0.2, entropy_coeff=0.0, critic_coeff=0.5, normalize_advantage=True)
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=total_frames // 256)

    print(Flow(env, actor, advantage, loss, optimizer).table())

    for batch in collector:
        advantage(batch)
        frames = batch.flatten()
        for _ in range(20):
            for rows in torch.randperm(len(frames)).split(256):
                losses = loss(frames[rows])
                total = losses["loss_objective"] + losses["loss_critic"] + losses["loss_entropy"]
                optimizer.zero_grad()
                total.backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                optimizer.step()
        schedule.step()
        episodes = collector.take_episodes()
        if episodes and collector.frames % 10_240 == 0:
            mean = sum(episode.return_ for episode in episodes) / len(episodes)
            print(f"{collector.frames:7d} frames: mean return {mean:.0f} of {len(episodes)} episodes")
    env.close()

    with GymEnv("CartPole-v1", num_envs=10, seed=seed + 1) as test_env:
        result = evaluate(actor, test_env, episodes=100).metrics
    print(f"mean return of 100 episodes without exploration: {result['eval/return_mean']:.1f}")
    return result["eval/return_mean"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--total-frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    main(options.total_frames, options.seed)
