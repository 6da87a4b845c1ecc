"""Modules of tensordict.nn and TorchRL as keywork modules."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import (
    InteractionType,
    NormalParamExtractor,
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
)
from tensordict.nn import TensorDictModule as TheirModule
from tensordict.nn.probabilistic import interaction_type
from torch import nn

from keywork._errors import ContractError, MissingKeyError
from keywork.collectors import Collector
from keywork.envs import GymEnv
from keywork.interop import from_torchrl
from keywork.nn import Contract, TensorDictModule, TensorDictSequential, set_exploration_type, set_recurrent_mode


def their_policy():
    """Of nothing but tensordict.nn: a normal distribution, which by their default is not sampled from."""
    params = TheirModule(nn.Sequential(nn.Linear(3, 2), NormalParamExtractor()), ["observation"], ["loc", "scale"])
    head = ProbabilisticTensorDictModule(
        ["loc", "scale"], ["action"], distribution_class=torch.distributions.Normal, return_log_prob=True
    )
    return ProbabilisticTensorDictSequential(params, head)


class TestWithTensorDictAlone:
    def test_our_exploration_type_holds_and_does_not_stay(self):
        policy = from_torchrl(their_policy())
        td = TensorDict(observation=torch.randn(4, 3), batch_size=[4])
        with set_exploration_type("random"):
            assert not torch.equal(policy(td.clone())["action"], td.clone().update(policy(td.clone()))["loc"])
        for kind in ("mode", "mean", "deterministic"):
            with set_exploration_type(kind):
                out = policy(td.clone())
                assert torch.equal(out["action"], out["loc"])
                assert interaction_type() is None

    def test_keys_and_parameters_are_theirs(self):
        theirs = their_policy()
        policy = from_torchrl(theirs)
        assert policy.contract == Contract(["observation"], ["loc", "scale", "action", "action_log_prob"])
        assert policy.log_prob_keys == ["action_log_prob"]
        assert all(a is b for a, b in zip(policy.parameters(), theirs.parameters(), strict=True))
        td = TensorDict(observation=torch.randn(4, 3), batch_size=[4])
        assert torch.equal(policy.get_dist(td).loc, theirs.get_dist(td).loc)

    def test_a_step_among_ours(self):
        chain = TensorDictSequential(
            from_torchrl(their_policy()), TensorDictModule(lambda action: action.abs(), ["action"], ["size"])
        )
        with set_exploration_type("mode"):
            td = chain(TensorDict(observation=torch.randn(4, 3), batch_size=[4]))
            assert torch.equal(td["size"], td["loc"].abs())
        with pytest.raises(MissingKeyError, match="it reads 'observation'"):
            chain(TensorDict(obs=torch.randn(4, 3), batch_size=[4]))

    def test_on_tensors_and_into_another_tensordict(self):
        policy = from_torchrl(TheirModule(nn.Linear(3, 1), in_keys=["observation"], out_keys=["action"]))
        x, out = torch.randn(4, 3), TensorDict(batch_size=[4])
        assert torch.equal(policy(x), policy.module.module(x))
        assert torch.equal(policy(observation=x), policy(x))
        assert policy(TensorDict(observation=x, batch_size=[4]), tensordict_out=out) is out
        assert torch.equal(out["action"], policy(x))

    def test_it_collects_in_our_collector(self):
        with GymEnv("Pendulum-v1", num_envs=2, seed=0, clip_actions=True) as env:
            policy = from_torchrl(their_policy())
            batch = Collector(env, policy, frames_per_batch=20).collect()
            assert batch["action_log_prob"].shape == (2, 10, 1)
            assert not torch.equal(batch["action"], batch["loc"])
            calm = Collector(env, policy, frames_per_batch=20, exploration_type=InteractionType.MODE).collect()
        assert torch.equal(calm["action"], calm["loc"])

    def test_what_has_no_keys_is_refused(self):
        with pytest.raises(ContractError, match=r"module is Linear 3 -> 1, which does not say what it reads") as caught:
            from_torchrl(nn.Linear(3, 1))
        assert "keywork.nn.TensorDictModule(module, in_keys=[...], out_keys=[...])" in str(caught.value)


class TestWithTorchRL:
    @pytest.fixture(autouse=True)
    def modules(self):
        return pytest.importorskip("torchrl.modules", reason="needs TorchRL, which `make interop` brings")

    @pytest.mark.parametrize("wrapped", [True, False])
    def test_a_policy_collects_in_our_collector(self, modules, wrapped):
        params = TheirModule(nn.Sequential(nn.Linear(3, 2), NormalParamExtractor()), ["observation"], ["loc", "scale"])
        theirs = modules.ProbabilisticActor(
            params, ["loc", "scale"], distribution_class=modules.TanhNormal, return_log_prob=True
        )
        policy = from_torchrl(theirs) if wrapped else TensorDictSequential(theirs)
        with GymEnv("Pendulum-v1", num_envs=2, seed=0) as env:
            batch = Collector(env, policy, frames_per_batch=20).collect()
        assert batch["action"].shape == (2, 10, 1)
        assert batch["action_log_prob"].shape == (2, 10)

    @pytest.mark.parametrize("kind", ["GRUModule", "LSTMModule"])
    def test_a_recurrent_one_carries_its_state(self, modules, kind):
        memory = getattr(modules, kind)(4, 8, in_key="observation", out_key="features")
        head = TheirModule(lambda x: x[..., :2].argmax(-1), in_keys=["features"], out_keys=["action"])
        policy = TensorDictSequential(from_torchrl(memory), head)
        with GymEnv("CartPole-v1", num_envs=2, seed=0) as env:
            batch = Collector(env, policy, frames_per_batch=80).collect()
        first = batch["is_init"].squeeze(-1)
        assert first.sum() > 2
        for key in policy.contract.carries:
            assert not batch[key][first].any()
            inside = ~first[:, 1:]
            assert torch.equal(batch[key][:, 1:][inside], batch["next", key][:, :-1][inside])
        sequence = batch.clone()
        with set_recurrent_mode(True):
            from_torchrl(memory)(sequence)
        assert torch.allclose(sequence["features"], batch["features"], atol=1e-5)
