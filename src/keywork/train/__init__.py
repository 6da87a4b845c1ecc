"""Training: trainer, algorithms, checkpoints, logging, reports."""

from keywork.train._a2c import A2C, A2CConfig
from keywork.train._algorithm import Algorithm, Metrics
from keywork.train._ddpg import DDPG, DDPGConfig
from keywork.train._descent import Descent
from keywork.train._discrete_sac import DiscreteSAC, DiscreteSACConfig
from keywork.train._dqn import DQN, DQNConfig, RainbowConfig
from keywork.train._evaluate import Evaluation, evaluate, return_goal
from keywork.train._experiment import Audience, evaluate_policy, flow_of, load_policy, run_experiment
from keywork.train._files import save_text
from keywork.train._flat import FlatAdam, FlatParameters
from keywork.train._networks import NetworkSettings, networks_of, state_critic, stochastic_actor
from keywork.train._ppo import PPO, PPOConfig
from keywork.train._presets import PRESETS, preset_of
from keywork.train._qr_dqn import QRDQN, QRDQNConfig
from keywork.train._recipes import RECIPES, Recipe
from keywork.train._reinforce import Reinforce, ReinforceConfig
from keywork.train._run import Run
from keywork.train._sac import SAC, SACConfig
from keywork.train._seeds import child_seed
from keywork.train._settings import RunSettings
from keywork.train._td3 import TD3, TD3Config
from keywork.train._trainer import Observer, Outcome, Trainer

__all__ = [
    "A2C",
    "DDPG",
    "DQN",
    "PPO",
    "PRESETS",
    "QRDQN",
    "RECIPES",
    "SAC",
    "TD3",
    "A2CConfig",
    "Algorithm",
    "Audience",
    "DDPGConfig",
    "DQNConfig",
    "Descent",
    "DiscreteSAC",
    "DiscreteSACConfig",
    "Evaluation",
    "FlatAdam",
    "FlatParameters",
    "Metrics",
    "NetworkSettings",
    "Observer",
    "Outcome",
    "PPOConfig",
    "QRDQNConfig",
    "RainbowConfig",
    "Recipe",
    "Reinforce",
    "ReinforceConfig",
    "Run",
    "RunSettings",
    "SACConfig",
    "TD3Config",
    "Trainer",
    "child_seed",
    "evaluate",
    "evaluate_policy",
    "flow_of",
    "load_policy",
    "networks_of",
    "preset_of",
    "return_goal",
    "run_experiment",
    "save_text",
    "state_critic",
    "stochastic_actor",
]
