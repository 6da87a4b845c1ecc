import math

import pytest
import torch
from gymnasium import spaces
from tensordict import TensorDict

from keywork._errors import SpecError, UsageError
from keywork.modules import AdditiveGaussianModule
from keywork.nn import set_exploration_type
from keywork.specs import Bounded, Categorical, Composite, Unbounded

N = 40_000
OFF = ["deterministic", "mode", "mean"]


def test_noise_has_the_mean_and_deviation_that_were_asked_for():
    explore = AdditiveGaussianModule(Unbounded(2), sigma_init=0.5, sigma_end=0.5, mean=1.0, std=2.0)
    noise = explore(torch.full((N, 2), 3.0)) - 3.0
    # σ (mean + std ε) has the mean 0.5 * 1 and the deviation 0.5 * 2; the bounds are five standard errors.
    error = 1.0 / math.sqrt(2 * N)
    assert abs(noise.mean().item() - 0.5) < 5 * error
    assert abs(noise.var().item() - 1.0) < 5 * error * math.sqrt(2)


def test_noise_is_normal():
    explore = AdditiveGaussianModule(Unbounded(), sigma_init=2.0, sigma_end=2.0)
    noise = explore(torch.zeros(N)).double().sort().values / 2.0
    steps = torch.arange(1, N + 1, dtype=torch.float64) / N
    # Kolmogorov and Smirnov's distance; 1.95 / √N is its 99.9th percentile.
    assert (torch.special.ndtr(noise) - steps).abs().max().item() < 1.95 / math.sqrt(N)


def test_every_element_has_noise_of_its_own():
    noise = AdditiveGaussianModule(Unbounded(3))(torch.zeros(5, 3))
    assert len(noise.flatten().unique()) == 15


def test_elements_may_have_spreads_of_their_own():
    std = torch.tensor([1.0, 100.0])
    explore = AdditiveGaussianModule(Unbounded(2), sigma_init=0.5, sigma_end=0.5, std=std)
    found = explore(torch.zeros(N, 2)).std(0) / std  # 0.5 each, with a standard error of 0.5 / sqrt(2 N)
    assert (found - 0.5).abs().max().item() < 4.0 * 0.5 / math.sqrt(2 * N)
    assert "_std" not in explore.state_dict()
    with pytest.raises(UsageError, match="std not below 0"):
        AdditiveGaussianModule(Unbounded(2), std=-std)


def test_what_leaves_the_spec_is_brought_back():
    spec = Bounded([-1.0, 0.0], [1.0, 10.0])
    explored = AdditiveGaussianModule(spec, sigma_init=5.0)(torch.zeros(1000, 2))
    assert spec.is_in(explored)
    assert (explored[:, 0] == 1.0).any()
    assert (explored[:, 1] == 0.0).any()


@pytest.mark.parametrize("kind", OFF)
def test_off_the_action_passes_through_even_where_it_is_outside(kind):
    explore, action = AdditiveGaussianModule(Bounded(-1.0, 1.0, (2,))), torch.full((3, 2), 7.0)
    before = torch.get_rng_state()
    with set_exploration_type(kind):
        assert explore.compute(action)[0] is action
    assert torch.equal(torch.get_rng_state(), before)


def test_unsafe_it_may_leave_the_spec_and_needs_none():
    explored = AdditiveGaussianModule(sigma_init=5.0, safe=False)(torch.zeros(1000, 2))
    assert explored.abs().max() > 5.0


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_the_action_keeps_its_type(dtype):
    for explore in (AdditiveGaussianModule(Bounded(-1.0, 1.0, (2,))), AdditiveGaussianModule(safe=False)):
        assert explore(torch.zeros(3, 2, dtype=dtype)).dtype is dtype


def test_sigma_goes_down_and_is_resumed():
    make = lambda: AdditiveGaussianModule(Unbounded(2), 1.0, 0.2, 100)  # noqa: E731
    explore, resumed = make(), make()
    explore.step(25)
    resumed.load_state_dict(explore.state_dict())
    assert resumed.sigma.item() == pytest.approx(0.8)  # 1 - 25 * 0.8 / 100
    resumed.step(1000)
    assert resumed.sigma.item() == pytest.approx(0.2)


def test_the_spec_may_come_later_and_as_a_space():
    explore = AdditiveGaussianModule(sigma_init=5.0)
    explore.spec = Composite({"action": spaces.Box(-1.0, 1.0, (2,))})
    assert explore(torch.zeros(100, 2)).abs().max() == 1.0


def test_gradients_flow_to_the_action():
    action = torch.zeros(3, 2, requires_grad=True)
    AdditiveGaussianModule(Unbounded(2))(action).sum().backward()
    assert torch.equal(action.grad, torch.ones(3, 2))


def test_nested_keys():
    key = ("agents", "left", "action")
    explore = AdditiveGaussianModule(Bounded(-1.0, 1.0, (2,)), action_key=key)
    td = explore(TensorDict({key: torch.zeros(5, 2)}, batch_size=[5]))
    assert td[key].any()


def test_without_a_spec_a_safe_module_refuses_to_explore():
    with pytest.raises(SpecError, match="AdditiveGaussianModule cannot explore: nobody has said what an action is"):
        AdditiveGaussianModule()(torch.zeros(3, 2))


@pytest.mark.parametrize("spec", [Categorical(3), Bounded(0, 5, (2,), dtype=torch.int64)])
def test_actions_that_are_no_real_numbers_are_refused(spec):
    with pytest.raises(SpecError) as error:
        AdditiveGaussianModule(spec)
    assert str(error.value) == (
        "AdditiveGaussianModule cannot add noise to these actions: they are no real numbers.\n"
        "  where: spec\n"
        "  expected: Bounded or Unbounded, of a floating dtype\n"
        f"  got: {spec!r}\n"
        "  fix: EGreedyModule explores discrete actions"
    )


def test_an_action_of_another_shape_is_refused():
    with pytest.raises(SpecError, match="'action' does not fit Bounded"):
        AdditiveGaussianModule(Bounded(-1.0, 1.0, (2,)))(torch.zeros(5, 3))


@pytest.mark.parametrize(("mean", "std"), [(float("nan"), 1.0), (0.0, -1.0)])
def test_a_distribution_that_there_is_not_is_refused(mean, std):
    with pytest.raises(UsageError) as error:
        AdditiveGaussianModule(Unbounded(2), mean=mean, std=std)
    assert str(error.value) == (
        "AdditiveGaussianModule cannot be built: there is no such normal distribution.\n"
        "  where: mean, std\n"
        "  expected: finite numbers, std not below 0\n"
        f"  got: mean={mean!r}, std={std!r}\n"
        "  fix: mean=0.0, std=1.0"
    )
