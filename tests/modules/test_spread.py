import pytest
import torch

from keywork._errors import SpecError
from keywork.modules._spread import spread


@pytest.mark.parametrize(
    ("flag", "like", "result"),
    [((4, 1), (4, 2), (4, 1)), ((4, 1), (4,), (4,)), ((4, 5, 1), (4, 5, 2, 3), (4, 5, 1, 1)), ((1,), (2,), (1,))],
)
def test_gets_as_many_dimensions_as_what_it_is_spread_over(flag, like, result):
    assert spread("Owner", "is_init", torch.zeros(flag), torch.zeros(like)).shape == result


@pytest.mark.parametrize(("flag", "like"), [((4,), (4, 2)), ((4, 2), (4, 2)), ((2, 1), (4, 2)), ((4, 1), ())])
def test_another_batch_is_refused_and_not_broadcast(flag, like):
    with pytest.raises(SpecError, match="Owner cannot tell where episodes begin: 'is_init' does not fit"):
        spread("Owner", "is_init", torch.zeros(flag), torch.zeros(like))
