"""Recurrent actors and critics in losses and value estimators."""

import pytest
import torch
from torch import nn

from keywork.collectors import Collector
from keywork.distributions import Categorical
from keywork.envs import GymEnv
from keywork.functional import generalized_advantage
from keywork.modules import ActorValueOperator, GRUModule, LSTMModule, ProbabilisticActor, ValueOperator
from keywork.nn import TensorDictModule
from keywork.objectives import GAE, ClipPPOLoss

KINDS = pytest.mark.parametrize("kind", [GRUModule, LSTMModule])


def collected(kind):
    memory = kind(4, 8, in_key="observation", out_key="features")
    head = TensorDictModule(nn.Linear(8, 2), ["features"], ["logits"])
    actor = ProbabilisticActor(head, ["logits"], distribution_class=Categorical, return_log_prob=True)
    both = ActorValueOperator(memory, actor, ValueOperator(nn.Linear(8, 1), ["features"]))
    with GymEnv("CartPole-v1", num_envs=3, seed=0, env_kwargs={"max_episode_steps": 12}) as env:
        collector = Collector(env, both.get_policy_operator(), frames_per_batch=120)
        collector.collect()
        batch = collector.collect()  # begins in the middle of episodes
    return both, batch


def step_values(critic, batch):
    """V of every observation and of every next one, by hand: step after step, the next one from the state after it."""
    states = {key: batch[key][:, 0] for key in critic.contract.carries}
    here, ahead = [], []
    with torch.no_grad():
        for t in range(batch.shape[1]):
            step = critic(batch[:, t].select("observation", "is_init").update(states))
            states = {key: step["next", key] for key in states}
            look = step.select("is_init").update(states).set("observation", batch["next", "observation"][:, t])
            here.append(step["state_value"])
            ahead.append(critic(look.set("is_init", torch.zeros_like(step["is_init"])))["state_value"])
    return torch.stack(here, 1), torch.stack(ahead, 1)


@KINDS
def test_fresh_data_has_a_ratio_of_one(kind):
    both, batch = collected(kind)
    critic = both.get_value_operator()
    GAE(0.99, 0.95, critic)(batch)
    losses = ClipPPOLoss(both.get_policy_operator(), critic, clip_epsilon=1e-5)(batch)
    # Where all ratios are one, the objective is the mean advantage, and nothing is clipped, however close the clip is.
    assert losses["clip_fraction"].item() == 0.0
    assert abs(losses["kl_approx"].item()) < 1e-9
    torch.testing.assert_close(-losses["loss_objective"], batch["advantage"].mean())


@KINDS
def test_the_loss_runs_along_time_from_the_first_state_of_each_row(kind):
    both, batch = collected(kind)
    critic = both.get_value_operator()
    GAE(0.99, 0.95, critic)(batch)
    loss = ClipPPOLoss(both.get_policy_operator(), critic)

    def gradient():
        losses = loss(batch)
        total = losses["loss_objective"] + losses["loss_critic"]
        return torch.autograd.grad(total, both[0].layers.weight_hh_l0)[0]

    before = gradient()
    for key in critic.contract.carries:
        batch[key][:, 1:] = 100.0  # of earlier parameters, as they would be in a later epoch
    assert torch.equal(gradient(), before)
    for key in critic.contract.carries:
        batch[key][:, :1] = 100.0
    assert not torch.equal(gradient(), before)


@KINDS
def test_values_are_those_of_the_steps_also_of_an_episodes_true_last_observation(kind):
    both, batch = collected(kind)
    critic = both.get_value_operator()
    GAE(0.99, 0.95, critic)(batch)
    v_t, v_tp1 = step_values(critic, batch)
    assert batch["next", "truncated"].any()
    assert not batch["is_init"][:, 0].all()
    torch.testing.assert_close(batch["state_value"], v_t, rtol=0.0, atol=1e-6)
    ends = batch["next", "terminated"], batch["next", "done"]
    advantage, target = generalized_advantage(batch["next", "reward"], v_t, v_tp1, *ends, gamma=0.99, lmbda=0.95)
    torch.testing.assert_close(batch["advantage"], advantage, rtol=0.0, atol=1e-5)
    torch.testing.assert_close(batch["value_target"], target, rtol=0.0, atol=1e-5)
    # Within an episode the value ahead is that of the following step.
    goes_on = ~batch["next", "done"][:, :-1]
    torch.testing.assert_close(v_tp1[:, :-1][goes_on], v_t[:, 1:][goes_on], rtol=0.0, atol=1e-6)


def test_an_estimator_does_not_ask_for_states_and_flags_of_the_following_step():
    memory = GRUModule(4, 8, in_keys=["eye", "memory", ("flags", "first")], out_key="features")
    critic = ActorValueOperator(
        memory, TensorDictModule(nn.Linear(8, 1), "features", "action"), ValueOperator(nn.Linear(8, 1), ["features"])
    ).get_value_operator()
    assert GAE(0.9, 0.9, critic).contract.reads == (
        "eye",
        "memory",
        ("flags", "first"),
        ("next", "eye"),
        ("next", "reward"),
        ("next", "done"),
        ("next", "terminated"),
    )


def test_a_minibatch_of_single_steps_is_refused():
    both, batch = collected(GRUModule)
    critic = both.get_value_operator()
    GAE(0.99, 0.95, critic)(batch)
    with pytest.raises(ValueError, match="single steps in one dimension are no sequences"):
        ClipPPOLoss(both.get_policy_operator(), critic)(batch.flatten(0, 1))
