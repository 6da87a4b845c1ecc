import pytest
import torch

from keywork._errors import SpecError
from keywork.modules._mask import as_mask, require_choice


def test_numbers_count_as_flags():
    # Gymnasium's environments give masks of int8.
    mask = as_mask("Owner", torch.tensor([[1, 0, 2]], dtype=torch.int8), torch.Size([1, 3]))
    assert mask.tolist() == [[True, False, True]]


def test_flags_are_taken_as_they_are():
    mask = torch.tensor([True, False])
    assert as_mask("Owner", mask, torch.Size([2])) is mask


def test_another_shape_is_refused_and_not_broadcast():
    with pytest.raises(SpecError) as error:
        as_mask("EGreedyModule", torch.ones(4, dtype=torch.bool), torch.Size([8, 4]))
    assert str(error.value) == (
        "EGreedyModule cannot use its action mask: it has another shape.\n"
        "  where: the action mask\n"
        "  expected: a flag for each choice, of shape [8, 4]\n"
        "  got: bool[4]\n"
        "  fix: mask.expand(...) repeats it over the batch; the last dimension counts the choices"
    )


def test_rows_that_allow_nothing_are_named():
    mask = torch.ones(2, 3, 4, dtype=torch.bool)
    mask[0, 2] = mask[1, 1] = False
    with pytest.raises(SpecError) as error:
        require_choice("EGreedyModule", mask)
    assert str(error.value) == (
        "EGreedyModule cannot choose an action: the action mask of row [0, 2] allows none.\n"
        "  where: the action mask\n"
        "  expected: at least one True in each row\n"
        "  got: rows of False alone: 2 of 6, [0, 2], [1, 1]\n"
        "  fix: let the environment allow one choice in every state, a choice that does nothing if need be"
    )


def test_rows_that_allow_something_pass():
    mask = torch.eye(3, dtype=torch.bool)
    assert require_choice("Owner", mask) is mask


def test_a_mask_that_cannot_be_looked_at_is_not_looked_at():
    empty = torch.zeros(2, 3, 4, dtype=torch.bool)
    assert not torch.vmap(lambda mask: require_choice("Owner", mask))(empty).any()
    assert require_choice("Owner", empty.to("meta")).is_meta
    compiled = torch.compile(lambda mask: require_choice("Owner", mask).sum(), fullgraph=True, backend="eager")
    assert compiled(empty) == 0
