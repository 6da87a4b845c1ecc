import copy

import pytest
import torch

from keywork._errors import UsageError
from keywork.modules._annealing import Annealing


def test_goes_down_in_a_straight_line_and_stays_at_its_end():
    line = Annealing("Owner", "eps", 1.0, 0.2, 10)
    seen = [line.value.item()]
    for _ in range(12):
        line.step()
        seen.append(line.value.item())
    # Each frame takes off (1.0 - 0.2) / 10 = 0.08, ten times.
    assert seen == pytest.approx([1.0 - 0.08 * t for t in range(10)] + [0.2] * 3, abs=1e-6)


def test_many_frames_at_once_are_as_many_single_ones_and_take_no_longer():
    one, many = Annealing("Owner", "eps", 0.9, 0.1, 777), Annealing("Owner", "eps", 0.9, 0.1, 777)
    for _ in range(300):
        one.step()
    many.step(300)
    assert one.value == many.value
    many.step(10**12)  # as a loop over frames, this would take months
    assert many.value == torch.tensor(0.1)


def test_rounding_does_not_pile_up():
    line = Annealing("Owner", "eps", 1.0, 0.0, 1_000_000)
    for _ in range(500):
        line.step(999)
    # 1 - 499_500 / 1_000_000; a million float32 subtractions of 1e-6 would be off by about 1e-2.
    assert line.value.item() == pytest.approx(0.5005, abs=1e-6)


def test_goes_on_from_a_saved_state():
    line, resumed = Annealing("Owner", "eps", 1.0, 0.5, 10), Annealing("Owner", "eps", 1.0, 0.5, 10)
    line.step(4)
    resumed.load_state_dict(line.state_dict())
    assert resumed.value == line.value
    line.step(3)
    resumed.step(3)
    assert resumed.value == line.value
    assert resumed.value.item() == pytest.approx(0.65)  # 1 - 7 * 0.05


def test_a_copy_counts_for_itself():
    line = Annealing("Owner", "eps", 1.0, 0.5, 10)
    other = copy.deepcopy(line)
    other.step(10)
    assert (line.value.item(), other.value.item()) == (1.0, 0.5)


def test_a_constant_is_a_line_too():
    line = Annealing("Owner", "eps", 0.3, 0.3, 1)
    line.step(5)
    assert line.value.item() == pytest.approx(0.3)


def test_is_shown_in_the_repr():
    assert repr(Annealing("Owner", "eps", 1.0, 0.5, 10)) == "Annealing(1.0 -> 0.5 in 10 frames)"


def message(*args: float, most: float = float("inf")) -> str:
    with pytest.raises(UsageError) as error:
        Annealing("EGreedyModule", "eps", *args, most=most)
    return str(error.value)


def test_a_line_that_goes_up_is_refused():
    assert message(0.1, 0.5, 10) == (
        "EGreedyModule cannot be built: eps goes down, and eps_end lies above eps_init.\n"
        "  where: eps_end\n"
        "  expected: at most eps_init, 0.1\n"
        "  got: 0.5\n"
        "  fix: eps_end=0.1, which keeps eps as it is, or less"
    )


@pytest.mark.parametrize("steps", [0, -5, float("nan")])
def test_no_frames_to_go_down_in_are_refused(steps):
    assert message(1.0, 0.5, steps) == (
        "EGreedyModule cannot be built: eps needs frames to go down.\n"
        "  where: annealing_num_steps\n"
        "  expected: a positive number of frames\n"
        f"  got: {steps}\n"
        "  fix: annealing_num_steps=1; eps_init=0.5 for no annealing"
    )


def test_numbers_out_of_range_are_refused():
    assert message(1.5, 0.5, 10, most=1.0) == (
        "EGreedyModule cannot be built: eps_init is out of range.\n"
        "  where: eps_init\n"
        "  expected: a number from 0 to 1\n"
        "  got: 1.5\n"
        "  fix: eps_init=1.0"
    )
    assert "eps_end is out of range" in message(1.0, -0.1, 10)
    assert "eps_init is out of range" in message(float("nan"), 0.1, 10)
    assert "expected: a finite number, not below 0" in message(float("inf"), 0.1, 10)


def test_frames_are_not_taken_back():
    line = Annealing("Owner", "eps", 1.0, 0.5, 10)
    with pytest.raises(UsageError) as error:
        line.step(-1)
    assert str(error.value) == (
        "Exploration cannot be annealed: frames are not taken back.\n"
        "  where: step(frames)\n"
        "  expected: a number of frames, not below 0\n"
        "  got: -1\n"
        "  fix: step(frames_per_batch) after each batch; load_state_dict goes back to a saved state"
    )
