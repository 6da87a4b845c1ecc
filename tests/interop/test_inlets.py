"""What TorchRL's collector finds in a policy: the state that it carries, and the noise that waits for a spec."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import SpecError
from keywork.interop import spec_from_torchrl, to_torchrl
from keywork.modules import (
    Actor,
    AdditiveGaussianModule,
    Categorical,
    EGreedyModule,
    GRUModule,
    LSTMModule,
    OrnsteinUhlenbeckProcessModule,
    ProbabilisticActor,
    RandomPolicy,
    SDEConfig,
    TanhModule,
    ValueOperator,
    gSDEModule,
)
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModule, TensorDictSequential, set_recurrent_mode

torchrl = pytest.importorskip("torchrl", reason="needs TorchRL, which `make interop` brings")

from torchrl.collectors import Collector  # noqa: E402
from torchrl.envs import GymEnv, SerialEnv, TransformedEnv  # noqa: E402
from torchrl.modules import set_exploration_modules_spec_from_env  # noqa: E402
from torchrl.modules import set_recurrent_mode as set_their_recurrent_mode  # noqa: E402
from torchrl.modules.utils import get_env_transforms_from_module, get_primers_from_module  # noqa: E402
from torchrl.objectives import ClipPPOLoss  # noqa: E402
from torchrl.objectives.value import GAE  # noqa: E402


def collected(env, policy, frames, **options):
    collector = Collector(env, policy, frames_per_batch=frames, total_frames=frames, **options)
    batch = next(iter(collector))
    collector.shutdown()
    return batch


def with_transforms(env, policy):
    return TransformedEnv(env, get_env_transforms_from_module(policy))


def recurrent_actor(kind=GRUModule):
    memory = kind(4, 8, in_key="observation", out_key="features")
    logits = TensorDictModule(nn.Linear(8, 2), ["features"], ["logits"])
    return ProbabilisticActor([memory, logits], ["logits"], distribution_class=Categorical, return_log_prob=True)


class TestRecurrentPolicies:
    @pytest.mark.parametrize("kind", [GRUModule, LSTMModule])
    def test_the_collector_carries_the_state(self, kind):
        actor = recurrent_actor(kind)
        policy = to_torchrl(actor)
        states = actor.contract.carries
        batch = collected(with_transforms(GymEnv("CartPole-v1"), policy), policy, 60)
        is_init = batch["is_init"].squeeze(-1)
        assert is_init[0] and 2 <= is_init.sum() < 30  # several episodes
        for key in states:
            assert not batch[key][is_init].any()  # each begins with zeros
            inside = ~is_init[1:]
            assert torch.equal(batch[key][1:][inside], batch["next", key][:-1][inside])
            assert batch[key][1:][inside].abs().amin(0).sum() > 0

    def test_one_sequence_under_torchrls_mode_is_what_the_steps_gave(self):
        actor = recurrent_actor()
        policy = to_torchrl(actor)
        batch = collected(with_transforms(SerialEnv(2, lambda: GymEnv("CartPole-v1")), policy), policy, 60)
        assert batch.batch_size == torch.Size([2, 30])
        with set_their_recurrent_mode(True):
            sequence = policy.get_dist(batch).logits
        with set_recurrent_mode(True):
            assert torch.equal(actor.get_dist(batch).logits, sequence)
        scored = Categorical(logits=sequence).log_prob(batch["action"])
        assert torch.allclose(scored, batch["sample_log_prob"], atol=1e-5)

    def test_it_trains_with_torchrls_loss(self):
        actor, critic = recurrent_actor(), ValueOperator(nn.Linear(4, 1))
        policy, value = to_torchrl(actor), to_torchrl(critic)
        batch = collected(with_transforms(SerialEnv(2, lambda: GymEnv("CartPole-v1")), policy), policy, 60)
        GAE(gamma=0.99, lmbda=0.95, value_network=value)(batch)
        loss = ClipPPOLoss(policy, value)
        loss.set_keys(sample_log_prob="sample_log_prob")
        out = loss(batch)
        assert out["kl_approx"].item() == pytest.approx(0.0, abs=1e-5)  # sequences score as the steps did
        out["loss_objective"].backward()
        # the memory has learned through time: W_hh has no gradient where each step stands alone
        assert actor[0].gru[0].weight_hh.grad.abs().sum() > 0

    def test_the_primer_says_what_is_carried(self):
        primer = get_primers_from_module(to_torchrl(recurrent_actor()))
        assert primer.primers["recurrent_state"].shape == torch.Size([1, 8])
        elsewhere = get_primers_from_module(to_torchrl(recurrent_actor()).to("meta"))  # as a worker gets a policy
        assert elsewhere.primers["recurrent_state"].device.type == "cpu"  # where environments are
        with pytest.warns(UserWarning, match="No primers found"):
            assert get_primers_from_module(to_torchrl(Actor(nn.Linear(3, 1)))) is None

    def test_gsde(self):
        net = TensorDictModule(nn.Linear(3, 1), ["observation"], ["loc"])
        # TorchRL's collector does not hand out keys that begin with an underscore, and the default's does
        config = SDEConfig(noise_key="noise_matrix")
        actor = ProbabilisticTensorDictSequential(net, gSDEModule(1, 3, return_log_prob=True, config=config))
        policy = to_torchrl(actor)
        batch = collected(with_transforms(GymEnv("Pendulum-v1"), policy), policy, 20)
        noise = batch["noise_matrix"]
        assert torch.equal(noise[1:], batch["next", "noise_matrix"][:-1])
        assert torch.equal(noise[1], noise[-1])  # drawn once an episode
        assert torch.allclose(actor.log_prob(batch), batch["sample_log_prob"], atol=1e-6)
        assert torch.equal(policy.get_dist(batch).loc, actor.get_dist(batch).loc)


class TestNoiseThatWaitsForItsSpec:
    def actor(self, *noise):
        return TensorDictSequential(Actor(nn.Linear(3, 1)), TanhModule(["action"], low=-2.0, high=2.0), *noise)

    def test_gaussian(self):
        noise = AdditiveGaussianModule(sigma_init=5.0, sigma_end=5.0)
        batch = collected(
            GymEnv("Pendulum-v1"), to_torchrl(self.actor(noise)), 50, auto_register_policy_transforms=True
        )
        assert noise.spec == spec_from_torchrl(GymEnv("Pendulum-v1").action_spec)
        assert batch["action"].abs().max() == 2.0  # projected

    def test_epsilon_greedy(self):
        noise = EGreedyModule(eps_init=1.0, eps_end=1.0)
        logits = TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"])
        greedy = TensorDictModule(lambda logits: torch.zeros_like(logits).argmax(-1), ["logits"], ["action"])
        policy = to_torchrl(TensorDictSequential(logits, greedy, noise))
        env = GymEnv("CartPole-v1", categorical_action_encoding=True)
        batch = collected(env, policy, 50, auto_register_policy_transforms=True)
        assert batch["action"].unique().tolist() == [0, 1]

    def test_ornstein_uhlenbeck(self):
        noise = OrnsteinUhlenbeckProcessModule(sigma=0.5, noise_key="noise")
        policy = to_torchrl(self.actor(noise))
        env = GymEnv("Pendulum-v1")
        with pytest.raises(SpecError, match="nobody has said what an action is"):
            get_env_transforms_from_module(policy)  # the size of its state is that of an action
        set_exploration_modules_spec_from_env(policy, env)
        batch = collected(with_transforms(env, policy), policy, 20)
        state = batch["noise"]
        assert not state[0].any()
        assert torch.equal(state[1:], batch["next", "noise"][:-1])
        assert state[1:].abs().min() > 0

    def test_random_policy(self):
        batch = collected(GymEnv("Pendulum-v1"), to_torchrl(RandomPolicy()), 50, auto_register_policy_transforms=True)
        assert 1.0 < batch["action"].abs().max() <= 2.0

    def test_a_spec_that_is_there_stays(self):
        spec = spec_from_torchrl(GymEnv("Pendulum-v1").action_spec)
        policy = to_torchrl(AdditiveGaussianModule(spec))
        assert not [part for part in policy.modules() if "SpecInlet" in type(part).__name__]

    def test_without_a_collector_the_message_says_what_to_type(self):
        td = TensorDict(action=torch.zeros(2, 1), batch_size=[2])
        with pytest.raises(SpecError, match=r"module.spec = env.action_spec"):
            to_torchrl(AdditiveGaussianModule())(td)

    def test_the_number_of_frames_is_counted_by_both(self):
        noise = AdditiveGaussianModule(sigma_init=1.0, sigma_end=0.0, annealing_num_steps=10)
        theirs = to_torchrl(noise)
        theirs.step(5)
        assert theirs.sigma.item() == noise.sigma.item() == pytest.approx(0.5)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda policy: pickle.loads(pickle.dumps(policy))])
def test_copies_have_parameters_and_a_spec_of_their_own(copied):
    noise = AdditiveGaussianModule()
    memory = GRUModule(3, 1, in_key="observation", out_key="action")
    policy = to_torchrl(TensorDictSequential(memory, noise))
    other = copied(policy)
    set_exploration_modules_spec_from_env(other, GymEnv("Pendulum-v1"))
    assert noise.spec is None
    assert not {p.data_ptr() for p in other.parameters()} & {p.data_ptr() for p in policy.parameters()}
    with torch.no_grad():
        next(other.parameters()).add_(1.0)
    td = get_primers_from_module(other)(TensorDict(observation=torch.ones(3), is_init=torch.ones(1, dtype=torch.bool)))
    assert not torch.equal(
        other(td.clone())["next", "recurrent_state"], policy[0](td.clone())["next", "recurrent_state"]
    )
