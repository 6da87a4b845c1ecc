"""The gradient steps of SAC and TD3: in keywork, and in plain modules as single-file code writes them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import partial

import torch
from tensordict import TensorDict
from torch import Tensor, nn
from torch.nn import functional as F

from keywork.modules import Actor, NetworkConfig, ProbabilisticActor, TanhModule, ValueOperator
from keywork.nets import MLP
from keywork.nn import TensorDictSequential
from keywork.objectives import SACLoss, SoftUpdate, TD3Loss
from keywork.specs import Bounded, Unbounded
from keywork.train import Descent, FlatAdam

BATCH, OBSERVATION, ACTION, CELLS = 256, 17, 6, (256, 256)
BOX, GAMMA, TAU = Bounded(-1.0, 1.0, (ACTION,)), 0.99, 0.005
RELU = partial(nn.ReLU, inplace=True)  # spares each hidden layer a new piece of memory
Calls = dict[str, Callable[[], object]]


def sac(compiled: bool) -> Calls:
    """SAC's contestants on one batch."""
    batch = _steps()
    calls: Calls = {"by hand, as CleanRL's": _SACByHand(batch), "keywork": _sac_update(batch, compiled=False)}
    return calls | ({"keywork, compiled": _sac_update(batch, compiled=True)} if compiled else {})


def td3(compiled: bool) -> Calls:
    """TD3's contestants on one batch: two steps of the critics, of which the second moves the actor too."""
    batch = _steps()
    calls: Calls = {"by hand, as CleanRL's": _TD3ByHand(batch), "keywork": _td3_update(batch, compiled=False)}
    return calls | ({"keywork, compiled": _td3_update(batch, compiled=True)} if compiled else {})


def _steps() -> TensorDict:
    following = {"observation": torch.randn(BATCH, OBSERVATION), "reward": torch.randn(BATCH, 1)}
    following["terminated"] = torch.rand(BATCH, 1) < 0.05
    here = {"observation": torch.randn(BATCH, OBSERVATION), "action": torch.rand(BATCH, ACTION) * 2 - 1}
    return TensorDict({**here, "next": following}, [BATCH])


def _critic() -> ValueOperator:
    net = MLP(OBSERVATION + ACTION, 1, num_cells=CELLS, activation_class=RELU)
    return ValueOperator(net, ["observation", "action"])


def _sac_update(batch: TensorDict, *, compiled: bool) -> Callable[[], object]:
    config = NetworkConfig(num_cells=CELLS, activation_class=RELU, init="torch")
    actor = ProbabilisticActor.from_spec(Unbounded((OBSERVATION,)), BOX, return_log_prob=False, config=config)
    loss = SACLoss(actor, _critic(), gamma=GAMMA)
    critics, actors = FlatAdam(loss.qvalue_network, lr=1e-3), FlatAdam([actor, loss.temperature], lr=3e-4)
    judge = Descent(loss.qvalue_terms, critics, compile=compiled)
    act = Descent(loss.actor_terms, actors, 2, compile=compiled)
    targets = SoftUpdate(loss, TAU)

    def update() -> None:
        inputs = loss.read(batch)
        judge(*inputs)
        act(*inputs)
        targets.step()

    return update


def _td3_update(batch: TensorDict, *, compiled: bool) -> Callable[[], object]:
    actor = TensorDictSequential(
        Actor(MLP(OBSERVATION, ACTION, num_cells=CELLS, activation_class=RELU)), TanhModule(["action"], spec=BOX)
    )
    loss = TD3Loss(actor, _critic(), gamma=GAMMA)
    critics, actors = FlatAdam(loss.qvalue_network, lr=3e-4), FlatAdam(actor, lr=3e-4)
    judge = Descent(loss.qvalue_terms, critics, compile=compiled)
    act = Descent(loss.actor_terms, actors, compile=compiled)
    targets = SoftUpdate(loss, TAU)

    def update() -> None:
        inputs = loss.read(batch)
        judge(*inputs)
        judge(*inputs)
        act(*inputs)
        targets.step()

    return update


class _Judge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(OBSERVATION + ACTION, CELLS[0]), nn.Linear(*CELLS)
        self.last = nn.Linear(CELLS[1], 1)

    def forward(self, x: Tensor, a: Tensor) -> Tensor:
        x = F.relu(self.first(torch.cat([x, a], 1)))
        return self.last(F.relu(self.second(x)))


class _Squashed(nn.Module):
    """SAC's policy, with a distribution of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(OBSERVATION, CELLS[0]), nn.Linear(*CELLS)
        self.mean, self.log_std = nn.Linear(CELLS[1], ACTION), nn.Linear(CELLS[1], ACTION)
        self.register_buffer("scale", torch.ones(ACTION))
        self.register_buffer("bias", torch.zeros(ACTION))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.second(F.relu(self.first(x))))
        log_std = -5 + 0.5 * 7 * (torch.tanh(self.log_std(x)) + 1)
        normal = torch.distributions.Normal(self.mean(x), log_std.exp())
        u = normal.rsample()
        y = torch.tanh(u)
        log_prob = normal.log_prob(u) - torch.log(self.scale * (1 - y.pow(2)) + 1e-6)
        return y * self.scale + self.bias, log_prob.sum(1, keepdim=True)


class _ByHand:
    """Two critics, their copies and their optimiser, as single-file code has them."""

    def __init__(self, batch: TensorDict, actor: nn.Module, rate: float) -> None:
        self.obs, self.act, self.ahead = batch["observation"], batch["action"], batch["next", "observation"]
        self.reward, self.done = batch["next", "reward"], batch["next", "terminated"].float()
        self.actor, self.q1, self.q2 = actor, _Judge(), _Judge()
        self.t1, self.t2 = copy.deepcopy(self.q1), copy.deepcopy(self.q2)
        self.q_optimizer = torch.optim.Adam([*self.q1.parameters(), *self.q2.parameters()], lr=rate)
        self.a_optimizer = torch.optim.Adam(actor.parameters(), lr=3e-4)

    def judge(self, goal: Tensor) -> None:
        values = (self.q1(self.obs, self.act).view(-1), self.q2(self.obs, self.act).view(-1))
        self.q_optimizer.zero_grad()
        (F.mse_loss(values[0], goal) + F.mse_loss(values[1], goal)).backward()
        self.q_optimizer.step()

    def goal(self, value: Tensor) -> Tensor:
        return self.reward.flatten() + (1 - self.done.flatten()) * GAMMA * value.view(-1)

    def follow(self, pairs: Iterable[tuple[nn.Module, nn.Module]]) -> None:
        for network, target in pairs:
            for now, then in zip(network.parameters(), target.parameters(), strict=True):
                then.data.copy_(TAU * now.data + (1 - TAU) * then.data)


class _SACByHand(_ByHand):
    def __init__(self, batch: TensorDict) -> None:
        super().__init__(batch, _Squashed(), 1e-3)
        self.log_alpha = torch.zeros(1, requires_grad=True)
        self.alpha, self.t_optimizer = 1.0, torch.optim.Adam([self.log_alpha], lr=1e-3)

    def __call__(self) -> None:
        with torch.no_grad():
            action, log_prob = self.actor(self.ahead)
            value = torch.min(self.t1(self.ahead, action), self.t2(self.ahead, action)) - self.alpha * log_prob
        self.judge(self.goal(value))
        action, log_prob = self.actor(self.obs)
        value = torch.min(self.q1(self.obs, action), self.q2(self.obs, action))
        self.a_optimizer.zero_grad()
        (self.alpha * log_prob - value).mean().backward()
        self.a_optimizer.step()
        with torch.no_grad():
            _, log_prob = self.actor(self.obs)
        self.t_optimizer.zero_grad()
        (-self.log_alpha.exp() * (log_prob - ACTION)).mean().backward()
        self.t_optimizer.step()
        self.alpha = self.log_alpha.exp().item()
        self.follow([(self.q1, self.t1), (self.q2, self.t2)])


class _TD3ByHand(_ByHand):
    def __init__(self, batch: TensorDict) -> None:
        net = MLP(OBSERVATION, ACTION, num_cells=CELLS, activation_class=nn.ReLU)
        super().__init__(batch, nn.Sequential(*net.children(), nn.Tanh()), 3e-4)
        self.target_actor = copy.deepcopy(self.actor)

    def __call__(self) -> None:
        for _ in range(2):
            with torch.no_grad():
                noise = (torch.randn_like(self.act) * 0.2).clamp(-0.5, 0.5)
                action = (self.target_actor(self.ahead) + noise).clamp(-1.0, 1.0)
                value = torch.min(self.t1(self.ahead, action), self.t2(self.ahead, action))
            self.judge(self.goal(value))
        self.a_optimizer.zero_grad()
        (-self.q1(self.obs, self.actor(self.obs)).mean()).backward()
        self.a_optimizer.step()
        self.follow([(self.actor, self.target_actor), (self.q1, self.t1), (self.q2, self.t2)])
