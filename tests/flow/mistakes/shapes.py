"""Widths, dimensions, types, devices"""

from __future__ import annotations

import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary
from torch import nn

from keywork.distributions import Categorical, IndependentNormal, NormalParamExtractor, TanhNormal
from keywork.flow import Flow
from keywork.modules import EnsembleModule, GRUModule, LSTMModule, ProbabilisticActor, ValueOperator
from keywork.nets import MLP, ConvNet
from keywork.nn import TensorDictModule
from keywork.objectives import GAE, ClipPPOLoss


def _actor(*steps):
    return ProbabilisticActor(list(steps), ["logits"], distribution_class=Categorical, return_log_prob=True)


def _net(network, read="observation", write="logits"):
    return TensorDictModule(network, [read] if isinstance(read, str) else read, [write])


def _normal(net, keys=("loc", "scale")):
    return ProbabilisticActor(
        TensorDictModule(net, ["observation"], list(keys)), list(keys), distribution_class=TanhNormal
    )


def width_of_the_observation(env):
    """The network takes 3 numbers, the environment shows 4 [feed-forward, discrete]"""
    return Flow(env(4, 2), _actor(_net(nn.Linear(3, 2))))


def width_of_the_observation_in_a_named_step(env):
    """Deep in a network, 32 numbers are taken where 64 come [feed-forward, continuous]"""
    net = nn.Sequential(nn.Linear(17, 64), nn.Tanh(), nn.Linear(32, 2), NormalParamExtractor())
    return Flow(env(17, Box(-1, 1, (1,))), _normal(net))


def width_of_the_trunk(env):
    """The critic's head takes 32 numbers, the trunk writes 64 [shared trunk, discrete]"""
    trunk = _net(nn.Linear(4, 64), write="hidden")
    actor = _actor(trunk, _net(nn.Linear(64, 2), "hidden"))
    return Flow(env(4, 2), actor, ValueOperator(nn.Linear(32, 1), ["hidden"]))


def width_of_joined_observations(env):
    """Two parts of an observation are 8 + 2 wide together, the network takes 8 [dict observations, discrete]"""
    return Flow(env(Dict(image=Box(0, 1, (8,)), speed=Box(0, 1, (2,))), 3), _actor(_net(MLP(8, 3), ["image", "speed"])))


def width_of_a_normalisation(env):
    """LayerNorm of 4 follows a layer of 8 [feed-forward, discrete]"""
    return Flow(env(4, 2), _actor(_net(nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(4), nn.Linear(4, 2)))))


def channels_last(env):
    """Images are [84, 84, 3], the convolution takes 3 channels first [dict observations, discrete]"""
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(-3), nn.LazyLinear(4))
    return Flow(env(Box(0, 1, (84, 84, 3)), 4), _actor(_net(net)))


def width_of_the_memory(env):
    """The memory takes 8 numbers, the environment shows 4 [recurrent, discrete]"""
    gru = GRUModule(8, 16, in_key="observation", out_key="features")
    return Flow(env(4, 2), _actor(gru, _net(nn.Linear(16, 2), "features")))


def width_of_what_the_memory_writes(env):
    """The head of a memory takes its input's width, not that of its state [recurrent, continuous]"""
    lstm = LSTMModule(3, 16, in_key="observation", out_key="features")
    net = nn.Sequential(nn.Linear(3, 2), NormalParamExtractor())
    actor = ProbabilisticActor(
        [lstm, TensorDictModule(net, ["features"], ["loc", "scale"])], ["loc", "scale"], distribution_class=TanhNormal
    )
    return Flow(env(3, Box(-1, 1, (1,))), actor)


def convolution_of_vectors(env):
    """A network for images reads vectors [feed-forward, discrete]"""
    net = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Flatten(-3), nn.LazyLinear(2))
    return Flow(env(4, 2), _actor(_net(net)))


def conv_net_of_vectors(env):
    """A ConvNet reads vectors [feed-forward, discrete]"""
    return Flow(env(4, 2), _actor(_net(nn.Sequential(ConvNet(4), nn.LazyLinear(2)))))


def numbers_without_a_last_dimension(env):
    """A layer reads the chosen index, which has no dimension of its own [feed-forward, discrete]"""
    log_prob_critic = ValueOperator(nn.Linear(1, 1), ["sample_log_prob"])
    return Flow(env(4, 2), _actor(_net(nn.Linear(4, 2))), log_prob_critic)


def index_into_a_layer(env):
    """The observation is an index, and a layer takes numbers [feed-forward, discrete]"""
    return Flow(env(Discrete(5), 2), _actor(_net(nn.Linear(5, 2))))


def bytes_into_a_convolution(env):
    """Images are bytes, and the convolution takes floats [feed-forward, discrete]"""
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(-3), nn.LazyLinear(4))
    return Flow(env(Box(0, 255, (3, 36, 36), dtype="uint8"), 4), _actor(_net(net)))


def flags_into_a_layer(env):
    """The observation is bits, and a layer takes floats [feed-forward, discrete]"""
    return Flow(env(MultiBinary(4), 2), _actor(_net(nn.Linear(4, 2))))


def network_in_double_precision(env):
    """The network is in float64 [feed-forward, continuous]"""
    return Flow(env(3, Box(-1, 1, (1,))), _normal(nn.Sequential(nn.Linear(3, 2), NormalParamExtractor()).double()))


def embedding_of_numbers(env):
    """An embedding reads numbers that are no indices [feed-forward, discrete]"""
    net = nn.Sequential(nn.Embedding(10, 8), nn.Flatten(-2), nn.LazyLinear(2))
    return Flow(env(4, 2), _actor(_net(net)))


def layers_on_two_devices(env):
    """The last layer was left on another device [feed-forward, discrete]"""
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2, device="meta"))
    return Flow(env(4, 2), _actor(_net(net)))


def one_output_for_two_keys(env):
    """A network has one output, and two keys are to be written [feed-forward, continuous]"""
    return Flow(env(3, Box(-1, 1, (1,))), _normal(nn.Linear(3, 2)))


def two_inputs_for_a_layer(env):
    """A layer takes one input, and two keys are read [dict observations, discrete]"""
    return Flow(
        env(Dict(image=Box(0, 1, (8,)), speed=Box(0, 1, (2,))), 3), _actor(_net(nn.Linear(10, 3), ["image", "speed"]))
    )


def odd_number_of_parameters(env):
    """The network has one output, and a mean and a scale are made of it [feed-forward, continuous]"""
    return Flow(env(3, Box(-1, 1, (1,))), _normal(nn.Sequential(nn.Linear(3, 1), NormalParamExtractor())))


def parameters_of_two_shapes(env):
    """The mean has 2 numbers, the scale 3 [multi-head, continuous]"""
    loc = TensorDictModule(nn.Linear(3, 2), ["observation"], ["loc"])
    scale = TensorDictModule(nn.Sequential(nn.Linear(3, 3), nn.Softplus()), ["observation"], ["scale"])
    actor = ProbabilisticActor([loc, scale], ["loc", "scale"], distribution_class=IndependentNormal)
    return Flow(env(3, Box(-1, 1, (2,)), clip_actions=True), actor)


def value_without_a_last_dimension(env):
    """The critic squeezes its value to [*B], where rewards are [*B, 1] [feed-forward, discrete]"""
    critic = ValueOperator(nn.Sequential(nn.Linear(4, 1), nn.Flatten(-2)))
    return Flow(env(4, 2), _actor(_net(nn.Linear(4, 2))), GAE(0.99, 0.95, critic))


def value_for_each_action(env):
    """The critic has a value for each action, and the estimator takes one [feed-forward, discrete]"""
    critic = ValueOperator(nn.Linear(4, 2))
    return Flow(env(4, 2), _actor(_net(nn.Linear(4, 2))), GAE(0.99, 0.95, critic))


def value_for_each_action_in_a_loss(env):
    """The critic has a value for each action, and the loss takes one [feed-forward, discrete]"""
    actor, critic = _actor(_net(nn.Linear(4, 2))), ValueOperator(nn.Linear(4, 2))
    good = ValueOperator(nn.Linear(4, 1))
    return Flow(env(4, 2), actor, GAE(0.99, 0.95, good.requires_grad_(False)), ClipPPOLoss(actor, critic))


def memory_of_torch_in_a_policy(env):
    """nn.LSTM would take the environments of a batch for moments of time [recurrent, discrete]"""

    class Memory(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(4, 16), nn.Linear(16, 2)

        def forward(self, x):
            return self.head(self.lstm(x)[0])

    return Flow(env(4, 2), _actor(_net(Memory())))


def attention_across_environments(env):
    """Attention would look from one environment into the others [feed-forward, discrete]"""

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attend, self.head = nn.MultiheadAttention(4, 1), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.attend(x, x, x)[0])

    return Flow(env(4, 2), _actor(_net(Attention())))


def memory_of_torch_in_a_critic(env):
    """A critic with nn.GRU, whose output is a pair [recurrent, discrete]"""
    return Flow(env(4, 2), _actor(_net(nn.Linear(4, 2))), ValueOperator(nn.GRU(4, 1, batch_first=True)))


def mean_over_the_batch(env):
    """A network takes the mean over the whole batch, not over its last dimension [feed-forward, continuous]"""
    mean = TensorDictModule(lambda x: torch.tanh(x.mean()).reshape(1), ["observation"], ["action"])
    return Flow(env(3, Box(-1, 1, (1,))), mean)


def batch_flattened_away(env):
    """flatten() without a first dimension swallows the batch [feed-forward, discrete]"""
    net = TensorDictModule(lambda x: x.flatten().argmax(), ["observation"], ["action"])
    return Flow(env(Box(0, 1, (2, 2)), 4), net)


def flags_of_an_episode_into_a_layer(env):
    """A critic reads 'done', which is a bool [feed-forward, discrete]"""
    return Flow(env(4, 2), _actor(_net(nn.Linear(4, 2))), ValueOperator(nn.Linear(1, 1), ["done"]))


def index_beside_numbers(env):
    """A critic joins an observation and the index of an action [feed-forward, discrete]"""
    critic = ValueOperator(MLP(5, 1), ["observation", "action"])
    return Flow(env(4, 2), _actor(_net(nn.Linear(4, 2))), critic)


def values_of_several_critics(env):
    """An ensemble of critics has several values, and the estimator takes one [multi-head, discrete]"""
    critics = EnsembleModule(ValueOperator(nn.Linear(4, 1)), num_copies=2)
    return Flow(env(4, 2), _actor(_net(nn.Linear(4, 2))), GAE(0.99, 0.95, critics))
