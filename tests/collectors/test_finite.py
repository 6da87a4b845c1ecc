"""A NaN never leaves a collector."""

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from keywork._errors import EnvError, NonFiniteError
from keywork.collectors import Collector
from keywork.collectors._finite import first_of, has_nan
from keywork.distributions import Categorical, IndependentNormal
from keywork.envs import GymEnv
from keywork.envs.native import CartPole, NativeEnv, Pendulum
from keywork.envs.native._turn import Moved
from keywork.modules import GRUModule, ProbabilisticActor
from keywork.nn import TensorDictModule


class FromStep(nn.Module):
    """Turns one number into another from one step on, in one environment."""

    def __init__(self, net, env, step, value=float("nan")):
        super().__init__()
        self.net, self.env, self.step, self.value, self.calls = net, env, step, value, 0

    def forward(self, observation):
        out = self.net(observation)
        if self.calls >= self.step:
            out[self.env, 1:] = self.value
        self.calls += 1
        return out


def categorical(net, **options):
    module = TensorDictModule(net, ["observation"], ["logits"])
    return ProbabilisticActor(module, ["logits"], distribution_class=Categorical, **options)


def test_logits_that_are_nan_are_named_although_an_action_could_be_drawn():
    torch.manual_seed(0)
    policy = categorical(FromStep(nn.Linear(4, 2), env=2, step=13), return_log_prob=True)
    with GymEnv("CartPole-v1", 3, seed=0) as env:
        collector = Collector(env, policy, frames_per_batch=30)
        assert collector.collect().isfinite().all()
        with pytest.raises(NonFiniteError) as error:
            collector.collect()
    text = str(error.value)
    value = text.split("got: ")[1].split("\n")[0]
    assert value.startswith("[") and value.endswith(", nan]")
    assert text.replace(value, "VALUE") == (
        "Collector cannot go on: its policy (ProbabilisticActor) has written numbers that are none.\n"
        "  where: env 2 of 3, step 3 of the batch that follows frame 30\n"
        "  expected: no NaN in what it writes, and finite actions: 'logits'\n"
        "  got: VALUE\n"
        "  fix: look for what overflows in its networks, or in what they read: a division, a log, an exp without bounds"
    )
    assert collector.frames == 30


def test_a_spoilt_parameter_is_the_cause():
    net = nn.Linear(4, 2)
    with torch.no_grad():
        net.bias[0] = torch.inf
    net.weight.data.fill_(torch.nan)
    with pytest.raises(NonFiniteError, match=r"its parameter 'module.0.module.weight' is not finite, since an update"):
        Collector(CartPole(2, seed=0), categorical(net), frames_per_batch=4).collect()


@pytest.mark.parametrize("make", [lambda: GymEnv("Pendulum-v1", 2, seed=0), lambda: Pendulum(2, seed=0)])
@pytest.mark.parametrize(("value", "shown"), [(float("nan"), "nan"), (float("inf"), "inf")])
def test_an_action_that_is_none_is_the_policys_fault_and_the_environment_has_not_moved(make, value, shown):
    torch.manual_seed(0)
    net = Second(FromStep(nn.Sequential(nn.Linear(3, 2), nn.Tanh()), env=1, step=2, value=value))
    policy = TensorDictModule(net, ["observation"], ["action"])
    with make() as env:
        collector = Collector(env, policy, frames_per_batch=8)
        with pytest.raises(NonFiniteError) as error:
            collector.collect()
    assert "env 1 of 2, step 2 of the batch that follows frame 0" in str(error.value)
    assert f"'action'\n  got: [{shown}]" in str(error.value)
    assert isinstance(error.value.__cause__, EnvError)


class Second(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, observation):
        return self.net(observation)[:, 1:]


def test_the_first_entry_that_is_spoilt_is_named_and_not_the_action_that_follows_from_it():
    class Head(nn.Module):
        def forward(self, observation):
            loc = observation[..., :1] * torch.nan
            return loc, torch.ones_like(loc)

    net = TensorDictModule(Head(), ["observation"], ["loc", "scale"])
    policy = ProbabilisticActor(net, ["loc", "scale"], distribution_class=IndependentNormal)
    with GymEnv("Pendulum-v1", clip_actions=True) as env, pytest.raises(NonFiniteError, match="finite actions: 'loc'"):
        Collector(env, policy, frames_per_batch=4).collect()


def test_an_action_outside_of_its_bounds_stays_the_environments_error():
    policy = TensorDictModule(lambda observation: 5.0 + 0.0 * observation[:, :1], ["observation"], ["action"])
    with GymEnv("Pendulum-v1") as env, pytest.raises(EnvError, match="is outside of its space"):
        Collector(env, policy, frames_per_batch=4, check=False).collect()


def test_an_excluded_choice_is_no_nan():
    policy = categorical(lambda observation: torch.tensor([0.0, -torch.inf]).expand(len(observation), 2))
    batch = Collector(CartPole(2, seed=0), policy, frames_per_batch=8).collect()
    assert not batch["action"].any()


def test_a_carried_state_is_looked_at_too():
    memory = GRUModule(4, 8, in_key="observation", out_key="features")
    with torch.no_grad():
        memory.layers.weight_hh_l0.fill_(torch.nan)
    policy = ProbabilisticActor(
        [memory, TensorDictModule(nn.Linear(8, 2), ["features"], ["logits"])],
        ["logits"],
        distribution_class=Categorical,
    )
    with pytest.raises(NonFiniteError, match=r"its parameter 'module.0.gru.weight_hh_l0' is not finite"):
        Collector(CartPole(2, seed=0), policy, frames_per_batch=4).collect()


class Explodes(NativeEnv):
    """Divides by zero after three steps."""

    name, time_limit, variables, draws = "Explodes-v0", 100, 1, 1
    observed, acted = Pendulum.observed, CartPole.acted

    @staticmethod
    def dynamics(state, action):
        state = state - 1.0
        return Moved(state, torch.zeros_like(state[0]), torch.zeros_like(state[0], dtype=torch.bool))

    @staticmethod
    def observe(state):
        left = state[0]
        return torch.stack([left.clamp_min(0.0) / left.clamp_min(0.0)] * 3, -1).float()

    @staticmethod
    def start(uniform):
        return torch.full_like(uniform, 3.0)


def test_a_nan_of_a_native_environment_is_the_environments_fault():
    env = Explodes(2, seed=0)
    with pytest.raises(EnvError) as error:
        Collector(env, categorical(nn.Linear(3, 2)), frames_per_batch=10).collect()
    assert str(error.value) == (
        "'Explodes-v0' cannot be stepped: env 0 of 2 broke its interface: ('next', 'observation') is not finite: "
        "[nan, nan, nan]\n"
        "   in step 2 of the batch that follows frame 0\n"
        "   Mend the environment: its dynamics divide by zero, or overflow."
    )


class Continuous(Explodes):
    acted = Pendulum.acted


def test_although_the_policy_makes_a_nan_of_it_that_is_refused_first():
    policy = TensorDictModule(lambda observation: observation[:, :1], ["observation"], ["action"])
    with pytest.raises(EnvError, match=r"env 0 of 2 broke its interface: 'observation' is not finite"):
        Collector(Continuous(2, seed=0), policy, frames_per_batch=10).collect()


class Faulty(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.full(2, np.nan, np.float32), 0.0, False, False, {}


def test_so_is_one_of_gymnasium():
    with GymEnv(Faulty) as env, pytest.raises(EnvError, match="'observation' is not finite"):
        Collector(env, categorical(nn.Linear(2, 2)), frames_per_batch=4).collect()


numbers = st.one_of(st.floats(width=32), st.sampled_from([np.inf, -np.inf, np.nan, 0.0]))


@given(arrays.arrays(np.float32, arrays.array_shapes(max_dims=3, max_side=9), elements=numbers))
def test_has_nan_is_what_isnan_says(array):
    tensor = torch.from_numpy(array)
    assert has_nan(tensor) is has_nan(array) is bool(tensor.isnan().any())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("size", [3, 100])  # few are looked at in another way than many
def test_has_nan_in_arrays_of_every_precision(dtype, size):
    for place in (0, size - 1):
        array = np.full(size, np.finfo(dtype).max)
        assert not has_nan(array)
        array[place] = np.inf
        array[1] = -np.inf  # whose sum is a NaN
        assert not has_nan(array)
        array[place] = np.nan
        assert has_nan(array)
    assert not has_nan(np.ones(size, np.int64))
    assert not has_nan(np.empty((0, 3), dtype))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_has_nan_in_every_precision_and_nowhere_else(dtype):
    assert has_nan(torch.tensor([1.0, torch.nan], dtype=dtype))
    assert not has_nan(torch.tensor([1.0, torch.inf], dtype=dtype))
    assert not has_nan(torch.tensor([1]))
    assert not has_nan(torch.empty(0, 3, dtype=dtype))


def test_the_earliest_step_is_found_and_there_the_first_entry():
    values = {key: torch.zeros(2, 3, 2) for key in "abc"}
    values["a"][0, 2, 0] = values["b"][1, 1, 1] = values["c"][0, 1, 0] = torch.nan
    found = first_of({key: value.isnan() for key, value in values.items()}, values)
    assert found == ("b", 1, 1, "[0.0, nan]")
    assert first_of({"a": torch.zeros(2, 3, dtype=torch.bool)}, {"a": torch.zeros(2, 3)}) is None
