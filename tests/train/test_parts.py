from __future__ import annotations

from dataclasses import dataclass

import gymnasium
import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import UsageError
from keywork.envs import GymEnv
from keywork.modules import ValueOperator
from keywork.train import DQN, PPO, RECIPES, DQNConfig, PPOConfig, RainbowConfig, SACConfig, evaluate
from keywork.train._parts import device_of_parts, means, on_device, require_settings


@dataclass(frozen=True)
class Config:
    step_size: float = 0.5
    margin: float = 0.0
    share: float = 1.0
    count: int = 3


def required(**settings):
    config = Config(**settings)
    require_settings(config, above_zero=["step_size", "count"], from_zero=["margin"], fractions=["share"])
    return config


def test_settings_that_can_be_are_taken():
    assert required() == Config()
    assert required(step_size=1e-9, margin=0.0, share=0.0).share == 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step_size": 0.0}, "step_size is 0.0: it has to be above 0, such as --step-size 0.5."),
        ({"step_size": float("nan")}, "step_size is nan: it has to be above 0, such as --step-size 0.5."),
        ({"margin": -1.0}, "margin is -1.0: it has to be 0 or above, such as --margin 0.0."),
        ({"margin": float("nan")}, "margin is nan: it has to be 0 or above, such as --margin 0.0."),
        ({"count": 1.5}, "count is 1.5: it has to be a whole number, such as --count 3."),
        ({"share": 1.5}, "share is 1.5: it has to be in [0, 1], such as --share 0.95."),
    ],
)
def test_others_are_refused_with_what_to_type(settings, message):
    with pytest.raises(UsageError) as raised:
        required(**settings)
    assert str(raised.value) == message


@pytest.mark.parametrize("name", RECIPES)
def test_every_algorithm_refuses_the_settings_of_another(name):
    recipe, other = RECIPES[name], SACConfig if name != "sac" else DQNConfig
    owner = recipe.algorithm.__name__
    kind = "DQNConfig" if name == "rainbow" else recipe.config.__name__
    with GymEnv("Pendulum-v1") as env:
        for config, got in ((other(), other.__name__), (recipe.config, f"the class {recipe.config.__name__}")):
            with pytest.raises(UsageError) as raised:
                recipe.algorithm(env, config)
            assert str(raised.value) == (
                f"{owner} cannot be built: its settings are no {kind}.\n"
                "  where: config\n"
                f"  expected: {kind}\n"
                f"  got: {got}\n"
                f"  fix: {owner}(env, {kind}(...))"
            )


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize(("cells", "width"), [(32, 32), ((64, 0), 64), ([8.0], 64), ("64", 64), (None, 64)])
def test_every_algorithm_refuses_widths_that_are_none(name, cells, width):
    recipe = RECIPES[name]
    owner = recipe.algorithm.__name__
    with GymEnv("CartPole-v1") as env, pytest.raises(UsageError) as raised:
        recipe.algorithm(env, recipe.config(num_cells=cells))
    assert str(raised.value) == (
        f"{owner} cannot be built: num_cells is no row of widths.\n"
        "  where: num_cells\n"
        "  expected: a whole number above 0 for each hidden layer, such as (64, 64)\n"
        f"  got: {cells!r}\n"
        f"  fix: num_cells=({width},); --num-cells {width} on the command line"
    )


def test_settings_of_ones_own_kind_and_any_row_of_widths_are_taken():
    with GymEnv("CartPole-v1") as env:
        assert PPO(env, PPOConfig(num_cells=())).config.num_cells == ()
        assert DQN(env, RainbowConfig(num_cells=[8])).config.num_cells == [8]


@pytest.mark.parametrize("name", ["ppo", "a2c", "reinforce"])
def test_weights_of_losses_are_refused_by_their_options(name):
    recipe = RECIPES[name]
    with GymEnv("CartPole-v1") as env:
        with pytest.raises(UsageError, match=r"has to be 0 or above, such as --entropy-coeff 0\.0\."):
            recipe.algorithm(env, recipe.config(entropy_coeff=-1.0))
        with pytest.raises(UsageError, match=r"has to be 0 or above, such as --critic-coeff 0\.5\."):
            recipe.algorithm(env, recipe.config(critic_coeff=float("nan")))


def test_means_are_those_of_each_column():
    rows = [[torch.tensor(1.0), torch.tensor(10.0)], [torch.tensor(4.0, requires_grad=True), torch.tensor(20.0)]]
    assert means(["a", "b"], rows) == {"a": 2.5, "b": 15.0}


def test_networks_go_where_they_are_told_and_otherwise_stay():
    first, second = ValueOperator(nn.Linear(2, 1)), ValueOperator(nn.Linear(2, 1))
    assert device_of_parts(first, second, device=None) == torch.device("cpu")
    assert device_of_parts(first, second, device="meta") == torch.device("meta")
    assert {p.device.type for module in (first, second) for p in module.parameters()} == {"meta"}
    assert device_of_parts(ValueOperator(lambda x: x), device="cpu") == torch.device("cpu")  # nothing to ask


def test_a_batch_goes_where_the_networks_are():
    batch = TensorDict(x=torch.zeros(2), batch_size=[2])
    assert on_device(batch, torch.device("cpu")) is batch
    assert on_device(batch, torch.device("meta"))["x"].device.type == "meta"


@pytest.mark.parametrize("name", RECIPES)
def test_an_environment_that_is_none_of_ours_is_refused(name):
    recipe = RECIPES[name]
    for env, fix in (
        ("CartPole-v1", "GymEnv('CartPole-v1', num_envs=1)"),
        (gymnasium.make("CartPole-v1"), "GymEnv(lambda"),
    ):
        with pytest.raises(UsageError, match="cannot act in") as error:
            recipe.algorithm(env, recipe.config())
        assert fix in str(error.value)


def test_an_evaluation_in_an_environment_that_is_none_of_ours_is_refused():
    with GymEnv("CartPole-v1") as env, pytest.raises(UsageError, match="evaluate cannot act in"):
        evaluate(PPO(env).policy, gymnasium.make("CartPole-v1"))
