import pytest
import torch
from tensordict import TensorDict

from keywork._errors import SpecError
from keywork.distributions._composite_values import entry_of, values_of


@pytest.mark.parametrize(
    "holder",
    [{("a", "b"): 1}, {"a": {"b": 1}}, {"a": TensorDict(b=torch.tensor(1))}, TensorDict({("a", "b"): torch.tensor(1)})],
)
def test_an_entry_of_whatever_holds_it(holder):
    assert entry_of(holder, ("a", "b")) == 1
    assert entry_of(holder, ("a", "c")) is None
    assert entry_of(holder, ("x", "b")) is None


def test_values_in_the_order_of_the_keys():
    assert list(values_of(["y", "x"], {"x": 1, "y": 2})) == [2, 1]
    assert values_of(["y", "x"], (2, 1)) == (2, 1)


def test_what_holds_no_values():
    with pytest.raises(SpecError) as error:
        values_of(["x", "y"], {"x": 1})
    assert str(error.value) == (
        "CompositeDistribution cannot take this for a value: it asks for 'x', 'y', and got no 'y' among 'x'. "
        "Pass a TensorDict or a mapping with these keys, or a tuple of tensors in their order."
    )
