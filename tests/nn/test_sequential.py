from __future__ import annotations

import copy

import pytest
import torch
from tensordict import TensorDict, lazy_stack
from torch import nn

from keywork._errors import ContractError, MissingKeyError
from keywork.nn import Contract, TensorDictModule, TensorDictModuleBase, TensorDictSequential


def add(number, reads, writes, **options):
    return TensorDictModule(lambda x: x + number, reads, writes, **options)


def chain(**options):
    """x -> h = x + 1 -> y = h + 10 -> z = y + 100."""
    return TensorDictSequential(add(1, "x", "h"), add(10, "h", "y"), add(100, "y", "z"), **options)


def zeros(**more):
    return TensorDict(x=torch.zeros(2), **more, batch_size=[2])


class Plain(TensorDictModuleBase):
    """A user's own, over TensorDicts."""

    in_keys = ["h"]
    out_keys = ["y"]

    def forward(self, tensordict):
        return tensordict.set("y", tensordict["h"] + 10)


class TestRunning:
    def test_it_reads_what_no_step_provides_and_writes_what_any_step_writes(self):
        assert chain().contract == Contract(["x"], ["h", "y", "z"])
        td = zeros()
        assert chain()(td) is td
        assert {key: td[key].tolist() for key in ("h", "y", "z")} == {"h": [1.0] * 2, "y": [11.0] * 2, "z": [111.0] * 2}

    def test_on_tensors(self):
        h, y, z = chain()(torch.tensor(0.0))
        assert (h.item(), y.item(), z.item()) == (1.0, 11.0, 111.0)
        assert chain()(x=torch.tensor(1.0))[2].item() == 112.0

    def test_steps_with_several_inputs_and_outputs(self):
        split = TensorDictModule(lambda a, b: (a + b, a - b, a * b), ["a", "b"], ["sum", "_", ("g", "product")])
        join = TensorDictModule(lambda product, b, total: product + b + total, [("g", "product"), "b", "sum"], "out")
        td = TensorDictSequential(split, join)(TensorDict(a=torch.tensor(5.0), b=torch.tensor(3.0)))
        assert td["out"].item() == 26.0  # 5 * 3 + 3 + (5 + 3)

    def test_an_entry_updated_in_place(self):
        twice = TensorDictSequential(add(1, "x", "x"), add(1, "x", "x"))
        assert twice.contract == Contract(["x"], ["x"])
        assert twice(zeros())["x"].tolist() == [2.0, 2.0]

    def test_the_tensordict_is_read_once_and_written_once(self):
        class Counting(TensorDict):
            reads, writes = 0, 0

            def __getitem__(self, key):
                Counting.reads += 1
                return super().__getitem__(key)

            def set(self, key, value, **options):
                Counting.writes += 1
                return super().set(key, value, **options)

        chain()(Counting(x=torch.zeros(2)))
        assert (Counting.reads, Counting.writes) == (1, 3)  # x; h, y and z

    def test_no_steps_at_all_are_the_identity(self):
        td = zeros()
        assert TensorDictSequential()(td) is td
        assert (TensorDictSequential().contract, len(TensorDictSequential())) == (Contract(), 0)
        assert TensorDictSequential([])() == ()

    def test_steps_may_share_a_module(self):
        step = add(1, "x", "x")
        assert TensorDictSequential(step, step, step)(zeros())["x"].tolist() == [3.0, 3.0]

    def test_optional_keys_of_a_step(self):
        either = TensorDictModule(lambda h, m: h if m is None else h + m, ["h", "m"], "y", optional_keys="m")
        both = TensorDictSequential(add(1, "x", "h"), either)
        assert both.contract == Contract(["x"], ["h", "y"], ["m"])
        assert both(zeros())["y"].tolist() == [1.0, 1.0]
        assert both(zeros(m=torch.full((2,), 5.0)))["y"].tolist() == [6.0, 6.0]
        assert both(torch.tensor(0.0), torch.tensor(5.0))[1].item() == 6.0

    def test_a_lazy_stack(self):
        stack = lazy_stack([TensorDict(x=torch.zeros(3)), TensorDict(x=torch.ones(3))])
        assert chain()(stack)["z"].tolist() == [[111.0] * 3, [112.0] * 3]

    def test_what_is_carried_is_of_the_whole(self):
        class Cell(TensorDictModuleBase):
            def compute(self, x, h):
                return x + h, x + h

        cell = Cell(["h0", "s"], ["out", ("next", "s")], carries="s")
        assert TensorDictSequential(add(1, "x", "h0"), cell).contract == Contract(
            ["x", "s"], ["h0", "out", ("next", "s")], carries=["s"]
        )


class TestInplace:
    def test_false_empty_and_a_given_one(self):
        td = zeros()
        assert set(chain(inplace=False)(td).keys()) == {"h", "y", "z"}
        like = chain(inplace="empty")(td)
        assert (set(like.keys()), like.batch_size) == ({"h", "y", "z"}, torch.Size([2]))
        out = TensorDict(batch_size=[2])
        assert chain()(td, tensordict_out=out) is out
        assert list(td.keys()) == ["x"]

    @pytest.mark.parametrize("inplace", [False, "empty"])
    def test_what_a_step_says_of_it_does_not_matter_inside(self, inplace):
        whole = TensorDictSequential(add(1, "x", "h", inplace=inplace), add(10, "h", "y", inplace=inplace))
        td = zeros()
        assert whole(td) is td
        assert td["y"].tolist() == [11.0, 11.0]

    @pytest.mark.parametrize("inplace", [False, "empty"])
    def test_nor_beside_a_step_that_needs_a_tensordict(self, inplace):
        whole = TensorDictSequential(add(1, "x", "h", inplace=inplace), Plain(), add(100, "y", "z", inplace=inplace))
        assert whole(zeros())["z"].tolist() == [111.0, 111.0]


class TestSelectOutKeys:
    @pytest.mark.parametrize("opaque", [False, True])
    def test_only_those_are_stored_and_unrelated_entries_are_left_alone(self, opaque):
        whole = TensorDictSequential(add(1, "x", "h"), Plain() if opaque else add(10, "h", "y"), add(100, "y", "z"))
        td = zeros(unrelated=torch.ones(2), h=torch.full((2,), 7.0))
        assert whole.select_out_keys("z") is whole
        whole(td)
        assert set(td.keys()) == {"x", "unrelated", "h", "z"}
        assert td["h"].tolist() == [7.0, 7.0]
        assert (whole.out_keys, whole.contract.writes) == (["z"], ("z",))
        assert whole.reset_out_keys().out_keys == ["h", "y", "z"]
        assert set(whole(zeros()).keys()) == {"x", "h", "y", "z"}

    def test_at_construction(self):
        assert chain(selected_out_keys=["h", "z"]).out_keys == ["h", "z"]
        assert set(chain(selected_out_keys="z")(zeros()).keys()) == {"x", "z"}
        assert chain(selected_out_keys="z")(torch.tensor(0.0)).item() == 111.0

    def test_one_that_no_step_writes_is_refused(self):
        with pytest.raises(KeyError) as caught:
            chain(selected_out_keys=["action"])
        assert str(caught.value) == "'action' cannot be kept, as it is not written; written: 'h', 'y', 'z'. "

    def test_what_a_step_deselects_is_no_output_of_the_whole_and_feeds_no_step(self):
        two = TensorDictModule(lambda x: (x + 1, x + 2), "x", ["h", "k"]).select_out_keys("h")
        whole = TensorDictSequential(two, TensorDictModule(lambda h, k: h + k, ["h", "k"], "y"), external=["k"])
        assert whole.contract == Contract(["x", "k"], ["h", "y"])
        assert whole(zeros(k=torch.full((2,), 50.0)))["y"].tolist() == [51.0, 51.0]

    def test_what_a_step_deselects_later_changes_nothing_as_the_whole_is_resolved_when_it_is_built(self):
        whole = chain()
        whole[1].select_out_keys()
        assert whole.out_keys == ["h", "y", "z"]
        assert whole(zeros())["z"].tolist() == [111.0, 111.0]

    def test_a_selected_sequential_inside_another(self):
        whole = TensorDictSequential(chain(selected_out_keys=["z"]), add(1000, "z", "w"))
        assert whole.out_keys == ["z", "w"]
        td = whole(zeros())
        assert set(td.keys()) == {"x", "z", "w"}
        assert td["w"].tolist() == [1111.0, 1111.0]

    def test_one_inside_may_write_a_key_twice_and_keep_only_some(self):
        inner = TensorDictSequential(
            TensorDictModule(lambda x: (x + 1, x + 2), "x", ["h", "k"]).select_out_keys("h"),
            TensorDictModule(lambda h: h * 10, "h", "h"),
            TensorDictModule(lambda h: (h, h + 1), "h", ["y", "z"]),
            selected_out_keys=["h", "z"],
        )
        outer = TensorDictSequential(add(1, "q", "x"), inner, TensorDictModule(torch.add, ["h", "z"], "w"))
        # x = 0 + 1, h = (1 + 1) * 10, z = 20 + 1, w = 20 + 21
        assert outer.out_keys == ["x", "h", "z", "w"]
        assert [value.item() for value in outer(torch.tensor(0.0))] == [1.0, 20.0, 21.0, 41.0]

    def test_a_deepcopy_of_one_inside_another_runs_its_own_steps(self):
        inner = TensorDictSequential(TensorDictModule(nn.Linear(3, 2), "x", "h"))
        outer = TensorDictSequential(inner, add(1, "h", "y"))
        twin = copy.deepcopy(outer)
        for parameter in twin.parameters():
            nn.init.zeros_(parameter)
        assert twin(torch.ones(1, 3))[1].tolist() == [[1.0, 1.0]]
        assert outer(torch.ones(1, 3))[1].tolist() != [[1.0, 1.0]]


class TestSelectSubsequence:
    def steps_of(self, selected):
        return [step.out_keys for step in selected]

    def fork(self):
        """x -> h -> y, and h, m -> v: a trunk, a head of its own, and one that needs m as well."""
        return TensorDictSequential(
            {
                "trunk": add(1, "x", "h"),
                "head": add(10, "h", "y"),
                "value": TensorDictModule(torch.add, ["h", "m"], "v"),
            }
        )

    def test_by_out_keys_only_what_they_need_is_left(self):
        assert self.steps_of(chain().select_subsequence(out_keys=["y"])) == [["h"], ["y"]]
        assert self.steps_of(self.fork().select_subsequence(out_keys="v")) == [["h"], ["v"]]

    def test_by_in_keys_only_what_can_run_is_left(self):
        assert self.steps_of(self.fork().select_subsequence(in_keys=["x"])) == [["h"], ["y"]]
        assert self.steps_of(self.fork().select_subsequence(in_keys=["h", "m"])) == [["y"], ["v"]]
        assert self.steps_of(chain().select_subsequence(in_keys="y")) == [["z"]]

    def test_by_both(self):
        assert self.steps_of(self.fork().select_subsequence(in_keys=["h", "m"], out_keys=["v"])) == [["v"]]

    def test_by_neither_it_is_a_copy_of_the_same_steps(self):
        whole = chain()
        copy = whole.select_subsequence()
        assert copy is not whole
        assert all(one is other for one, other in zip(copy, whole, strict=True))

    def test_the_names_and_the_parameters_are_kept(self):
        whole = TensorDictSequential({"a": TensorDictModule(nn.Linear(2, 2), "x", "h"), "b": add(1, "h", "y")})
        part = whole.select_subsequence(out_keys=["h"])
        assert list(part.state_dict()) == ["module.a.module.weight", "module.a.module.bias"]
        assert part["a"] is whole["a"]

    def test_an_optional_input_does_not_keep_a_step_from_running(self):
        either = TensorDictModule(lambda h, m: h, ["h", "m"], "y", optional_keys="m")
        assert len(TensorDictSequential(add(1, "x", "h"), either).select_subsequence(in_keys=["x"])) == 2

    def test_what_feeds_an_optional_input_is_kept(self):
        either = TensorDictModule(lambda h, m: h, ["h", "m"], "y", optional_keys="m")
        whole = TensorDictSequential(add(1, "x", "m"), add(1, "x", "q"), either)
        assert self.steps_of(whole.select_subsequence(out_keys=["y"])) == [["m"], ["y"]]

    def test_a_nested_sequential_is_kept_or_left_as_a_whole(self):
        whole = TensorDictSequential(chain(), add(1, "x2", "y2"))
        assert self.steps_of(whole.select_subsequence(out_keys=["y"])) == [["h", "y", "z"]]

    def test_a_part_may_read_what_the_rest_has_written(self):
        """h is read by the second step before the last writes it anew: in the part it comes from outside."""
        whole = TensorDictSequential(add(1, "x", "h"), add(10, "h", "y"), add(100, "y", "h"))
        assert whole.select_subsequence(in_keys=["h"]).contract == Contract(["h"], ["y", "h"])
        assert whole[1:].contract == Contract(["h"], ["y", "h"])

    def test_where_nothing_is_left_it_is_refused(self):
        with pytest.raises(ContractError) as caught:
            chain().select_subsequence(in_keys=["h"], out_keys=["q"])
        assert str(caught.value) == (
            "TensorDictSequential cannot be built: 1 finding.\n"
            "1. select_subsequence(in_keys=['h'], out_keys=['q']) leaves no step.\n"
            "   provided: reads 'x'; writes 'h', 'y', 'z'\n"
            "   ask for keys of these."
        )


class TestNesting:
    def test_keys_and_results_are_those_of_the_flat_chain(self):
        nested = TensorDictSequential(TensorDictSequential(add(1, "x", "h"), add(10, "h", "y")), add(100, "y", "z"))
        assert nested.contract == chain().contract
        assert nested(zeros())["z"].tolist() == [111.0, 111.0]
        deeper = TensorDictSequential(TensorDictSequential(nested), add(1000, "z", "w"))
        assert deeper(torch.tensor(0.0))[-1].item() == 1111.0

    def test_state_dict_names(self):
        inner = TensorDictSequential({"a": TensorDictModule(nn.Linear(2, 2, bias=False), "x", "h")})
        outer = TensorDictSequential(inner, TensorDictModule(nn.Linear(2, 2, bias=False), "h", "y"))
        assert list(outer.state_dict()) == ["module.0.module.a.module.weight", "module.1.module.weight"]


class TestAccess:
    def test_by_position_name_and_slice(self):
        whole = chain()
        assert (whole[0].out_keys, whole[-1].out_keys) == (["h"], ["z"])
        assert whole["1"] is whole[1]
        assert whole[:2].contract == Contract(["x"], ["h", "y"])
        assert whole[::2].contract == Contract(["x", "y"], ["h", "z"])
        assert len(whole[3:]) == 0

    def test_a_slice_shares_the_steps_and_keeps_the_options(self):
        whole = chain(inplace="empty", external=["elsewhere"])
        assert whole[1:][0] is whole[1]
        assert whole[1:].inplace == "empty"
        assert "elsewhere" in whole[1:].external

    def test_names_from_a_dict(self):
        whole = TensorDictSequential({"first": add(1, "x", "h"), "second": add(10, "h", "y")})
        assert whole["second"] is whole[1]
        assert list(whole[1:].module) == ["second"]

    def test_length_and_iteration(self):
        whole = chain()
        assert (len(whole), [step.out_keys for step in whole]) == (3, [["h"], ["y"], ["z"]])
        assert list(whole)[-1] is whole[-1]

    @pytest.mark.parametrize(("index", "kind"), [(3, IndexError), (-4, IndexError), ("head", KeyError)])
    def test_a_step_that_is_not_there(self, index, kind):
        with pytest.raises(kind) as caught:
            _ = chain()[index]
        assert caught.value.args[0] == f"TensorDictSequential has no step {index!r}; its steps are ['0', '1', '2']."

    def test_steps_cannot_be_exchanged_so_that_keys_never_go_stale(self):
        """The established library lets them be, and goes on to state the old keys."""
        whole = chain()
        with pytest.raises(TypeError, match="does not support item assignment"):
            whole[0] = add(1, "q", "h")
        with pytest.raises(TypeError, match="doesn't support item deletion"):
            del whole[0]
        assert not hasattr(whole, "append")
        assert not hasattr(whole, "insert")

    @pytest.mark.parametrize("name", ["in_keys", "out_keys"])
    def test_nor_can_its_keys_be_set(self, name):
        whole = chain()
        with pytest.raises(AttributeError) as caught:
            setattr(whole, name, ["q"])
        assert str(caught.value) == (
            "TensorDictSequential takes its keys from its steps: build it anew, or use select_out_keys."
        )
        assert whole.contract == Contract(["x"], ["h", "y", "z"])


class TestErrors:
    def test_a_missing_key_names_the_step_that_reads_it(self):
        with pytest.raises(MissingKeyError) as caught:
            TensorDictSequential(TensorDictModule(nn.Linear(4, 8), "observation", "h"), add(1, ["h"], "y"))(
                TensorDict(obsrvation=torch.ones(2, 4), reward=torch.ones(2))
            )
        assert str(caught.value) == (
            "TensorDictSequential, step 0 (Linear 4 -> 8) cannot run: it reads 'observation', which the TensorDict "
            "does not hold.\n"
            "   the TensorDict holds: 'obsrvation', 'reward'\n"
            "   did you mean 'obsrvation'? Store the entry under 'observation', or let another be read: "
            "renamed({'observation': ...})."
        )

    def test_also_where_steps_have_names_and_it_is_a_later_one(self):
        whole = TensorDictSequential({"a": add(1, "x", "h"), "b": TensorDictModule(torch.add, ["h", "m"], "y")})
        with pytest.raises(MissingKeyError, match=r"^TensorDictSequential, step b \(add\) cannot run: it reads 'm'"):
            whole(zeros())

    @pytest.mark.parametrize("name", ["broken", None])
    def test_an_exception_keeps_its_type_and_names_step_keys_and_shapes(self, name):
        first, second = TensorDictModule(nn.Linear(4, 8), "x", "h"), TensorDictModule(nn.Linear(7, 2), "h", ["y"])
        whole = TensorDictSequential({"first": first, name: second} if name else [first, second])
        with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied") as caught:
            whole(TensorDict(x=torch.ones(2, 4), batch_size=[2]))
        assert caught.value.__notes__ == [
            f"in step {name or 1} (Linear 7 -> 2): 'h' float32[2, 8] -> 'y'",
            "in TensorDictSequential: 'x' float32[2, 4] -> 'h', 'y'",
        ]

    def test_in_a_nested_one_every_level_is_named(self):
        def fail(h):
            raise ZeroDivisionError("no")

        inner = TensorDictSequential({"a": add(1, "x", "h"), "b": TensorDictModule(fail, "h", "y")})
        with pytest.raises(ZeroDivisionError) as caught:
            TensorDictSequential(add(1, "q", "x"), inner)(TensorDict(q=torch.zeros(2)))
        assert caught.value.__notes__ == [
            "in step b (fail): 'h' float32[2] -> 'y'",
            "in step 1 (TensorDictSequential): 'x' float32[2] -> 'h', 'y'",
            "in TensorDictSequential: 'q' float32[2] -> 'x', 'h', 'y'",
        ]

    def test_where_steps_run_on_a_tensordict_too(self):
        def fail(y):
            raise ZeroDivisionError("no")

        whole = TensorDictSequential(add(1, "x", "h"), Plain(), TensorDictModule(fail, "y", "z"))
        with pytest.raises(ZeroDivisionError) as caught:
            whole(zeros())
        assert caught.value.__notes__ == [
            "in TensorDictModule (fail): 'y' float32[2] -> 'z'",
            "in step 2 (fail) of TensorDictSequential",
        ]

    @pytest.mark.parametrize("middle", [add(10, "h", "y"), Plain()])
    def test_a_failing_step_writes_nothing(self, middle):
        def fail(y):
            raise ZeroDivisionError("no")

        td = zeros()
        with pytest.raises(ZeroDivisionError):
            TensorDictSequential(add(1, "x", "h"), middle, TensorDictModule(fail, "y", "z"))(td)
        assert list(td.keys()) == ["x"]
        assert td["x"].tolist() == [0.0, 0.0]

    def test_a_locked_tensordict_is_left_as_it_is(self):
        td = zeros().lock_()
        with pytest.raises(RuntimeError, match="Cannot modify locked TensorDict") as caught:
            chain()(td)
        assert caught.value.__notes__ == ["in TensorDictSequential, storing 'h' in a TensorDict of batch size [2]"]
        assert list(td.keys()) == ["x"]
