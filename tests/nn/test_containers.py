"""Where results are stored: selections, locked and wrong TensorDicts, tensorclasses, lazy stacks."""

from __future__ import annotations

import pytest
import torch
from tensordict import LazyStackedTensorDict, TensorDict, lazy_stack, tensorclass

from keywork._errors import MissingKeyError
from keywork.nn import TensorDictModuleBase


class Affine(TensorDictModuleBase):
    """y = 2 x + 1, and z = x + y where z is asked for."""

    def compute(self, x):
        y = 2 * x + 1
        return (y, x + y)[: len(self._out_keys)]


class Difference(TensorDictModuleBase):
    """a - b, where b may be absent."""

    def compute(self, a, b):
        return (a if b is None else a - b,)


@tensorclass
class Sample:
    x: torch.Tensor
    y: torch.Tensor | None = None


def ones(**more):
    return TensorDict(x=torch.ones(2, 3), **more, batch_size=[2])


class TestSelectOutKeys:
    def test_only_those_are_stored_in_the_order_of_out_keys(self):
        module = Affine("x", ["y", "z"])
        assert module.select_out_keys("z") is module
        assert module.out_keys == ["z"]
        assert set(module(ones()).keys()) == {"x", "z"}
        assert module.select_out_keys("z", "y").out_keys == ["y", "z"]

    def test_unrelated_entries_are_left_alone(self):
        """The established library deletes whatever is neither read nor selected."""
        td = ones(unrelated=torch.zeros(2), y=torch.full((2,), 7.0))
        Affine("x", ["y", "z"]).select_out_keys("z")(td)
        assert set(td.keys()) == {"x", "unrelated", "y", "z"}
        assert td["y"].tolist() == [7.0, 7.0]

    def test_none_at_all(self):
        module = Affine("x", ["y", "z"]).select_out_keys()
        assert list(module(ones()).keys()) == ["x"]
        assert module(torch.ones(1)) == ()

    def test_reset_stores_them_all_again(self):
        module = Affine("x", ["y", "z"]).select_out_keys("y")
        assert module.reset_out_keys() is module
        assert set(module(ones()).keys()) == {"x", "y", "z"}

    def test_one_that_is_not_written_is_refused_and_changes_nothing(self):
        module = Affine("x", ["action", "z"]).select_out_keys("z")
        with pytest.raises(KeyError) as caught:
            module.select_out_keys("acton")
        assert str(caught.value) == (
            "'acton' cannot be kept, as it is not written; written: 'action', 'z'. did you mean 'action'? "
        )
        assert module.out_keys == ["z"]

    def test_a_list_is_refused(self):
        with pytest.raises(TypeError, match=r"got \['y'\] of type list"):
            Affine("x", ["y", "z"]).select_out_keys(["y"])

    def test_what_is_deselected_may_be_selected_again(self):
        module = Affine("x", ["y", "z"]).select_out_keys("y")
        assert module.select_out_keys("z").out_keys == ["z"]


class TestWriting:
    def test_a_locked_tensordict_is_refused_and_says_what_was_to_be_stored(self):
        td = ones().lock_()
        with pytest.raises(RuntimeError, match="Cannot modify locked TensorDict") as caught:
            Affine("x", ["y", "z"])(td)
        assert caught.value.__notes__ == ["in Affine, storing 'y' in a TensorDict of batch size [2]"]
        assert list(td.keys()) == ["x"]

    def test_a_locked_tensordict_may_be_read(self):
        assert Affine("x", "y", inplace="empty")(ones().lock_())["y"].shape == (2, 3)

    def test_a_wrong_batch_size_names_key_and_module_and_what_came_before_is_stored(self):
        class Wrong(TensorDictModuleBase):
            def compute(self, x):
                return x, x[:1]

        td = ones()
        with pytest.raises(RuntimeError, match="batch dimension mismatch") as caught:
            Wrong("x", ["y", "z"])(td)
        assert caught.value.__notes__ == ["in Wrong, storing 'z' in a TensorDict of batch size [2]"]
        assert set(td.keys()) == {"x", "y"}

    def test_a_tensor_cannot_become_a_group(self):
        with pytest.raises(KeyError) as caught:
            Affine("x", ("x", "y"))(ones())
        assert caught.value.__notes__ == ["in Affine, storing ('x', 'y') in a TensorDict of batch size [2]"]

    def test_a_wrong_number_of_results_names_the_module(self):
        class Wrong(TensorDictModuleBase):
            def compute(self, x):
                return (x, x, x)

        with pytest.raises(ValueError, match="got: 3 items") as caught:
            Wrong("x", ["y", "z"])(ones())
        assert caught.value.__notes__[0].startswith("in Wrong: 'x' ")


class TestOtherContainers:
    def test_a_tensorclass_is_read_and_populated(self):
        sample = Sample(x=torch.ones(2, 3), batch_size=[2])
        assert Affine("x", "y")(sample) is sample
        assert sample.y.tolist() == [[3.0] * 3] * 2

    def test_a_field_that_is_none_is_missing(self):
        with pytest.raises(MissingKeyError) as caught:
            Affine("y", "x")(Sample(x=torch.ones(2, 3), batch_size=[2]))
        assert str(caught.value) == (
            "Affine cannot run: it reads 'y', which the TensorDict does not hold.\n"
            "   the TensorDict holds: 'x'\n"
            "   Store the entry under 'y', change in_keys, or declare it with optional_keys=['y']."
        )

    def test_an_optional_field_of_a_tensorclass(self):
        module = Difference(["x", "y"], ["y"], optional_keys=["y"])
        assert module(Sample(x=torch.ones(2, 3), batch_size=[2])).y.tolist() == [[1.0] * 3] * 2

    def test_a_tensorclass_without_the_field_is_no_place_to_store(self):
        with pytest.raises(AttributeError, match="no such field") as caught:
            Affine("x", "z")(Sample(x=torch.ones(2, 3), batch_size=[2]))
        assert caught.value.__notes__ == ["in Affine, storing 'z' in a TensorDict of batch size [2]"]

    def test_a_lazy_stack(self):
        stack = lazy_stack([TensorDict(x=torch.zeros(3)), TensorDict(x=torch.ones(3), other=torch.ones(1))])
        assert isinstance(Affine("x", "y")(stack), LazyStackedTensorDict)
        assert [td["y"].tolist() for td in stack.tensordicts] == [[1.0] * 3, [3.0] * 3]

    def test_an_entry_that_only_some_of_a_lazy_stack_have_is_missing(self):
        stack = lazy_stack([TensorDict(x=torch.zeros(3)), TensorDict(x=torch.ones(3), other=torch.ones(1))])
        with pytest.raises(MissingKeyError, match="it reads 'other'"):
            Affine("other", "y")(stack)

    def test_data_that_is_no_tensor(self):
        td = TensorDict(x="a", batch_size=[2])

        class Twice(TensorDictModuleBase):
            def compute(self, x):
                return (x + x,)

        assert Twice("x", "y")(td)["y"] == "aa"
