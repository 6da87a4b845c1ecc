"""Pipelines that end in a loss: each takes ``world(observation, action)``, an environment"""

from __future__ import annotations

import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary
from torch import nn

from keywork import specs
from keywork.distributions import Categorical, NormalParamExtractor, TanhNormal
from keywork.flow import Part
from keywork.modules import (
    ActorValueOperator,
    FrameStack,
    GRUModule,
    NetworkConfig,
    ProbabilisticActor,
    RewardClip,
    RewardScaling,
    RunningNorm,
    ValueOperator,
    gSDEModule,
)
from keywork.nets import MLP
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModule, TensorDictSequential
from keywork.objectives import GAE, ClipPPOLoss

VECTOR = Box(-1.0, 1.0, (4,))
BOX = Box(-2.0, 2.0, (2,))


def _flat():
    return TensorDictModule(nn.Sequential(nn.Linear(4, 16), nn.Tanh()), ["observation"], ["features"])


def _critic():
    return ValueOperator(MLP(4, 1, num_cells=[8]))


def _learns(actor, critic):
    loss = ClipPPOLoss(actor, critic)
    return [GAE(0.99, 0.95, critic), loss, torch.optim.Adam(loss.parameters(), lr=1e-3)]


def _choice(memory=False):
    body = GRUModule(4, 16, in_key="observation", out_key="features") if memory else _flat()
    head = TensorDictModule(nn.Linear(16, 3), ["features"], ["logits"])
    return ProbabilisticActor([body, head], ["logits"], distribution_class=Categorical, return_log_prob=True)


def smooth_exploration(world):
    mean = TensorDictModule(nn.Linear(4, 2), ["observation"], ["loc"])
    actor = ProbabilisticTensorDictSequential(mean, gSDEModule(2, 4, return_log_prob=True))
    return world(VECTOR, BOX, clip_actions=True), actor, *_learns(actor, _critic())


def a_buffer_that_keeps_everything(world):
    actor, critic = _choice(), _critic()
    return world(VECTOR, Discrete(3)), actor, Part("buffer", "buffer"), *_learns(actor, critic)


def a_buffer_that_keeps_what_is_read(world):
    actor, critic = _choice(), _critic()
    kept = ("observation", "action", "sample_log_prob", "next")
    return world(VECTOR, Discrete(3)), actor, Part("buffer", "buffer", keeps=kept), *_learns(actor, critic)


def a_collector_between(world):
    actor, critic = _choice(), _critic()
    return world(VECTOR, Discrete(3)), actor, Part("Collector", "collector"), *_learns(actor, critic)


def values_of_the_critic_stored(world):
    actor, critic = _choice(), _critic()
    return world(VECTOR, Discrete(3)), TensorDictSequential(actor, critic), *_learns(actor, critic)


def clipped_values_and_standardised_advantages(world):
    actor, critic = _choice(), _critic()
    loss = ClipPPOLoss(actor, critic, clip_value=0.2, normalize_advantage=True, loss_critic_type="smooth_l1")
    return world(VECTOR, Discrete(3)), actor, GAE(0.99, 0.95, critic, average_gae=True), loss


def an_optimiser_for_each(world):
    actor, critic = _choice(), _critic()
    optimisers = [torch.optim.Adam(actor.parameters()), torch.optim.SGD(critic.parameters(), 0.1)]
    return world(VECTOR, Discrete(3)), actor, GAE(0.99, 0.95, critic), ClipPPOLoss(actor, critic), *optimisers


def a_frozen_trunk(world):
    actor, critic = _choice(), _critic()
    actor[0].requires_grad_(False)
    loss = ClipPPOLoss(actor, critic)
    learning = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    return world(VECTOR, Discrete(3)), actor, GAE(0.99, 0.95, critic), loss, torch.optim.Adam(learning)


def a_frozen_critic_for_the_advantages(world):
    actor, critic, target = _choice(), _critic(), _critic().requires_grad_(False)
    return world(VECTOR, Discrete(3)), actor, GAE(0.99, 0.95, target), ClipPPOLoss(actor, critic)


def operators_on_one_trunk(world):
    head = ProbabilisticActor(
        TensorDictModule(nn.Linear(16, 3), ["features"], ["logits"]),
        ["logits"],
        distribution_class=Categorical,
        return_log_prob=True,
    )
    both = ActorValueOperator(_flat(), head, ValueOperator(nn.Linear(16, 1), ["features"]))
    actor, critic = both.get_policy_operator(), both.get_value_operator()
    return world(VECTOR, Discrete(3)), actor, *_learns(actor, critic)


def a_memory_and_a_critic_without(world):
    actor, critic = _choice(memory=True), _critic()
    return world(VECTOR, Discrete(3)), actor, *_learns(actor, critic)


def an_actor_from_specs_with_a_mask(world):
    env = world(Dict(observation=VECTOR, mask=MultiBinary(3)), Discrete(3))
    actor = ProbabilisticActor.from_spec(
        env.observation_spec, env.action_spec, action_mask_key="mask", config=NetworkConfig(num_cells=(8,))
    )
    return env, actor, *_learns(actor, _critic())


def critic_that_is_told_more(world):
    actor, critic = _choice(), ValueOperator(MLP(6, 1), ["state"])
    return world(Dict(observation=VECTOR, state=Box(-1, 1, (6,))), Discrete(3)), actor, *_learns(actor, critic)


def critic_that_knows_the_action_before(world):
    actor, critic = _choice(), ValueOperator(MLP(6, 1), ["observation", "action_before"])
    return world(Dict(observation=VECTOR, action_before=Box(-1, 1, (2,))), Discrete(3)), actor, *_learns(actor, critic)


def normaliser_of_both(world):
    normaliser = TensorDictModule(lambda x: (x - 0.1) / 2, ["observation"], ["normed"])
    head = TensorDictModule(nn.Linear(4, 3), ["normed"], ["logits"])
    actor = ProbabilisticActor([normaliser, head], ["logits"], distribution_class=Categorical, return_log_prob=True)
    critic = TensorDictSequential(normaliser, ValueOperator(nn.Linear(4, 1), ["normed"]))
    return world(VECTOR, Discrete(3)), actor, *_learns(actor, critic)


def bonus_for_what_is_new(world):
    actor, critic = _choice(), _critic()
    curiosity = TensorDictModule(MLP(8, 1), ["observation", ("next", "observation")], ["novelty"])
    reward = ("next", "reward")
    bonus = Part("bonus", "module", ("novelty", reward), (reward,))
    surprise = Part("surprise", "loss", ("novelty",), ("loss_novelty",))
    return world(VECTOR, Discrete(3)), actor, curiosity, bonus, surprise, *_learns(actor, critic)


def groups_of_parameters(world):
    actor, critic = _choice(), _critic()
    groups = [{"params": actor.parameters(), "lr": 1e-4}, {"params": critic.parameters()}]
    gae, loss, _ = _learns(actor, critic)
    return world(VECTOR, Discrete(3)), actor, gae, loss, torch.optim.AdamW(groups)


def squashed_actions(world):
    env = world(VECTOR, BOX)
    net = nn.Sequential(nn.Linear(4, 4), NormalParamExtractor())
    params = TensorDictModule(net, ["observation"], ["loc", "scale"])
    actor = ProbabilisticActor(
        params, ["loc", "scale"], distribution_class=TanhNormal, spec=env.action_spec, return_log_prob=True
    )
    return env, actor, *_learns(actor, _critic())


def running_normaliser_of_both(world):
    norm = RunningNorm(specs.Unbounded((4,)))
    head = TensorDictModule(nn.Linear(4, 3), ["observation_norm"], ["logits"])
    actor = ProbabilisticActor([norm, head], ["logits"], distribution_class=Categorical, return_log_prob=True)
    critic = TensorDictSequential(norm, ValueOperator(nn.Linear(4, 1), ["observation_norm"]))
    return world(VECTOR, Discrete(3)), actor, *_learns(actor, critic)


def running_normaliser_in_networks_from_specs(world):
    env = world(VECTOR, Discrete(3))
    config = NetworkConfig(num_cells=(8,), observation_norm=RunningNorm(env.observation_spec))
    actor = ProbabilisticActor.from_spec(env.observation_spec, env.action_spec, config=config)
    return env, actor, *_learns(actor, ValueOperator.from_spec(env.observation_spec, config=config))


def rewards_of_one_scale(world):
    actor, critic = _choice(), _critic()
    clip, scale = RewardClip(), RewardScaling(num_envs=2)
    return world(VECTOR, Discrete(3)), actor, Part("Collector", "collector"), clip, scale, *_learns(actor, critic)


def frames_of_both(world):
    stack = FrameStack(3, specs.Unbounded((4,)), dim=-1)
    head = TensorDictModule(nn.Linear(12, 3), ["observation_stack"], ["logits"])
    actor = ProbabilisticActor([stack, head], ["logits"], distribution_class=Categorical, return_log_prob=True)
    critic = TensorDictSequential(stack, ValueOperator(nn.Linear(12, 1), ["observation_stack"]))
    return world(VECTOR, Discrete(3)), actor, *_learns(actor, critic)


def frames_on_a_normaliser(world):
    norm = RunningNorm(specs.Unbounded((4,)))
    stack = FrameStack(3, norm.out_specs, "observation_norm", dim=-1)
    head = TensorDictModule(nn.Linear(12, 3), ["observation_norm_stack"], ["logits"])
    actor = ProbabilisticActor([norm, stack, head], ["logits"], distribution_class=Categorical, return_log_prob=True)
    return world(VECTOR, Discrete(3)), actor, *_learns(actor, _critic())
