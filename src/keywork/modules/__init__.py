"""Actors and critics: key modules for policies and values."""

from keywork.distributions import (
    AddStateIndependentNormalScale,
    Bernoulli,
    Categorical,
    CompositeDistribution,
    Delta,
    DrawOptions,
    IndependentNormal,
    MaskedCategorical,
    MaskedOneHotCategorical,
    MultiCategorical,
    NormalParamExtractor,
    OneHotCategorical,
    OneHotOrdinal,
    Ordinal,
    TanhDelta,
    TanhNormal,
    TruncatedNormal,
)
from keywork.modules._actor import Actor, ProbabilisticActor
from keywork.modules._actor_critic import ActorCriticWrapper, ActorValueOperator
from keywork.modules._actor_critic_operator import ActorCriticOperator
from keywork.modules._additive_gaussian import AdditiveGaussianModule
from keywork.modules._distributional_q_value import DistributionalQValueModule
from keywork.modules._egreedy import EGreedyModule, EGreedyOptions
from keywork.modules._ensemble import EnsembleModule
from keywork.modules._exploration import ExplorationModule, SpecAliases
from keywork.modules._fill_specs import fill_action_specs
from keywork.modules._frame_stack import FrameStack
from keywork.modules._from_spec_features import Features
from keywork.modules._from_spec_network import NetworkConfig
from keywork.modules._gru import GRUModule
from keywork.modules._gsde import SDEConfig, gSDEModule
from keywork.modules._lstm import LSTMModule, LSTMOptions
from keywork.modules._noisy_linear import NoisyLinear
from keywork.modules._ornstein_uhlenbeck import OrnsteinUhlenbeckProcessModule
from keywork.modules._ou_parameters import OUOptions, OUParameters
from keywork.modules._q_value import QValueModule
from keywork.modules._q_value_actor import DistributionalOptions, DistributionalQValueActor, QValueActor, QValueOptions
from keywork.modules._quantile_q_value import QuantileQValueModule
from keywork.modules._quantile_q_value_actor import QuantileOptions, QuantileQValueActor
from keywork.modules._random_policy import RandomPolicy
from keywork.modules._recurrent_setup import RecurrentOptions
from keywork.modules._rewards import RewardClip, RewardScaling
from keywork.modules._running_norm import RunningNorm, update_statistics
from keywork.modules._tanh import TanhModule
from keywork.modules._value import ValueOperator
from keywork.modules._wrap_module import WrapModule, as_tensordict_module

__all__ = [
    "Actor",
    "ActorCriticOperator",
    "ActorCriticWrapper",
    "ActorValueOperator",
    "AddStateIndependentNormalScale",
    "AdditiveGaussianModule",
    "Bernoulli",
    "Categorical",
    "CompositeDistribution",
    "Delta",
    "DistributionalOptions",
    "DistributionalQValueActor",
    "DistributionalQValueModule",
    "DrawOptions",
    "EGreedyModule",
    "EGreedyOptions",
    "EnsembleModule",
    "ExplorationModule",
    "Features",
    "FrameStack",
    "GRUModule",
    "IndependentNormal",
    "LSTMModule",
    "LSTMOptions",
    "MaskedCategorical",
    "MaskedOneHotCategorical",
    "MultiCategorical",
    "NetworkConfig",
    "NoisyLinear",
    "NormalParamExtractor",
    "OUOptions",
    "OUParameters",
    "OneHotCategorical",
    "OneHotOrdinal",
    "Ordinal",
    "OrnsteinUhlenbeckProcessModule",
    "ProbabilisticActor",
    "QValueActor",
    "QValueModule",
    "QValueOptions",
    "QuantileOptions",
    "QuantileQValueActor",
    "QuantileQValueModule",
    "RandomPolicy",
    "RecurrentOptions",
    "RewardClip",
    "RewardScaling",
    "RunningNorm",
    "SDEConfig",
    "SpecAliases",
    "TanhDelta",
    "TanhModule",
    "TanhNormal",
    "TruncatedNormal",
    "ValueOperator",
    "WrapModule",
    "as_tensordict_module",
    "fill_action_specs",
    "gSDEModule",
    "update_statistics",
]
