import math

import pytest
import torch

from keywork._errors import UsageError
from keywork.modules import OUParameters


def test_the_fields_defaults_have_the_stationary_deviation_that_is_documented():
    # 0.2 / √(0.15 · (2 − 0.0015)) = 0.2 / √0.299775 = 0.36529
    assert OUParameters().stationary_std == pytest.approx(0.36529, abs=1e-5)


@pytest.mark.parametrize(("theta", "sigma", "dt"), [(0.15, 0.2, 0.01), (3.0, 0.5, 0.1), (15.0, 1.0, 0.1)])
def test_the_stationary_deviation_is_kept_by_a_step(theta, sigma, dt):
    process = OUParameters(theta=theta, sigma=sigma, dt=dt)
    variance = process.stationary_std**2
    # Var x' = (1 − θ dt)² Var x + σ² dt
    assert (1.0 - theta * dt) ** 2 * variance + sigma**2 * dt == pytest.approx(variance)


@pytest.mark.parametrize(("std", "steps", "dt"), [(0.2, 10.0, 0.01), (1.5, 0.7, 1.0)])
def test_a_process_can_be_asked_for_by_what_it_ends_up_in(std, steps, dt):
    process = OUParameters.of_stationary(std, steps, mu=0.3, dt=dt)
    assert process.stationary_std == pytest.approx(std)
    assert (1.0 - process.theta * dt) ** steps == pytest.approx(1.0 / math.e)
    assert (process.mu, process.dt, process.x0) == (0.3, dt, "stationary")


def test_without_a_return_to_the_mean_there_is_no_stationary_deviation():
    assert OUParameters(theta=0.0).stationary_std == math.inf


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({"dt": 0.0}, "dt"),
        ({"dt": math.nan}, "dt"),
        ({"theta": -0.1}, "theta"),
        ({"theta": 3.0, "dt": 1.0}, "theta"),
        ({"sigma": -1.0}, "sigma"),
        ({"sigma": math.inf}, "sigma"),
        ({"mu": math.nan}, "mu"),
        ({"sigma": 0.1, "sigma_min": 0.2}, "sigma_min"),
        ({"n_steps_annealing": 0}, "n_steps_annealing"),
        ({"x0": "random"}, "x0"),
        ({"x0": "stationary", "theta": 0.0}, "x0"),
        ({"x0": torch.tensor([0.0, math.nan])}, "x0"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, where):
    with pytest.raises(UsageError, match=f"OUParameters cannot be built: {where} is out of range"):
        OUParameters(**arguments)


def test_a_process_that_runs_away_is_refused_with_its_limit():
    with pytest.raises(UsageError) as error:
        OUParameters(theta=5.0, dt=0.5)
    assert str(error.value) == (
        "OUParameters cannot be built: theta is out of range.\n"
        "  where: theta\n"
        "  expected: from 0 to below 2 / dt = 4, for x to stay finite\n"
        "  got: 5.0\n"
        "  fix: theta=0.15"
    )


@pytest.mark.parametrize("steps", [0.0, -1.0, math.nan])
def test_a_correlation_over_no_steps_is_refused(steps):
    with pytest.raises(UsageError, match="correlation_steps is out of range"):
        OUParameters.of_stationary(0.2, steps)


def test_a_step_of_no_time_is_refused():
    with pytest.raises(UsageError, match="dt is out of range"):
        OUParameters.of_stationary(0.2, 10, dt=0.0)
