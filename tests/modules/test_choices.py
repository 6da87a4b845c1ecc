import math

import pytest
import torch

from keywork._errors import SpecError
from keywork.modules._choices import Bits, OneHotOf, OneOf

VALUES = torch.tensor([[1.0, 3.0, 2.0], [5.0, 5.0, 0.0]])
INT = torch.int64


class TestOneOf:
    def test_takes_the_index_of_the_highest_value(self):
        action, chosen = OneOf("Owner", 3).greedy(VALUES, None, INT)
        assert action[0] == 1
        assert action[1] in (0, 1)
        assert chosen.tolist() == [[3.0], [5.0]]

    def test_a_mask_leaves_the_values_alone(self):
        mask = torch.tensor([[True, False, True], [False, False, True]])
        before = VALUES.clone()
        action, chosen = OneOf("Owner", 3).greedy(VALUES, mask, INT)
        assert (action.tolist(), chosen.tolist()) == ([2, 2], [[2.0], [0.0]])
        assert torch.equal(VALUES, before)

    def test_elements_of_a_shape_are_chosen_each_by_itself(self):
        values = torch.randn(4, 5, 3)
        action, chosen = OneOf("Owner", 3, (5,)).greedy(values, None, INT)
        assert torch.equal(action, values.argmax(-1))
        assert chosen.shape == (4, 5, 1)

    def test_the_value_of_an_index_is_found(self):
        assert OneOf("Owner", 3).value_of(VALUES, torch.tensor([2, 0])).tolist() == [[2.0], [5.0]]

    def test_random_indices_are_uniform_and_keep_their_type(self, chi_square):
        drawn = OneOf("Owner", 4).random(torch.zeros(20_000, dtype=torch.int32), None)
        assert drawn.dtype is torch.int32
        assert chi_square(drawn, [0.25] * 4) < 1

    def test_random_indices_are_uniform_among_what_is_allowed(self, chi_square):
        mask = torch.tensor([True, False, True, True]).expand(20_000, 4)
        drawn = OneOf("Owner", 4).random(torch.zeros(20_000, dtype=INT), mask)
        assert chi_square(drawn, [1 / 3, 0.0, 1 / 3, 1 / 3]) < 1

    def test_another_number_of_values_is_refused(self):
        with pytest.raises(SpecError) as error:
            OneOf("QValueModule", 4).greedy(VALUES, None, INT)
        assert str(error.value) == (
            "QValueModule cannot choose: there are not as many values as choices.\n"
            "  where: the action values\n"
            "  expected: a last dimension of 4\n"
            "  got: float32[2, 3]\n"
            "  fix: end the network in 4 outputs, or correct the spec"
        )


class TestOneHotOf:
    def test_of_values_that_tie_one_is_taken(self):
        action, chosen = OneHotOf("Owner", 4).greedy(torch.zeros(5, 4), None, torch.bool)
        assert action.dtype is torch.bool
        assert action.sum(-1).tolist() == [1] * 5
        assert chosen.tolist() == [[0.0]] * 5

    def test_without_a_number_there_are_as_many_choices_as_values(self):
        action, _ = OneHotOf("Owner", None).greedy(VALUES, None, INT)
        assert action[0].tolist() == [0, 1, 0]

    def test_random_vectors_are_uniform(self, chi_square):
        drawn = OneHotOf("Owner", 4).random(torch.zeros(20_000, 4), None)
        assert (drawn.sum(-1) == 1).all()
        assert chi_square(drawn.long().argmax(-1), [0.25] * 4) < 1

    def test_random_vectors_are_uniform_among_what_is_allowed(self, chi_square):
        mask = torch.tensor([False, True, False, True]).expand(20_000, 4)
        drawn = OneHotOf("Owner", 4).random(torch.zeros(20_000, 4, dtype=INT), mask)
        assert chi_square(drawn.long().argmax(-1), [0.0, 0.5, 0.0, 0.5]) < 1

    def test_the_value_of_a_vector_is_found_beside_values_that_are_not_finite(self):
        values, action = torch.tensor([[-math.inf, 2.0]]), torch.tensor([[0, 1]])
        assert OneHotOf("Owner", 2).value_of(values, action).tolist() == [[2.0]]

    def test_an_index_in_place_of_a_vector_is_refused(self):
        with pytest.raises(SpecError) as error:
            OneHotOf("EGreedyModule", 4).batch_of(torch.zeros(8, dtype=INT))
        assert str(error.value) == (
            "EGreedyModule cannot explore this action: it has another shape.\n"
            "  where: the action\n"
            "  expected: the last dimensions [4]\n"
            "  got: int64[8]\n"
            "  fix: the spec of the form in which actions are stored: Categorical for indices, OneHot for vectors"
        )


class TestBits:
    def test_the_best_bits_are_those_of_positive_value(self):
        values = torch.tensor([[1.0, -2.0, 0.5], [-1.0, -1.0, -1.0]])
        action, chosen = Bits("Owner").greedy(values, None, torch.int8)
        assert action.tolist() == [[1, 0, 1], [0, 0, 0]]
        assert chosen.tolist() == [[1.5], [0.0]]
        # Brute force over all eight actions: none is worth more.
        every = torch.tensor([[i >> k & 1 for k in range(3)] for i in range(8)])
        assert torch.equal((values @ every.T.float()).amax(-1, keepdim=True), chosen)

    def test_a_mask_says_which_bits_may_be_one(self):
        mask = torch.tensor([[False, True, True]])
        action, chosen = Bits("Owner").greedy(torch.tensor([[1.0, -2.0, 0.5]]), mask, torch.int8)
        assert (action.tolist(), chosen.tolist()) == ([[0, 0, 1]], [[0.5]])
        drawn = Bits("Owner", (3,)).random(torch.zeros(1000, 3), mask.expand(1000, 3))
        assert not drawn[:, 0].any()

    def test_random_bits_are_fair_and_independent(self, chi_square):
        drawn = Bits("Owner", (2,)).random(torch.zeros(20_000, 2, dtype=torch.int8), None)
        assert chi_square(drawn[:, 0] * 2 + drawn[:, 1], [0.25] * 4) < 1

    def test_bits_in_two_dimensions_are_summed_over_both(self):
        values = torch.arange(6.0).reshape(1, 2, 3)
        action, chosen = Bits("Owner", (2, 3)).greedy(values, None, torch.int8)
        assert action.shape == (1, 2, 3)
        assert chosen.tolist() == [[15.0]]
