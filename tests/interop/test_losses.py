"""Keywork modules in TorchRL's own collector and losses: a few updates lower the loss of a fixed batch."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork.interop import spec_from_torchrl, to_torchrl
from keywork.modules import (
    Actor,
    ActorValueOperator,
    AdditiveGaussianModule,
    Categorical,
    EGreedyModule,
    IndependentNormal,
    NormalParamExtractor,
    ProbabilisticActor,
    QValueActor,
    TanhModule,
    TanhNormal,
    ValueOperator,
)
from keywork.nets import MLP
from keywork.nn import TensorDictModule, TensorDictSequential

torchrl = pytest.importorskip("torchrl", reason="needs TorchRL, which `make interop` brings")

from torchrl.collectors import Collector  # noqa: E402
from torchrl.envs import GymEnv, RewardScaling, TransformedEnv  # noqa: E402
from torchrl.objectives import ClipPPOLoss, DQNLoss, SACLoss, SoftUpdate, TD3Loss  # noqa: E402
from torchrl.objectives.value import GAE  # noqa: E402


def net(n_in, n_out):
    return MLP(n_in, n_out, num_cells=[32])


def collected(env, policy, frames=200):
    """One batch of TorchRL's collector."""
    collector = Collector(
        env, policy, frames_per_batch=frames, total_frames=frames, auto_register_policy_transforms=True
    )
    batch = next(iter(collector))
    collector.shutdown()
    return batch


def updated(loss, names, batch, modules, steps=20, lr=1e-2):
    """The sum of the named losses before each of a few updates; every parameter of the keywork modules has moved."""
    before = {name: p.detach().clone() for m in modules for name, p in _named(m)}
    optimizer = torch.optim.Adam(loss.parameters(), lr=lr)
    if not isinstance(loss, ClipPPOLoss):
        SoftUpdate(loss, eps=0.99)  # the targets stay as they are: it is never stepped
    values = []
    for _ in range(steps):
        torch.manual_seed(0)  # the same noise each time: what falls then is the loss
        out = loss(batch.clone())
        total = sum(out[name] for name in names)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        values.append(total.item())
    after = {name: p for m in modules for name, p in _named(m)}
    assert all(not torch.equal(before[name], after[name]) for name in before)
    return values


def _named(module):
    return [((id(module), name), p) for name, p in module.named_parameters()]


def falls(values):
    return values[-1] < values[0] - 0.05 * abs(values[0])


def cart_pole_actor():
    logits = TensorDictModule(net(4, 2), ["observation"], ["logits"])
    return ProbabilisticActor(logits, ["logits"], distribution_class=Categorical, return_log_prob=True)


def pendulum_env():
    return TransformedEnv(GymEnv("Pendulum-v1"), RewardScaling(loc=0.0, scale=0.1))


def pendulum_actor(spec, **options):
    params = nn.Sequential(net(3, 2), NormalParamExtractor())
    module = TensorDictModule(params, ["observation"], ["loc", "scale"])
    return ProbabilisticActor(module, ["loc", "scale"], distribution_class=TanhNormal, spec=spec, **options)


class TestClipPPO:
    def test_an_actor_and_a_critic(self):
        actor, critic = cart_pole_actor(), ValueOperator(net(4, 1))
        policy, value = to_torchrl(actor), to_torchrl(critic)
        batch = collected(GymEnv("CartPole-v1"), policy)
        assert batch["sample_log_prob"].shape == batch.batch_size
        GAE(gamma=0.99, lmbda=0.95, value_network=value)(batch)
        loss = ClipPPOLoss(policy, value, normalize_advantage=True)
        loss.set_keys(sample_log_prob="sample_log_prob")
        # before any update the policy is the one that acted: every ratio is one
        assert loss(batch)["kl_approx"].item() == pytest.approx(0.0, abs=1e-6)
        names = ["loss_objective", "loss_critic", "loss_entropy"]
        assert falls(updated(loss, names, batch, [actor, critic]))

    def test_the_log_prob_under_torchrls_name_needs_no_set_keys(self):
        logits = TensorDictModule(net(4, 2), ["observation"], ["logits"])
        actor = ProbabilisticActor(
            logits, ["logits"], distribution_class=Categorical, return_log_prob=True, log_prob_key="action_log_prob"
        )
        policy, value = to_torchrl(actor), to_torchrl(ValueOperator(net(4, 1)))
        batch = collected(GymEnv("CartPole-v1"), policy, 50)
        GAE(gamma=0.99, lmbda=0.95, value_network=value)(batch)
        assert ClipPPOLoss(policy, value)(batch)["kl_approx"].item() == pytest.approx(0.0, abs=1e-6)

    def test_an_operator_with_a_trunk_in_common(self):
        trunk = TensorDictModule(net(4, 8), ["observation"], ["hidden"])
        logits = TensorDictModule(nn.Linear(8, 2), ["hidden"], ["logits"])
        actor = ProbabilisticActor(logits, ["logits"], distribution_class=Categorical, return_log_prob=True)
        both = ActorValueOperator(trunk, actor, ValueOperator(nn.Linear(8, 1), ["hidden"]))
        theirs = to_torchrl(both)
        policy, value = theirs.get_policy_operator(), theirs.get_value_operator()
        batch = collected(GymEnv("CartPole-v1"), policy)
        GAE(gamma=0.99, lmbda=0.95, value_network=value)(batch)
        loss = ClipPPOLoss(policy, value)
        loss.set_keys(sample_log_prob="sample_log_prob")
        assert falls(updated(loss, ["loss_objective", "loss_critic"], batch, [both]))

    def test_box_actions(self):
        env = pendulum_env()
        actor = pendulum_actor(spec_from_torchrl(env.action_spec), return_log_prob=True)
        critic = ValueOperator(net(3, 1))
        policy, value = to_torchrl(actor), to_torchrl(critic)
        batch = collected(env, policy)
        assert batch["action"].abs().max() <= 2.0  # Pendulum's bounds, which came with the spec
        assert batch["action"].abs().max() > 1.0
        GAE(gamma=0.9, lmbda=0.95, value_network=value)(batch)
        loss = ClipPPOLoss(policy, value, entropy_bonus=False)
        loss.set_keys(sample_log_prob="sample_log_prob")
        assert falls(updated(loss, ["loss_objective", "loss_critic"], batch, [actor, critic]))


class TestOffPolicy:
    def test_sac(self):
        env = pendulum_env()
        actor = pendulum_actor(spec_from_torchrl(env.action_spec))
        critic = ValueOperator(MLP(4, 1, num_cells=[32]), ["observation", "action"])
        batch = collected(env, to_torchrl(actor))
        # two critics: their parameters are stacked and run in one vmap
        loss = SACLoss(to_torchrl(actor), to_torchrl(critic), num_qvalue_nets=2, action_spec=env.action_spec)
        loss.make_value_estimator(gamma=0.9)
        assert falls(updated(loss, ["loss_qvalue"], batch, []))
        assert falls(updated(loss, ["loss_actor"], batch, [actor]))

    def test_td3(self):
        env = pendulum_env()
        spec = spec_from_torchrl(env.action_spec)
        actor = TensorDictSequential(Actor(net(3, 1)), TanhModule(["action"], spec=spec))
        explore = TensorDictSequential(actor, AdditiveGaussianModule(spec, sigma_init=0.5, sigma_end=0.5))
        critic = ValueOperator(MLP(4, 1, num_cells=[32]), ["observation", "action"])
        batch = collected(env, to_torchrl(explore))
        assert batch["action"].abs().max() <= 2.0
        loss = TD3Loss(to_torchrl(actor), to_torchrl(critic), action_spec=env.action_spec)
        loss.make_value_estimator(gamma=0.9)
        assert falls(updated(loss, ["loss_qvalue"], batch, []))
        assert falls(updated(loss, ["loss_actor"], batch, [actor]))

    @pytest.mark.parametrize("one_hot", [False, True])
    def test_dqn(self, one_hot):
        env = GymEnv("CartPole-v1", categorical_action_encoding=not one_hot)
        spec = spec_from_torchrl(env.action_spec)
        actor = QValueActor(net(4, 2), spec=spec)
        explore = TensorDictSequential(actor, EGreedyModule(spec, eps_init=0.5, eps_end=0.5))
        batch = collected(env, to_torchrl(explore))
        assert batch["action"].shape == (*batch.batch_size, *spec.shape)
        loss = DQNLoss(to_torchrl(actor), delay_value=True)  # it finds the action space by itself
        assert loss.action_space == ("one_hot" if one_hot else "categorical")
        loss.make_value_estimator(gamma=0.9)
        assert falls(updated(loss, ["loss"], batch, [actor]))

    def test_the_actions_of_a_loss_are_those_of_the_keywork_modules(self):
        params = nn.Sequential(net(3, 2), NormalParamExtractor())
        module = TensorDictModule(params, ["observation"], ["loc", "scale"])
        actor = ProbabilisticActor(module, ["loc", "scale"], distribution_class=IndependentNormal)
        td = TensorDict(observation=torch.randn(5, 3), batch_size=[5])
        theirs = to_torchrl(actor)
        for dist in (theirs.get_dist(td), theirs.build_dist_from_params(theirs.get_dist_params(td))):
            assert torch.equal(dist.mean, actor.get_dist(td).mean)
            assert type(dist) is IndependentNormal
