"""SAC on Pendulum-v1, in one file: a policy that draws, two critics, and a temperature that is learned beside them.

Run it with ``python examples/sac.py``: about a minute, and it swings the pendulum up and holds it there.
"""

# test: --total-frames 300 --learning-starts 100
import argparse

import torch
from torch import nn

from keywork.buffers import ReplayBuffer
from keywork.collectors import Collector
from keywork.distributions import NormalParamExtractor, TanhNormal
from keywork.envs import GymEnv
from keywork.flow import Flow
from keywork.modules import ProbabilisticActor, ValueOperator
from keywork.nets import MLP
from keywork.nn import TensorDictModule
from keywork.objectives import SACLoss, SoftUpdate
from keywork.train import evaluate


def main(total_frames: int, learning_starts: int, seed: int) -> float:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    env = GymEnv("Pendulum-v1", seed=seed)

    # A tanh keeps the actions within the bounds of the spec. One critic is given; the loss makes two of it.
    net = nn.Sequential(MLP(3, 2, num_cells=[128, 128], activation_class=nn.ReLU), NormalParamExtractor())
    actor = ProbabilisticActor(
        TensorDictModule(net, in_keys=["observation"], out_keys=["loc", "scale"]),
        in_keys=["loc", "scale"],
        distribution_class=TanhNormal,
        spec=env.action_spec,
    )
    critic = ValueOperator(
        MLP(3 + 1, 1, num_cells=[128, 128], activation_class=nn.ReLU), in_keys=["observation", "action"]
    )

    collector = Collector(env, actor, frames_per_batch=1, total_frames=total_frames, init_random_frames=learning_starts)
    loss = SACLoss(actor, critic, gamma=0.99)
    buffer = ReplayBuffer(50_000, batch_size=256, keys=["observation", "action", "next"], seed=seed)
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3, fused=True)
    targets = SoftUpdate(loss, tau=0.005)

    print(Flow(env, actor, buffer, loss, optimizer).table())

    for batch in collector:
        buffer.extend(batch)
        if collector.frames < learning_starts:
            continue
        losses = loss(buffer.sample())
        # Each of the three has a gradient in its own networks alone, so one step of the sum is a step of each.
        total = losses["loss_actor"] + losses["loss_qvalue"] + losses["loss_alpha"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        targets.step()
        if collector.frames % 2_000 == 0:
            episodes = collector.take_episodes()
            mean = sum(episode.return_ for episode in episodes) / len(episodes)
            print(f"{collector.frames:6d} frames: mean return {mean:.0f} of {len(episodes)} episodes")
    env.close()

    with GymEnv("Pendulum-v1", num_envs=10, seed=seed + 1) as test_env:
        result = evaluate(actor, test_env, episodes=100).metrics
    print(f"mean return of 100 episodes without exploration: {result['eval/return_mean']:.1f}")
    return result["eval/return_mean"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--total-frames", type=int, default=10_000)
    parser.add_argument("--learning-starts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    main(options.total_frames, options.learning_starts, options.seed)
