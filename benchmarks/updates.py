"""Gradient steps of off-policy algorithms, beside single-file code by hand: loss, way back, Adam, target networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from _timing import Result, interleave, table
from _updates_actor_critic import sac, td3
from tensordict import TensorDict
from torch import Tensor, nn
from torch.nn import functional as F

from keywork.modules import QValueActor
from keywork.nets import MLP
from keywork.objectives import DQNLoss
from keywork.specs import Categorical
from keywork.train import Descent, FlatAdam

BATCH, OBSERVATION, ACTION, HIDDEN = 256, 17, 6, 256
Calls = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Race:
    """What is compared for one algorithm: the one by hand comes first.

    Attributes:
        calls: makes the contestants, ``"keywork"`` and ``"keywork, compiled"`` among them if that is asked for.
        goal: how many times as many updates a second as by hand.
        compiled_goal: likewise compiled.
    """

    calls: Callable[[bool], Calls]
    goal: float
    compiled_goal: float


def updates(*, quick: bool) -> Iterator[str]:
    """Each algorithm's contestants in turns, on one batch; compiled ones are left out where it has to be quick."""
    for name, race in RACES.items():
        measured = interleave(race.calls(not quick), rounds=10 if quick else 40, slice_seconds=0.1)
        rows = [[who, f"{1 / result.seconds:,.0f}", _speed(result)] for who, result in measured.items()]
        for who, goal in (("keywork", race.goal), ("keywork, compiled", race.compiled_goal)):
            if who in measured:
                speed = 1 / measured[who].ratio
                rows.append([f"goal of {who}: {goal:g}x", "", "met" if speed >= goal else f"**missed: {speed:.2f}x**"])
        title = f"{name}: batch {BATCH}, observation {OBSERVATION}, action {ACTION}, networks of 2x{HIDDEN}"
        yield table(title, ["who", "updates/s", "speed (quartiles)"], rows)


def _speed(result: Result) -> str:
    return f"{1 / result.ratio:.2f}x ({1 / result.high:.2f}-{1 / result.low:.2f})"


def _net(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_in, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, n_out)
    )


def _steps(action: Tensor) -> TensorDict:
    following = {"observation": torch.randn(BATCH, OBSERVATION), "reward": torch.randn(BATCH, 1)}
    following["terminated"] = torch.rand(BATCH, 1) < 0.05
    return TensorDict({"observation": torch.randn(BATCH, OBSERVATION), "action": action, "next": following}, [BATCH])


def _dqn(compiled: bool) -> Calls:
    batch = _steps(torch.randint(ACTION, (BATCH,)))
    calls: Calls = {"by hand, as CleanRL's": _dqn_by_hand(batch), "keywork": _dqn_update(batch, compiled=False)}
    if compiled:
        calls["keywork, compiled"] = _dqn_update(batch, compiled=True)
    return calls


def _dqn_update(batch: TensorDict, *, compiled: bool) -> Callable[[], object]:
    net = MLP(OBSERVATION, ACTION, num_cells=[HIDDEN, HIDDEN], activation_class=nn.ReLU)
    loss = DQNLoss(QValueActor(net, spec=Categorical(ACTION)))
    optimizer = FlatAdam(loss, lr=2.5e-4)
    judge = Descent(loss.run, optimizer, compile=compiled)
    return lambda: judge(*loss.read(batch))


def _dqn_by_hand(batch: TensorDict) -> Callable[[], object]:
    online, target = _net(OBSERVATION, ACTION), _net(OBSERVATION, ACTION)
    target.load_state_dict(online.state_dict())
    optimizer = torch.optim.Adam(online.parameters(), lr=2.5e-4)
    observations, actions = batch["observation"], batch["action"].unsqueeze(-1)
    following, rewards = batch["next", "observation"], batch["next", "reward"]
    dones = batch["next", "terminated"].float()

    def update() -> None:
        with torch.no_grad():
            best, _ = target(following).max(dim=1)
            goal = rewards.flatten() + 0.99 * best * (1 - dones.flatten())
        values = online(observations).gather(1, actions).squeeze()
        loss = F.mse_loss(goal, values)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return update


RACES = {"DQN": Race(_dqn, 1.1, 1.25), "SAC": Race(sac, 1.3, 1.5), "TD3": Race(td3, 1.2, 1.4)}
