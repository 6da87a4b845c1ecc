"""Who writes what, and who reads it"""

from __future__ import annotations

import torch
from gymnasium.spaces import Box, Dict
from torch import nn

from keywork.collectors import Collector
from keywork.distributions import Categorical, MaskedCategorical
from keywork.flow import Flow, Part
from keywork.modules import Actor, ActorValueOperator, ProbabilisticActor, ValueOperator
from keywork.nets import MLP
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.objectives import GAE, ClipPPOLoss
from keywork.specs import Unbounded


def _net(n, m, read="observation", write="logits"):
    return TensorDictModule(nn.Linear(n, m), [read], [write])


def _actor(*steps):
    return ProbabilisticActor(list(steps), ["logits"], distribution_class=Categorical, return_log_prob=True)


def misspelt_between_two_steps(env):
    """The encoder writes 'hiden', the head reads 'hidden' [feed-forward]"""
    return TensorDictSequential(_net(4, 64, write="hiden"), _net(64, 2, read="hidden"))


def misspelt_in_a_policy(env):
    """Inside a policy the encoder writes 'embeding', the head reads 'embedding' [feed-forward, discrete]"""
    return _actor(_net(4, 64, write="embeding"), _net(64, 2, read="embedding"))


def misspelt_observation(env):
    """The policy reads 'obsevation' [feed-forward, discrete]"""
    return Flow(env(4, 2), _actor(_net(4, 2, read="obsevation")))


def misspelt_observation_in_a_collector(env):
    """A collector is given a policy that reads 'obsevation' [feed-forward, discrete]"""
    return Collector(env(4, 2), _actor(_net(4, 2, read="obsevation")), frames_per_batch=8)


def observation_of_another_name(env):
    """The policy reads 'observation', and the environment shows a dict [dict observations, discrete]"""
    return Flow(env(Dict(image=Box(0, 1, (8,)), speed=Box(0, 1, (2,))), 3), _actor(_net(8, 3)))


def path_in_place_of_a_list(env):
    """in_keys is the tuple ('image', 'speed'), one nested key, not a list of two [dict observations, discrete]"""
    joined = TensorDictModule(MLP(10, 3), ("image", "speed"), ["logits"])
    return Flow(env(Dict(image=Box(0, 1, (8,)), speed=Box(0, 1, (2,))), 3), _actor(joined))


def mask_of_another_name(env):
    """The mask is called 'action_mask', and the environment shows 'mask' [masked, dict observations, discrete]"""
    masked = ProbabilisticActor(
        _net(4, 3), {"logits": "logits", "mask": "action_mask"}, distribution_class=MaskedCategorical
    )
    return Flow(env(Dict(observation=Box(0, 1, (4,)), mask=Box(0, 1, (3,), dtype="int8")), 3), masked)


def head_before_trunk(env):
    """The head comes before the trunk that it reads from [shared trunk]"""
    return TensorDictSequential(_net(64, 2, read="hidden"), _net(4, 64, write="hidden"))


def critic_before_trunk(env):
    """The critic of a trunk comes before the policy that has the trunk [shared trunk, discrete]"""
    critic = ValueOperator(nn.Linear(64, 1), ["hidden"])
    return Flow(env(4, 2), critic, _actor(_net(4, 64, write="hidden"), _net(64, 2, read="hidden")))


def two_heads_write_one_key(env):
    """Two heads write one key [multi-head, shared trunk]"""
    heads = [_net(64, 2, read="hidden"), _net(64, 3, read="hidden")]
    return TensorDictSequential(_net(4, 64, write="hidden"), *heads)


def two_policies(env):
    """Two policies act in one environment [feed-forward, discrete]"""
    return Flow(env(4, 2), _actor(_net(4, 2)), TensorDictModule(lambda x: x[..., 0].long(), ["logits"], ["action"]))


def two_critics_of_one_name(env):
    """Two critics write 'state_value' [multi-head, discrete]"""
    critics = [ValueOperator(nn.Linear(4, 1)), ValueOperator(nn.Sequential(nn.Linear(4, 1), nn.Tanh()))]
    return Flow(env(4, 2), _actor(_net(4, 2)), *critics)


def reward_that_the_environment_overwrites(env):
    """A model of the reward writes where the environment does [feed-forward, continuous]"""
    model = TensorDictModule(nn.Linear(4, 1), ["observation"], [("next", "reward")])
    return Flow(env(4, Box(-1, 1, (1,))), model, Actor(nn.Sequential(nn.Linear(4, 1), nn.Tanh())))


def entry_and_group_of_one_name(env):
    """'params' is a tensor for one step and a group of entries for the other [multi-head]"""
    return TensorDictSequential(_net(4, 2, write="params"), _net(4, 2, write=("params", "loc")))


def estimator_of_a_head_alone(env):
    """GAE gets the head of a critic whose trunk is in the policy [shared trunk, discrete]"""
    critic = ValueOperator(nn.Linear(64, 1), ["hidden"])
    actor = _actor(_net(4, 64, write="hidden"), _net(64, 2, read="hidden"))
    return Flow(env(4, 2), actor, GAE(0.99, 0.95, critic))


def key_that_a_selection_drops(env):
    """select_out_keys drops the log-probability, and the loss reads it [feed-forward, discrete]"""
    net, critic = _net(4, 2), ValueOperator(nn.Linear(4, 1))
    acting = _actor(net).select_out_keys("action")
    return Flow(env(4, 2), acting, GAE(0.99, 0.95, critic), ClipPPOLoss(_actor(net), critic))


def key_that_a_buffer_does_not_keep(env):
    """The buffer keeps no log-probability, and the loss reads it [feed-forward, discrete]"""
    actor, critic = _actor(_net(4, 2)), ValueOperator(nn.Linear(4, 1))
    buffer = Part("buffer", "buffer", keeps=("observation", "action", "next"))
    return Flow(env(4, 2), actor, buffer, GAE(0.99, 0.95, critic), ClipPPOLoss(actor, critic))


def reward_that_a_buffer_does_not_keep(env):
    """The buffer keeps no rewards, and the estimator reads them [recurrent, discrete]"""
    actor, critic = _actor(_net(4, 2)), ValueOperator(nn.Linear(4, 1))
    kept = ("observation", "action", "sample_log_prob", ("next", "observation"), ("next", "done"))
    return Flow(env(4, 2), actor, Part("buffer", "buffer", keeps=kept), GAE(0.99, 0.95, critic))


def loss_before_the_estimator(env):
    """The loss comes before the estimator of its advantages [feed-forward, discrete]"""
    actor, critic = _actor(_net(4, 2)), ValueOperator(nn.Linear(4, 1))
    return Flow(env(4, 2), actor, ClipPPOLoss(actor, critic), GAE(0.99, 0.95, critic))


def bare_network(env):
    """A network without keys is a part [feed-forward]"""
    return Flow(env(4, 2), nn.Linear(4, 2))


def two_environments(env):
    """Two environments are in one flow [feed-forward, discrete]"""
    return Flow(env(4, 2), env(4, 2), _actor(_net(4, 2)))


def action_of_another_name(env):
    """The policy writes 'actions' [feed-forward, continuous]"""
    actor = Actor(nn.Sequential(nn.Linear(3, 1), nn.Tanh()), out_keys=["actions"])
    return Flow(env(3, Box(-1, 1, (1,))), actor)


def action_of_another_name_in_a_collector(env):
    """A collector is given a policy that writes 'actions' [feed-forward, continuous]"""
    actor = Actor(nn.Sequential(nn.Linear(3, 1), nn.Tanh()), out_keys=["actions"])
    return Collector(env(3, Box(-1, 1, (1,))), actor, frames_per_batch=8)


def normaliser_after_the_policy(env):
    """The observation is normalised after the policy has read it [feed-forward, discrete]"""
    normaliser = TensorDictModule(lambda x: (x - 0.5) / 0.1, ["observation"], ["observation"])
    return Flow(env(4, 2), TensorDictSequential(_actor(_net(4, 2)), normaliser))


def action_of_the_step_after(env):
    """A critic of state and action looks ahead, where no action is known yet [feed-forward, continuous]"""
    ahead = ValueOperator(MLP(4, 1), [("next", "observation"), ("next", "action")], ["next_value"])
    return Flow(env(3, Box(-1, 1, (1,))), Actor(nn.Sequential(nn.Linear(3, 1), nn.Tanh())), ahead)


def outputs_selected_that_nobody_writes(env):
    """select_out_keys names an output that is none [multi-head]"""
    return TensorDictSequential(_net(4, 2, write="loc"), _net(4, 2, write="scale")).select_out_keys("loc", "scales")


def renamed_key_that_is_none(env):
    """renamed() names a key that the module does not have [feed-forward]"""
    return _net(4, 2).renamed({"observatoin": "pixels"})


def renamed_into_each_other(env):
    """Two entries are given one name [multi-head]"""
    heads = TensorDictSequential(_net(4, 2, write="loc"), _net(4, 2, write="scale"))
    return heads.renamed({"loc": "params", "scale": "params"})


def swapped_step_that_does_not_fit(env):
    """A step is swapped for one that writes another key [shared trunk]"""
    chain = TensorDictSequential({"trunk": _net(4, 64, write="hidden"), "head": _net(64, 2, read="hidden")})
    return chain.replaced("trunk", _net(4, 64, write="hiden"))


def swapped_step_of_another_name(env):
    """A step is swapped by a name that no step has [shared trunk]"""
    chain = TensorDictSequential({"trunk": _net(4, 64, write="hidden"), "head": _net(64, 2, read="hidden")})
    return chain.replaced("trunc", _net(4, 64, write="hidden"))


def trunk_that_writes_another_key(env):
    """The trunk of actor and critic writes 'features', the heads read 'hidden' [shared trunk, multi-head, discrete]"""
    head = _actor(_net(64, 2, read="hidden"))
    return Flow(
        {"observation": Unbounded(4)},
        ActorValueOperator(_net(4, 64, write="features"), head, ValueOperator(nn.Linear(64, 1), ["hidden"])),
    )


def declared_input_that_is_missing(env):
    """A dict says what comes from outside, and something that is read is not in it [dict observations]"""
    return Flow({"image": Unbounded(8)}, TensorDictModule(MLP(10, 3), ["image", "speed"], ["logits"]))


def all_at_once(env):
    """Three mistakes, one error [multi-head, discrete]"""
    critic = ValueOperator(nn.Linear(4, 1), ["obs"])
    actor = _actor(_net(5, 2))
    return Flow(env(4, 2), actor, critic, torch.optim.SGD(critic.parameters(), 0.1), Part("m", "loss", ("returns",)))


def part_that_is_none(env):
    """A part of a flow is replaced by a name that no part has [feed-forward, discrete]"""
    return Flow(env(4, 2), _actor(_net(4, 2))).replaced("Liner", _net(4, 2))


def part_that_does_not_fit(env):
    """A part of a flow is replaced by one of another width [feed-forward, discrete]"""
    return Flow(env(4, 2), _actor(_net(4, 2))).replaced("Linear", _net(5, 2))


def part_between_keys_that_are_none(env):
    """A sub-flow is to begin at a key that is none [feed-forward, discrete]"""
    return Flow(env(4, 2), _actor(_net(4, 2))).between("obs", "logits")


def part_between_keys_without_a_way(env):
    """A sub-flow is to end before it begins [feed-forward, discrete]"""
    return Flow(env(4, 2), _actor(_net(4, 2))).between("action", "logits")


def policy_that_looks_ahead(env):
    """A policy reads the observation that its own action leads to [feed-forward, discrete]"""
    return Flow(env(4, 2), _actor(_net(4, 2, read=("next", "observation"))))


def estimator_before_the_policy(env):
    """The estimator comes before the policy, and so before the environment's step [feed-forward, discrete]"""
    return Flow(env(4, 2), GAE(0.99, 0.95, ValueOperator(nn.Linear(4, 1))), _actor(_net(4, 2)))


def network_without_keys_in_a_sequential(env):
    """A network without keys is a step [feed-forward]"""
    return TensorDictSequential(nn.Linear(4, 8), _net(8, 2))


def argument_of_another_name(env):
    """in_keys passes the argument 'x', and the network calls it 'input' [feed-forward, discrete]"""
    return Flow(env(4, 2), _actor(TensorDictModule(nn.Linear(4, 2), {"x": "observation"}, ["logits"])))
