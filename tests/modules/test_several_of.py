import itertools

import pytest
import torch

from keywork._errors import SpecError
from keywork.modules._several_of import SeveralOf

INT = torch.int64


@pytest.mark.parametrize("sizes", [[2, 5], [5, 2, 3], [3, 3], [4]])
@pytest.mark.parametrize("masked", [False, True])
def test_the_best_action_is_that_of_brute_force(sizes, masked):
    values = torch.randn(7, sum(sizes))
    mask = torch.rand(7, sum(sizes)) < 0.5
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    mask[:, starts] = True
    action, chosen = SeveralOf("Owner", sizes).greedy(values, mask if masked else None, INT)
    for row in range(7):
        allowed = [
            combination
            for combination in itertools.product(*map(range, sizes))
            if not masked or all(mask[row, s + k] for s, k in zip(starts, combination, strict=True))
        ]
        worth = {c: sum(values[row, s + k].item() for s, k in zip(starts, c, strict=True)) for c in allowed}
        best = max(worth, key=worth.__getitem__)
        assert tuple(action[row].tolist()) == best
        assert chosen[row].item() == pytest.approx(worth[best], abs=1e-6)


@pytest.mark.parametrize("sizes", [[2, 3], [3, 3]])
def test_one_hot_vectors_stand_in_a_row(sizes):
    values = torch.randn(7, sum(sizes))
    index, chosen = SeveralOf("Owner", sizes).greedy(values, None, INT)
    vectors, same = SeveralOf("Owner", sizes, one_hot=True).greedy(values, None, torch.float32)
    parts = [torch.nn.functional.one_hot(index[:, k], n) for k, n in enumerate(sizes)]
    assert torch.equal(vectors, torch.cat(parts, -1).float())
    assert torch.equal(same, chosen)


def test_a_single_number_takes_as_many_choices_as_there_are_values_for():
    values = torch.tensor([[0.0, 1.0, 3.0, 2.0]])
    action, chosen = SeveralOf("Owner", 2).greedy(values, None, INT)
    assert (action.tolist(), chosen.tolist()) == ([[1, 0]], [[4.0]])
    vectors, _ = SeveralOf("Owner", 2, one_hot=True).greedy(values, None, INT)
    assert vectors.tolist() == [[0, 1, 1, 0]]


def test_values_that_are_no_multiple_of_that_number_are_refused():
    with pytest.raises(SpecError, match="expected: a last dimension of 6"):
        SeveralOf("Owner", 2).greedy(torch.zeros(1, 5), None, INT)


def test_another_number_of_values_is_refused():
    with pytest.raises(SpecError, match="expected: a last dimension of 7"):
        SeveralOf("Owner", [2, 5]).greedy(torch.zeros(1, 8), None, INT)


@pytest.mark.parametrize("one_hot", [False, True])
def test_the_value_of_an_action_is_the_sum_of_its_choices(one_hot):
    form = SeveralOf("Owner", [2, 3], one_hot=one_hot)
    values = torch.tensor([[1.0, 2.0, 10.0, 20.0, 30.0]])
    action = torch.tensor([[0, 1, 0, 0, 1]]) if one_hot else torch.tensor([[1, 2]])
    assert form.value_of(values, action).tolist() == [[32.0]]


def test_indices_are_arranged_as_the_spec_says():
    values = torch.randn(7, 2 + 3 + 4 + 5)
    flat, _ = SeveralOf("Owner", [2, 3, 4, 5]).greedy(values, None, INT)
    square, _ = SeveralOf("Owner", [2, 3, 4, 5], (2, 2)).greedy(values, None, torch.int32)
    assert square.dtype is torch.int32
    assert torch.equal(square, flat.reshape(7, 2, 2))
    assert SeveralOf("Owner", [2, 3, 4, 5], (2, 2)).random(square, None).shape == (7, 2, 2)


def test_random_actions_are_uniform_over_all_combinations(chi_square):
    drawn = SeveralOf("Owner", [2, 5]).random(torch.zeros(20_000, 2, dtype=INT), None)
    assert chi_square(drawn[:, 0] * 5 + drawn[:, 1], [0.1] * 10) < 1


def test_random_actions_are_uniform_among_what_is_allowed(chi_square):
    mask = torch.tensor([True, True, False, True, False, True, False]).expand(20_000, 7)
    drawn = SeveralOf("Owner", [2, 5]).random(torch.zeros(20_000, 2, dtype=INT), mask)
    # Of the first both, of the second (flags 2 to 6) choices 1 and 3.
    allowed = [0.25 if k in (1, 3) else 0.0 for _ in range(2) for k in range(5)]
    assert chi_square(drawn[:, 0] * 5 + drawn[:, 1], allowed) < 1


def test_a_component_without_a_choice_is_named():
    mask = torch.ones(3, 7, dtype=torch.bool)
    mask[2, :2] = False
    with pytest.raises(SpecError, match=r"the action mask of row \[2, 0\] allows none"):
        SeveralOf("Owner", [2, 5]).random(torch.zeros(3, 2, dtype=INT), mask)
