"""Losses and value estimators: key modules that read batches and write numbers."""

from keywork.objectives._a2c import A2CLoss
from keywork.objectives._bc import BCLoss
from keywork.objectives._cql import CQLLoss
from keywork.objectives._ddpg import DDPGLoss
from keywork.objectives._discrete_sac import DiscreteSACLoss
from keywork.objectives._distributional_dqn import DistributionalDQNLoss
from keywork.objectives._dqn import DQNLoss
from keywork.objectives._gae import GAE
from keywork.objectives._iql import IQLLoss
from keywork.objectives._kl_pen_ppo import KLPENPPOLoss
from keywork.objectives._monte_carlo import MonteCarlo
from keywork.objectives._ppo import ClipPPOLoss
from keywork.objectives._quantile_dqn import QuantileDQNLoss
from keywork.objectives._reinforce import ReinforceLoss
from keywork.objectives._sac import SACLoss
from keywork.objectives._target import HardUpdate, SoftUpdate
from keywork.objectives._td3 import TD3Loss
from keywork.objectives._td_lambda import TD0Estimator, TDLambdaEstimator
from keywork.objectives._vtrace import VTrace

__all__ = [
    "GAE",
    "A2CLoss",
    "BCLoss",
    "CQLLoss",
    "ClipPPOLoss",
    "DDPGLoss",
    "DQNLoss",
    "DiscreteSACLoss",
    "DistributionalDQNLoss",
    "HardUpdate",
    "IQLLoss",
    "KLPENPPOLoss",
    "MonteCarlo",
    "QuantileDQNLoss",
    "ReinforceLoss",
    "SACLoss",
    "SoftUpdate",
    "TD0Estimator",
    "TD3Loss",
    "TDLambdaEstimator",
    "VTrace",
]
