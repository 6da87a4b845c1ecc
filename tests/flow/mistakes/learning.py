"""What losses and estimators read, and what optimisers update"""

from __future__ import annotations

import itertools

import torch
from gymnasium.spaces import Box
from torch import nn

from keywork import specs
from keywork.buffers import PrioritizedSampler, ReplayBuffer
from keywork.collectors import Collector
from keywork.distributions import Categorical, NormalParamExtractor, TanhNormal
from keywork.flow import Flow, Part
from keywork.modules import (
    Actor,
    ActorValueOperator,
    DistributionalQValueActor,
    GRUModule,
    ProbabilisticActor,
    QValueActor,
    ValueOperator,
)
from keywork.nets import MLP
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.objectives import (
    GAE,
    A2CLoss,
    BCLoss,
    ClipPPOLoss,
    CQLLoss,
    DDPGLoss,
    DiscreteSACLoss,
    DistributionalDQNLoss,
    DQNLoss,
    KLPENPPOLoss,
    SACLoss,
    TD3Loss,
)
from keywork.train import PPO


def _actor(**options):
    net = TensorDictModule(MLP(4, 2, num_cells=[8]), ["observation"], ["logits"])
    return ProbabilisticActor(net, ["logits"], distribution_class=Categorical, **{"return_log_prob": True, **options})


def _critic(read="observation"):
    return ValueOperator(MLP(4, 1, num_cells=[8]), [read])


def _shared():
    trunk = TensorDictModule(MLP(4, 8, num_cells=[8]), ["observation"], ["hidden"])
    net = TensorDictModule(nn.Linear(8, 2), ["hidden"], ["logits"])
    head = ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)
    both = ActorValueOperator(trunk, head, ValueOperator(nn.Linear(8, 1), ["hidden"]))
    return both.get_policy_operator(), both.get_value_operator()


def no_log_probability(env):
    """The actor stores no log-probability, and PPO needs it [feed-forward, discrete]"""
    return ClipPPOLoss(_actor(return_log_prob=False), _critic())


def no_log_probability_from_who_acts(env):
    """What acts stores no log-probability, what learns would [feed-forward, discrete]"""
    actor, critic = _actor(), _critic()
    acting = ProbabilisticActor(actor[0], ["logits"], distribution_class=Categorical)
    return Flow(env(4, 2), acting, GAE(0.99, 0.95, critic), ClipPPOLoss(actor, critic))


def parameters_of_the_distribution_dropped(env):
    """The actor drops the logits, and PPO's penalty compares them with those of before [feed-forward, discrete]"""
    actor = _actor()
    actor.select_out_keys("action", "sample_log_prob")
    return KLPENPPOLoss(actor, _critic())


def priorities_in_ppo(env):
    """PPO's minibatches are drawn by priority, and nothing weighs that [feed-forward, discrete]"""
    actor, critic = _actor(), _critic()
    loss = ClipPPOLoss(actor, critic)
    buffer = ReplayBuffer(64, sampler=PrioritizedSampler(alpha=0.6, beta=0.4), batch_size=8)
    return Flow(env(4, 2), actor, GAE(0.99, 0.95, critic), buffer, loss)


def n_steps_in_a2c(env):
    """A2C learns from steps that sum several rewards [feed-forward, discrete]"""
    actor, critic = _actor(), _critic()
    buffer = ReplayBuffer(64, batch_size=8, n_step=3, gamma=0.99)
    return Flow(env(4, 2), actor, GAE(0.99, 0.95, critic), buffer, A2CLoss(actor, critic))


def nothing_to_clone(env):
    """The network writes the parameters of an action, and behaviour cloning asks for the action [continuous]"""
    net = nn.Sequential(nn.Linear(4, 2), NormalParamExtractor())
    return BCLoss(TensorDictModule(net, ["observation"], ["loc", "scale"]))


def no_distribution(env):
    """The actor is deterministic, and PPO scores actions [feed-forward, continuous]"""
    return ClipPPOLoss(Actor(nn.Linear(4, 1)), _critic())


def several_samples(env):
    """The actor draws 7 samples, and PPO scores one [feed-forward, continuous]"""
    net = nn.Sequential(nn.Linear(4, 2), NormalParamExtractor())
    actor = ProbabilisticActor(
        TensorDictModule(net, ["observation"], ["loc", "scale"]),
        ["loc", "scale"],
        distribution_class=TanhNormal,
        return_log_prob=True,
        num_samples=7,
    )
    return ClipPPOLoss(actor, _critic())


def value_of_another_name(env):
    """The critic writes 'value', and the estimator takes 'state_value' [feed-forward, discrete]"""
    return GAE(0.99, 0.95, TensorDictModule(nn.Linear(4, 1), ["observation"], ["value"]))


def critic_of_actions_in_a_loss(env):
    """The critic judges actions, and PPO takes the value of the state [feed-forward, continuous]"""
    return ClipPPOLoss(_actor(), ValueOperator(MLP(5, 1), ["observation", "action"]))


def no_estimator(env):
    """Nobody computes the advantages [feed-forward, discrete]"""
    actor, critic = _actor(), _critic()
    return Flow(env(4, 2), actor, critic, ClipPPOLoss(actor, critic))


def no_critic(env):
    """A loss reads values, and there is no critic [feed-forward, discrete]"""
    return Flow(env(4, 2), _actor(), Part("A2C", "loss", ("state_value", ("next", "reward")), ("loss_critic",)))


def no_action(env):
    """There is a critic and nobody who acts, and a loss reads the log-probability [feed-forward, discrete]"""
    return Flow(env(4, 2), Part("REINFORCE", "loss", ("sample_log_prob", ("next", "reward")), ("loss_objective",)))


def no_target_network(env):
    """A loss reads the value of a target network that does not exist [feed-forward, continuous]"""
    actor = Actor(nn.Sequential(nn.Linear(4, 1), nn.Tanh()))
    critic = ValueOperator(MLP(5, 1), ["observation", "action"])
    reads = ("state_action_value", ("next", "target_value"), ("next", "reward"))
    return Flow(env(4, Box(-1, 1, (1,))), actor, critic, Part("DDPG", "loss", reads, ("loss_critic",)))


def critic_that_ignores_the_action(env):
    """A critic of state and action does not read the action [feed-forward, continuous]"""
    actor = Actor(nn.Sequential(nn.Linear(4, 1), nn.Tanh()))
    critic = ValueOperator(MLP(4, 1), ["observation"], ["state_action_value"])
    return Flow(env(4, Box(-1, 1, (1,))), actor, critic)


def critic_that_ignores_the_action_behind_a_trunk(env):
    """A critic of state and action reads a trunk, in which the action is not either [shared trunk, continuous]"""
    trunk = TensorDictModule(nn.Linear(4, 8), ["observation"], ["hidden"])
    actor = Actor(nn.Sequential(nn.Linear(8, 1), nn.Tanh()), ["hidden"])
    critic = ValueOperator(MLP(8, 1), ["hidden"], ["state_action_value"])
    return Flow(env(4, Box(-1, 1, (1,))), trunk, actor, critic)


def critic_that_knows_the_action(env):
    """A critic of states reads the action, and advantages are measured against it [feed-forward, continuous]"""
    net = nn.Sequential(nn.Linear(4, 2), NormalParamExtractor())
    actor = ProbabilisticActor(
        TensorDictModule(net, ["observation"], ["loc", "scale"]),
        ["loc", "scale"],
        distribution_class=TanhNormal,
        return_log_prob=True,
    )
    critic = ValueOperator(MLP(5, 1), ["observation", "action"], ["state_value"])
    return Flow(env(4, Box(-1, 1, (1,))), actor, GAE(0.99, 0.95, critic))


def another_actor_learns(env):
    """The loss has an actor of its own, not the one that acts [feed-forward, discrete]"""
    critic = _critic()
    return Flow(env(4, 2), _actor(), GAE(0.99, 0.95, critic), ClipPPOLoss(_actor(), critic))


def another_critic_learns(env):
    """The estimator has a critic of its own, not the one that learns [feed-forward, discrete]"""
    actor = _actor()
    return Flow(env(4, 2), actor, GAE(0.99, 0.95, _critic()), ClipPPOLoss(actor, _critic()))


def trunk_that_nobody_trains(env):
    """A trunk acts, and is in no loss [shared trunk, discrete]"""
    trunk = TensorDictModule(nn.Linear(4, 8), ["observation"], ["hidden"])
    net = TensorDictModule(nn.Linear(8, 2), ["hidden"], ["logits"])
    actor = ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)
    critic = _critic()
    curiosity = TensorDictModule(nn.Linear(4, 1), ["observation"], ["novelty"])
    return Flow(env(4, 2), trunk, actor, curiosity, GAE(0.99, 0.95, critic), ClipPPOLoss(actor, critic))


def optimiser_of_the_actor_alone(env):
    """The optimiser has the actor's parameters, and not the critic's [feed-forward, discrete]"""
    actor, critic = _actor(), _critic()
    adam = torch.optim.Adam(actor.parameters(), lr=1e-3)
    return Flow(env(4, 2), actor, GAE(0.99, 0.95, critic), ClipPPOLoss(actor, critic), adam)


def optimiser_before_the_trunk_was_joined(env):
    """The optimiser has the heads' parameters, and not the trunk's [shared trunk, discrete]"""
    actor, critic = _shared()
    heads = itertools.chain(actor[-2].parameters(), critic[-1].parameters())
    adam = torch.optim.Adam(heads, lr=1e-3)
    return Flow(env(4, 2), actor, GAE(0.99, 0.95, critic), ClipPPOLoss(actor, critic), adam)


def trunk_updated_twice(env):
    """Two optimisers, of actor and of critic, both have the trunk [shared trunk, discrete]"""
    actor, critic = _shared()
    optimisers = [torch.optim.Adam(network.parameters(), lr=1e-3) for network in (actor, critic)]
    return Flow(env(4, 2), actor, GAE(0.99, 0.95, critic), ClipPPOLoss(actor, critic), *optimisers)


def optimiser_of_another_network(env):
    """The optimiser has a network that is in no loss [feed-forward, discrete]"""
    actor, critic, other = _actor(), _critic(), nn.Linear(4, 2)
    loss = ClipPPOLoss(actor, critic)
    adam = torch.optim.Adam([*loss.parameters(), *other.parameters()], lr=1e-3)
    return Flow(env(4, 2), actor, GAE(0.99, 0.95, critic), loss, adam)


def critic_of_another_observation(env):
    """PPO is given a critic that reads what the environment does not show [feed-forward, discrete]"""
    return PPO(env(4, 2), critic=_critic("state"))


def critic_of_another_width(env):
    """PPO is given a critic for 5 numbers, the environment shows 4 [feed-forward, discrete]"""
    return PPO(env(4, 2), critic=ValueOperator(MLP(5, 1)))


def normaliser_after_the_critic(env):
    """Actor and critic read the raw observation, and learn from the normalised one [multi-head, discrete]"""
    actor, critic = _actor(), _critic()
    scale = TensorDictModule(lambda x: x / 10, ["observation"], ["observation"])
    acting = TensorDictSequential(actor, critic, scale)
    return Flow(env(4, 2), acting, GAE(0.99, 0.95, critic), ClipPPOLoss(actor, critic))


def actor_and_critic_swapped(env):
    """Actor and critic of a loss are swapped [feed-forward, discrete]"""
    return ClipPPOLoss(_critic(), _actor())


def log_probability_of_another_name(env):
    """What acts stores 'log_prob', and the loss reads 'sample_log_prob' [feed-forward, discrete]"""
    actor, critic = _actor(), _critic()
    acting = ProbabilisticActor(
        actor[0], ["logits"], distribution_class=Categorical, return_log_prob=True, log_prob_key="log_prob"
    )
    return Flow(env(4, 2), acting, GAE(0.99, 0.95, critic), ClipPPOLoss(actor, critic))


def value_of_the_choice_misspelt(env):
    """A loss reads 'chosen_action_values', one s too many [feed-forward, discrete]"""
    actor = QValueActor(nn.Linear(4, 2), spec=specs.Categorical(2))
    return Flow(env(4, 2), actor, Part("DQN", "loss", ("chosen_action_values", ("next", "reward")), ("loss",)))


def critic_without_keys(env):
    """GAE is given a network without keys [feed-forward]"""
    return GAE(0.99, 0.95, nn.Linear(4, 1))


def actor_without_keys(env):
    """PPO's loss is given an actor without keys [feed-forward]"""
    return ClipPPOLoss(nn.Linear(4, 2), _critic())


def policy_without_keys(env):
    """A collector is given a policy without keys [feed-forward]"""
    return Collector(env(4, 2), nn.Linear(4, 2), frames_per_batch=8)


def environment_that_is_a_name(env):
    """A collector is given the name of an environment [feed-forward, discrete]"""
    return Collector("CartPole-v1", _actor(), frames_per_batch=8)


def loss_of_values_without_values(env):
    """DQN's loss is given a critic, which chooses nothing [feed-forward, discrete]"""
    return DQNLoss(_critic())


def loss_of_values_of_a_distribution(env):
    """DQN's loss is given a policy that acts by distributions of the return [feed-forward, discrete]"""
    net = nn.Sequential(nn.Linear(4, 10), nn.Unflatten(-1, (5, 2)))
    return DQNLoss(DistributionalQValueActor(net, torch.linspace(0.0, 1.0, 5), spec=specs.Categorical(2)))


def distribution_of_several_choices(env):
    """C51's loss is given a policy of several choices at once [feed-forward, discrete]"""
    net = nn.Sequential(nn.Linear(4, 25), nn.Unflatten(-1, (5, 5)))
    return DistributionalDQNLoss(
        DistributionalQValueActor(net, torch.linspace(0.0, 1.0, 5), spec=specs.MultiDiscrete([2, 3]))
    )


def uneven_atoms(env):
    """The atoms of C51 are closer to each other near zero [feed-forward, discrete]"""
    net = nn.Sequential(nn.Linear(4, 10), nn.Unflatten(-1, (5, 2)))
    atoms = torch.tensor([-10.0, -1.0, 0.0, 1.0, 10.0])
    return DistributionalDQNLoss(DistributionalQValueActor(net, atoms, spec=specs.Categorical(2)))


def target_of_a_network_without_sizes(env):
    """A target network is to be copied from a lazy network that has never been called [feed-forward, discrete]"""
    return DQNLoss(QValueActor(nn.LazyLinear(2), spec=specs.Categorical(2)))


def _pushing(write="action", n_in=4):
    return Actor(nn.Sequential(nn.Linear(n_in, 1), nn.Tanh()), ["observation"], [write])


def _drawing():
    net = nn.Sequential(nn.Linear(4, 2), NormalParamExtractor())
    module = TensorDictModule(net, ["observation"], ["loc", "scale"])
    return ProbabilisticActor(module, ["loc", "scale"], distribution_class=TanhNormal)


def _judge(*reads):
    return ValueOperator(MLP(5, 1), list(reads or ["observation", "action"]), ["state_action_value"])


def critic_of_another_action(env):
    """The actor writes 'move', and DDPG's critic reads 'action' [feed-forward, continuous]"""
    return DDPGLoss(_pushing("move"), _judge())


def critic_of_no_action(env):
    """SAC's critic reads the observation alone [feed-forward, continuous]"""
    return SACLoss(_drawing(), _judge("observation"))


def trunk_of_actor_and_critic_off_policy(env):
    """DDPG's actor and critic share a trunk [shared trunk, continuous]"""
    trunk = TensorDictModule(nn.Linear(4, 8), ["observation"], ["hidden"])
    actor = Actor(nn.Sequential(nn.Linear(8, 1), nn.Tanh()), ["hidden"])
    critic = ValueOperator(MLP(9, 1), ["hidden", "action"])
    return DDPGLoss(TensorDictSequential(trunk, actor), TensorDictSequential(trunk, critic))


def choices_in_sac(env):
    """SAC is given a policy of choices [feed-forward, discrete]"""
    return SACLoss(_actor(), _judge())


def numbers_in_discrete_sac(env):
    """SAC for choices is given a policy of numbers [feed-forward, continuous]"""
    return DiscreteSACLoss(_drawing(), TensorDictModule(nn.Linear(4, 2), ["observation"], ["action_value"]))


def no_bounds_of_the_noise(env):
    """TD3 is not told within what bounds actions are [feed-forward, continuous]"""
    return TD3Loss(_pushing(), _judge())


def no_critics(env):
    """SAC is given an empty list of critics [feed-forward, continuous]"""
    return SACLoss(_drawing(), [])


def one_critic_twice(env):
    """SAC is given one critic twice, where the lesser one of two is to count [feed-forward, continuous]"""
    critic = _judge()
    return SACLoss(_drawing(), [critic, critic])


def critics_that_remember_in_cql(env):
    """CQL asks its critics for many actions of each step, and they have a memory [recurrent, continuous]"""
    memory = GRUModule(4, 8, in_key="observation", out_key="features")
    critic = ValueOperator(MLP(9, 1), ["features", "action"], ["state_action_value"])
    bounds = specs.Bounded(-1.0, 1.0, (1,))
    return CQLLoss(_drawing(), [TensorDictSequential(memory, critic)], action_spec=bounds)
