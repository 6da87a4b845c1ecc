from __future__ import annotations

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from keywork._errors import ContractError, MissingKeyError, OutputError
from keywork.nn import Contract, TensorDictModuleBase, TensorDictSequential


class Affine(TensorDictModuleBase):
    """y = 2 x + 1, and z = x + y where z is asked for."""

    def compute(self, x):
        y = 2 * x + 1
        return (y, x + y)[: len(self._out_keys)]


class Difference(TensorDictModuleBase):
    """a - b, where what is absent counts as zero."""

    def compute(self, a, b):
        return ((0 if a is None else a) - (0 if b is None else b),)


class Opaque(TensorDictModuleBase):
    in_keys = ["x"]
    out_keys = ["y"]

    def forward(self, tensordict):
        return tensordict.set("y", tensordict["x"] + 1)


def ones(**more):
    return TensorDict(x=torch.ones(2, 3), **more, batch_size=[2])


class TestKeys:
    def test_keys_are_one_key_or_a_list_and_come_back_as_lists(self):
        assert Affine("x", ("group", "y")).in_keys == ["x"]
        assert Affine("x", ("group", "y")).out_keys == [("group", "y")]
        assert Affine(["a", ("b", ("c",))], []).in_keys == ["a", ("b", "c")]

    def test_what_is_changed_in_such_a_list_changes_no_module(self):
        module = Affine(["x"], ["y"])
        module.in_keys.append("z")
        assert module.in_keys == ["x"]

    def test_keys_of_the_class_body(self):
        assert (Opaque().in_keys, Opaque().out_keys) == (["x"], ["y"])
        assert Opaque(["x2"]).in_keys == ["x2"]
        assert Opaque().in_keys == ["x"]

    def test_a_subclass_inherits_the_keys_of_a_class_body_and_may_change_some(self):
        class Other(Opaque):
            out_keys = "z"

        assert (Other().in_keys, Other().out_keys) == (["x"], ["z"])

    def test_keys_may_be_set_after_construction(self):
        class Late(TensorDictModuleBase):
            def __init__(self):
                super().__init__()
                self.in_keys = ["x", ("a", ("b",))]
                self.out_keys = "y"

        assert Late().contract == Contract(["x", ("a", "b")], ["y"])

    def test_new_out_keys_are_all_stored_whatever_was_selected_of_the_old(self):
        module = Affine("x", ["y", "z"]).select_out_keys("z")
        module.out_keys = ["p", "q"]
        assert module.out_keys == ["p", "q"]
        assert set(module(ones()).keys()) == {"x", "p", "q"}

    def test_keys_that_are_refused_change_nothing(self):
        module = Affine("x", ["y", "z"])
        with pytest.raises(ContractError):
            module.out_keys = ["w", "w"]
        with pytest.raises(TypeError):
            module.in_keys = [3]
        assert (module.in_keys, module.out_keys) == (["x"], ["y", "z"])

    def test_an_out_key_given_twice_is_refused(self):
        with pytest.raises(ContractError) as caught:
            Affine("x", ["y", "z", ("y",), "z"])
        assert str(caught.value) == (
            "Affine cannot be built: 1 finding.\n"
            "1. out_keys names 'y', 'z' more than once.\n"
            "   provided: out_keys=('y', 'z', 'y', 'z')\n"
            "   give each output its own key, or '_' for one to drop."
        )

    def test_the_repr_shows_the_keys(self):
        assert repr(Affine("x", "y")) == "Affine(in_keys=['x'], out_keys=['y'])"

    def test_without_compute_a_call_says_what_to_define(self):
        with pytest.raises(NotImplementedError) as caught:
            TensorDictModuleBase(["x"], ["y"])(ones())
        assert str(caught.value) == ("TensorDictModuleBase has to define compute(self, *inputs) -> tuple of tensors.")


class TestContract:
    def test_it_says_what_is_read_written_optional_and_carried(self):
        module = Affine(["x", "h"], ["y", ("next", "h")], optional_keys=["mask", "h"], carries="h")
        assert module.contract == Contract(["x"], ["y", ("next", "h")], ["mask", "h"], ["h"])

    def test_optional_keys_follow_in_keys_unless_they_are_among_them(self):
        assert Affine(["m", "x"], "y", optional_keys=["n", "m"]).in_keys == ["m", "x", "n"]

    def test_it_follows_the_selection(self):
        assert Affine("x", ["y", "z"]).select_out_keys("z").contract == Contract(["x"], ["z"])


class TestCallOnTensorDict:
    def test_it_is_populated_and_returned(self):
        td = ones(other=torch.zeros(2))
        assert Affine("x", "y")(td) is td
        assert td["y"].tolist() == [[3.0] * 3] * 2  # 2 * 1 + 1
        assert set(td.keys()) == {"x", "other", "y"}

    def test_nested_entries_are_read_and_made(self):
        td = TensorDict({("agents", "x"): torch.ones(2)}, batch_size=[2])
        Affine(("agents", "x"), ("agents", "new", "y"))(td)
        assert td["agents", "new", "y"].tolist() == [3.0, 3.0]
        assert td["agents", "new"].batch_size == torch.Size([2])

    def test_a_keyword_will_do(self):
        td = ones()
        assert Affine("x", "y")(tensordict=td) is td
        assert "y" in td

    def test_an_entry_is_replaced_and_never_changed_in_place(self):
        td = ones()
        before = td["x"]
        Affine("x", "x")(td)
        assert before.tolist() == [[1.0] * 3] * 2
        assert td["x"].tolist() == [[3.0] * 3] * 2

    def test_something_besides_the_tensordict_is_refused(self):
        with pytest.raises(TypeError) as caught:
            Affine("x", "y")(ones(), torch.zeros(2, 3), x=torch.ones(1))
        assert str(caught.value) == (
            "Affine got a TensorDict and 'float32[2, 3]', 'x': store that in it, or call on tensors alone."
        )

    def test_a_module_that_reads_nothing(self):
        class Constant(TensorDictModuleBase):
            def compute(self):
                return (torch.ones(2),)

        assert Constant([], "y")(TensorDict(batch_size=[2]))["y"].tolist() == [1.0, 1.0]
        assert Constant([], "y")().tolist() == [1.0, 1.0]


class TestInplace:
    def test_true_is_the_given_one_false_a_new_one_and_empty_one_of_its_batch_size(self):
        td = ones()
        new = Affine("x", "y", inplace=False)(td)
        assert (list(new.keys()), new.batch_size) == (["y"], torch.Size([]))
        like = Affine("x", "y", inplace="empty")(td)
        assert (list(like.keys()), like.batch_size) == (["y"], torch.Size([2]))
        assert list(td.keys()) == ["x"]
        assert Affine("x", "y", inplace=None)(td) is not td

    @pytest.mark.parametrize("inplace", [True, False, "empty"])
    def test_a_tensordict_out_prevails(self, inplace):
        td, out = ones(), TensorDict(kept=torch.zeros(2), batch_size=[2])
        assert Affine("x", "y", inplace=inplace)(td, tensordict_out=out) is out
        assert (set(out.keys()), list(td.keys())) == ({"kept", "y"}, ["x"])

    def test_anything_else_is_refused(self):
        with pytest.raises(ValueError) as caught:
            Affine("x", "y", inplace="yes")
        assert str(caught.value) == "Affine: inplace is True, False or 'empty'; got 'yes'."


class TestMissing:
    def test_the_message_names_the_module_the_key_what_is_there_and_the_nearest(self):
        with pytest.raises(MissingKeyError) as caught:
            Affine("observation", "y")(TensorDict(observaton=torch.ones(2), reward=torch.ones(2)))
        assert str(caught.value) == (
            "Affine cannot run: it reads 'observation', which the TensorDict does not hold.\n"
            "   the TensorDict holds: 'observaton', 'reward'\n"
            "   did you mean 'observaton'? Store the entry under 'observation', change in_keys, or declare it with "
            "optional_keys=['observation']."
        )

    def test_a_nested_key_is_looked_for_among_the_nested_ones(self):
        td = TensorDict({"x": torch.ones(2), ("next", "rewards"): torch.ones(2)})
        with pytest.raises(MissingKeyError) as caught:
            Affine(("next", "reward"), "y")(td)
        assert str(caught.value) == (
            "Affine cannot run: it reads ('next', 'reward'), which the TensorDict does not hold.\n"
            "   the TensorDict holds: 'x', ('next', 'rewards')\n"
            "   did you mean ('next', 'rewards')? Store the entry under ('next', 'reward'), change in_keys, or declare "
            "it with optional_keys=[('next', 'reward')]."
        )

    def test_an_empty_tensordict(self):
        with pytest.raises(MissingKeyError, match="the TensorDict holds: nothing\n"):
            Affine("x", "y")(TensorDict())

    def test_a_tensor_has_no_entries_inside(self):
        with pytest.raises(MissingKeyError, match=r"it reads \('x', 'part'\), which the TensorDict does not hold"):
            Affine(("x", "part"), "y")(ones())

    def test_nothing_has_been_written(self):
        td = ones()
        with pytest.raises(KeyError):
            Affine("q", "y")(td)
        assert list(td.keys()) == ["x"]

    def test_a_missing_key_never_becomes_none(self):
        """The established library passes None, and a network that tolerates it runs on."""

        class Tolerant(TensorDictModuleBase):
            def compute(self, a, b):
                return (torch.zeros(2) if b is None else b,)

        with pytest.raises(MissingKeyError, match="it reads 'b'"):
            Tolerant(["a", "b"], ["y"])(TensorDict(a=torch.ones(2)))


class TestOptional:
    def test_an_absent_one_is_none_and_a_present_one_is_used(self):
        module = Difference(["a", "b"], ["y"], optional_keys=["b"])
        assert module(TensorDict(a=torch.tensor(5.0)))["y"].item() == 5.0
        assert module(TensorDict(a=torch.tensor(5.0), b=torch.tensor(2.0)))["y"].item() == 3.0  # 5 - 2

    def test_the_order_of_the_arguments_is_that_of_in_keys(self):
        module = Difference(["a", "b"], ["y"], optional_keys=["a"])
        assert module(TensorDict(b=torch.tensor(2.0)))["y"].item() == -2.0

    def test_a_nested_one_without_its_group(self):
        module = Difference(["a", ("g", "b")], ["y"], optional_keys=[("g", "b")])
        assert module(TensorDict(a=torch.tensor(5.0)))["y"].item() == 5.0
        # A tensor where the group could be holds no such entry either.
        assert module(TensorDict(a=torch.tensor(5.0), g=torch.tensor(1.0)))["y"].item() == 5.0

    def test_a_strict_one_beside_it_is_still_needed(self):
        with pytest.raises(MissingKeyError, match="it reads 'a'"):
            Difference(["a", "b"], ["y"], optional_keys=["b"])(TensorDict(b=torch.ones(1)))

    @pytest.mark.parametrize(
        ("args", "kwargs"), [((2.0,), {}), ((2.0, None), {}), ((), {"a": 2.0}), ((), {"a": 2.0, "b": None})]
    )
    def test_on_tensors_it_may_be_left_out_or_be_none(self, args, kwargs):
        assert Difference(["a", "b"], ["y"], optional_keys=["b"])(*args, **kwargs) == 2.0

    def test_as_the_first_of_the_tensors_it_may_be_none(self):
        assert Difference(["a", "b"], ["y"], optional_keys=["a"])(None, 2.0) == -2.0


class TestCallOnTensors:
    def test_by_position_by_name_and_mixed(self):
        module = Difference(["a", ("next", "reward")], ["y"])
        five, two = torch.tensor(5.0), torch.tensor(2.0)
        assert module(five, two).item() == 3.0
        assert module(next_reward=two, a=five).item() == 3.0
        assert module(five, next_reward=two).item() == 3.0

    def test_one_output_is_a_tensor_and_several_are_a_tuple_in_the_order_of_out_keys(self):
        y, z = Affine("x", ["y", "z"])(torch.tensor(1.0))
        assert (y.item(), z.item()) == (3.0, 4.0)  # 2 * 1 + 1, and 1 + 3
        assert Affine("x", ["y", "z"]).select_out_keys("z")(torch.tensor(1.0)).item() == 4.0

    def test_a_key_that_is_read_twice_is_given_once(self):
        module = Difference(["a", "a"], ["y"])
        assert module(torch.tensor(5.0)).item() == 0.0
        with pytest.raises(TypeError, match="takes 1 tensors, 'a'; got 2"):
            module(torch.tensor(5.0), torch.tensor(2.0))

    def test_two_keys_of_one_argument_name_are_told_apart_by_position(self):
        module = Difference(["next_x", ("next", "x")], ["y"])
        assert module(torch.tensor(5.0), torch.tensor(2.0)).item() == 3.0

    def test_too_many(self):
        with pytest.raises(TypeError) as caught:
            Difference(["a", ("next", "b")], ["y"])(1, 2, 3)
        assert str(caught.value) == "Difference takes 2 tensors, 'a', ('next', 'b'); got 3."

    def test_an_unknown_name(self):
        with pytest.raises(TypeError) as caught:
            Difference(["a", ("next", "b")], ["y"])(torch.ones(1), next_c=torch.ones(1))
        assert str(caught.value) == "Difference: 'next_c' is none of its in_keys. It takes 'a', 'next_b'."

    def test_one_given_twice(self):
        with pytest.raises(TypeError) as caught:
            Difference(["a", "b"], ["y"])(torch.ones(1), a=torch.ones(1))
        assert str(caught.value) == "Difference: 'a' is given twice. It takes 'a', 'b'."

    @pytest.mark.parametrize("call", [{"a": 1.0}, {"a": 1.0, "state": None}])
    def test_one_left_out_or_none(self, call):
        with pytest.raises(MissingKeyError) as caught:
            Difference(["a", "state"], ["y"])(**call)
        assert str(caught.value) == (
            "Difference cannot run: it reads 'state', which the call does not hold.\n"
            "   the call holds: 'a'\n"
            "   Store the entry under 'state', change in_keys, or declare it with optional_keys=['state']."
        )

    def test_a_tensordict_out_is_refused_as_tensors_are_returned(self):
        out = TensorDict()
        with pytest.raises(TypeError) as caught:
            Affine("x", "y")(torch.ones(1), tensordict_out=out)
        assert str(caught.value) == "Affine got tensors and a tensordict_out: leave it out, tensors are returned."

    def test_no_container_is_made(self, monkeypatch):
        monkeypatch.setattr("keywork.nn._base.TensorDict", type("NotMade", (), {}))
        assert Affine("x", "y")(torch.tensor(1.0)).item() == 3.0

    def test_what_is_no_tensor_is_handed_on(self):
        assert Affine("x", "y")(np.ones(2)).tolist() == [3.0, 3.0]


class TestNotes:
    def test_an_error_inside_keeps_its_type_and_says_where_and_on_what(self):
        class Broken(TensorDictModuleBase):
            def compute(self, x, mask):
                raise ZeroDivisionError("nothing to divide")

        module = Broken(["x", ("group", "mask")], ["y", "z"], optional_keys=[("group", "mask")])
        note = "in Broken: 'x' float32[2, 3], ('group', 'mask') NoneType -> 'y', 'z'"
        for call in (lambda: module(ones()), lambda: module(torch.ones(2, 3))):
            with pytest.raises(ZeroDivisionError, match="nothing to divide") as caught:
                call()
            assert caught.value.__notes__ == [note]


class TestOpaque:
    """A user's subclass that overrides ``forward(td)``."""

    def test_it_is_called_on_tensordicts_only(self):
        assert Opaque().opaque
        assert not Affine("x", "y").opaque
        assert Opaque()(ones())["y"].tolist() == [[2.0] * 3] * 2

    def test_its_contract_is_that_of_its_keys(self):
        assert Opaque().contract == Contract(["x"], ["y"])


class Returns(TensorDictModuleBase):
    """Gives back what it was built with."""

    def __init__(self, result, *args):
        super().__init__(*args)
        self.result = result

    def compute(self, *inputs):
        return self.result


class TestWhatComputeReturns:
    # A tensor of one row, or of as many rows as there are keys, could be unpacked into its rows.
    @pytest.mark.parametrize("wrap", [lambda module: module, TensorDictSequential], ids=["alone", "a step"])
    @pytest.mark.parametrize("keys", [["y"], ["y", "z"]])
    def test_a_tensor_is_no_tuple_of_outputs(self, wrap, keys):
        td = TensorDict(x=torch.ones(len(keys), 3), batch_size=[len(keys)])
        module = wrap(Returns(torch.ones(len(keys), 3), ["x"], keys))
        for call in (lambda: module(td), lambda: module(td["x"]), lambda: module(x=td["x"])):
            with pytest.raises(OutputError, match="did not return a tuple of its outputs"):
                call()
        assert list(td.keys()) == ["x"]

    @pytest.mark.parametrize("wrap", [lambda module: module, TensorDictSequential], ids=["alone", "a step"])
    @pytest.mark.parametrize(
        "result", [(), (torch.ones(2), torch.ones(2)), [torch.ones(2)], None, {"y": torch.ones(2)}]
    )
    def test_nor_is_a_tuple_of_another_length_or_something_else(self, wrap, result):
        with pytest.raises(OutputError):
            wrap(Returns(result, ["x"], ["y"]))(ones())

    def test_the_message_says_what_to_return(self):
        with pytest.raises(OutputError) as caught:
            Returns(torch.ones(2, 3), ["x"], ["y"])(ones())
        assert str(caught.value) == (
            "Returns cannot store its result: compute did not return a tuple of its outputs.\n"
            "  where: Returns.compute\n"
            "  expected: a tuple of 1, one item for each out key: 'y'\n"
            "  got: float32[2, 3]\n"
            "  fix: return (x,)"
        )
        assert caught.value.__notes__ == ["in Returns: 'x' float32[2, 3] -> 'y'"]

    def test_a_selection_does_not_change_what_compute_returns(self):
        module = Returns((torch.ones(2), torch.zeros(2)), ["x"], ["y", "z"]).select_out_keys("z")
        assert list(module(ones()).keys()) == ["x", "z"]
        with pytest.raises(OutputError, match="a tuple of 2, one item for each out key: 'y', 'z'"):
            Returns((torch.ones(2),), ["x"], ["y", "z"]).select_out_keys("z")(ones())


class TestOutputsInsideOneAnother:
    @pytest.mark.parametrize("keys", [["b", ("b", "c")], [("b", "c"), "b"], [("b", "c"), ("b", "c", "d")]])
    def test_are_refused_when_built(self, keys):
        with pytest.raises(ContractError) as caught:
            Affine(["x"], keys)
        above, inside = sorted(keys, key=lambda key: len(key) if isinstance(key, tuple) else 1)
        assert str(caught.value) == (
            "Affine cannot be built: 1 finding.\n"
            f"1. out_keys has {inside!r} inside {above!r}, which is a tensor of its own.\n"
            f"   provided: out_keys={tuple(keys)!r}\n"
            "   give the two keys that lie beside one another."
        )

    def test_one_that_stores_them_itself_may_have_a_group_and_what_is_in_it(self):
        assert Opaque(out_keys=["b", ("b", "c")]).out_keys == ["b", ("b", "c")]
