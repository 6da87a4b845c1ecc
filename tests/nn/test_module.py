from __future__ import annotations

from collections import OrderedDict, namedtuple

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError, MissingKeyError, OutputError
from keywork.nn import Contract, TensorDictModule


def minus(a, b):
    return a - b


def ones(**more):
    return TensorDict(x=torch.ones(2, 3), **more, batch_size=[2])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, x):
        return self.layer(x)

    def encode(self, x, *, scale=1.0):
        return scale * x


class TestInKeys:
    def test_a_string_is_one_key(self):
        assert TensorDictModule(torch.tanh, "x", "y").contract == Contract(["x"], ["y"])

    def test_a_tuple_is_one_nested_key(self):
        module = TensorDictModule(torch.neg, ("next", "x"), ("next", "y"))
        td = module(TensorDict({("next", "x"): torch.ones(2)}))
        assert td["next", "y"].tolist() == [-1.0, -1.0]

    def test_a_list_is_the_arguments_in_order(self):
        module = TensorDictModule(minus, ["p", ("q", "r")], "y")
        td = TensorDict({"p": torch.tensor(5.0), ("q", "r"): torch.tensor(3.0)})
        assert module(td)["y"].item() == 2.0

    def test_a_dict_is_from_argument_names_to_keys(self):
        module = TensorDictModule(minus, {"b": "p", "a": ("q", "r")}, "y")
        td = TensorDict({"p": torch.tensor(5.0), ("q", "r"): torch.tensor(3.0)})
        assert module(td)["y"].item() == -2.0  # a - b = 3 - 5
        assert module.in_keys == ["p", ("q", "r")]

    def test_the_other_way_round_it_is_from_keys_to_argument_names(self):
        module = TensorDictModule(minus, {"p": "b", ("q", "r"): "a"}, "y", out_to_in_map=False)
        td = TensorDict({"p": torch.tensor(5.0), ("q", "r"): torch.tensor(3.0)})
        assert module(td)["y"].item() == -2.0

    def test_with_a_dict_too_tensors_are_given_by_key(self):
        module = TensorDictModule(minus, {"b": "p", "a": ("q", "r")}, "y")
        assert module(torch.tensor(5.0), q_r=torch.tensor(3.0)).item() == -2.0

    def test_one_entry_for_two_arguments(self):
        module = TensorDictModule(minus, {"a": "x", "b": "x"}, "y")
        assert module(ones())["y"].abs().sum() == 0
        assert module.contract == Contract(["x"], ["y"])

    def test_no_keys_at_all(self):
        module = TensorDictModule(lambda: torch.ones(2), [], "y")
        assert module(TensorDict(batch_size=[2]))["y"].tolist() == [1.0, 1.0]

    def test_an_optional_one_is_none_to_the_wrapped_function(self):
        module = TensorDictModule(lambda a, b: a if b is None else a - b, ["a", "b"], "y", optional_keys=["b"])
        assert module(TensorDict(a=torch.tensor(5.0)))["y"].item() == 5.0
        assert module(TensorDict(a=torch.tensor(5.0), b=torch.tensor(3.0)))["y"].item() == 2.0

    def test_an_optional_one_that_was_not_among_in_keys_comes_last(self):
        module = TensorDictModule(lambda a, b: a if b is None else a - b, ["a"], "y", optional_keys="b")
        assert module.contract == Contract(["a"], ["y"], ["b"])
        assert module(torch.tensor(5.0), torch.tensor(3.0)).item() == 2.0

    @pytest.mark.parametrize("keys", [3, [3], "", [""], {"a": 3}])
    def test_what_is_no_key_is_refused(self, keys):
        with pytest.raises(TypeError):
            TensorDictModule(minus, keys, "y")


def both(x):
    return x, 2 * x


Pair = namedtuple("Pair", ["first", "second"])


class TestOutputs:
    @pytest.mark.parametrize(
        "function",
        [
            both,
            lambda x: [x, 2 * x],
            lambda x: Pair(x, 2 * x),
            lambda x: {"z": 2 * x, "other": 3 * x, "y": x},
            lambda x: OrderedDict(z=2 * x, y=x),
            lambda x: TensorDict(z=2 * x, y=x, batch_size=[2]),
        ],
        ids=["tuple", "list", "namedtuple", "dict", "OrderedDict", "TensorDict"],
    )
    def test_several(self, function):
        td = TensorDictModule(function, "x", ["y", "z"])(ones())
        assert set(td.keys()) == {"x", "y", "z"}
        assert (td["y"].sum().item(), td["z"].sum().item()) == (6.0, 12.0)

    @pytest.mark.parametrize(
        "function", [lambda x: x, lambda x: (x,), lambda x: [x], lambda x: {"y": x}, lambda x: TensorDict(y=x)]
    )
    def test_a_single_one(self, function):
        td = TensorDictModule(function, "x", ["y"])(ones())
        assert torch.equal(td["y"], td["x"])

    def test_nested_ones_by_name(self):
        module = TensorDictModule(lambda x: {"g": {"y": x}, "z": 2 * x}, "x", ["z", ("g", "y")])
        td = module(ones())
        assert (td["g", "y"].sum().item(), td["z"].sum().item()) == (6.0, 12.0)

    def test_none_where_there_are_no_out_keys(self):
        assert list(TensorDictModule(lambda x: None, "x", [])(ones()).keys()) == ["x"]

    def test_a_tensordict_of_other_names_is_a_group_of_its_own(self):
        td = TensorDictModule(lambda x: TensorDict(a=x), "x", "group")(ones())
        assert torch.equal(td["group", "a"], td["x"])
        assert td["group"].batch_size == torch.Size([2])

    def test_numbers_and_strings_can_be_stored(self):
        td = TensorDictModule(lambda x: (0.5, "word"), "x", ["number", "word"])(TensorDict(x=torch.ones(2)))
        assert (td["number"].item(), td["word"]) == (0.5, "word")


class TestSinks:
    @pytest.mark.parametrize(("keys", "kept"), [(["_", "z"], {"z": 12.0}), (["y", "_"], {"y": 6.0}), (["_", "_"], {})])
    def test_a_sink_drops_an_output(self, keys, kept):
        module = TensorDictModule(both, "x", keys)
        assert module.out_keys == list(kept)
        td = module(ones())
        assert {key: td[key].sum().item() for key in td.keys() if key != "x"} == kept  # noqa: SIM118

    def test_a_single_output_may_be_dropped_too(self):
        assert list(TensorDictModule(torch.tanh, "x", "_")(ones()).keys()) == ["x"]

    def test_a_call_on_tensors_leaves_it_out(self):
        """The established library looks for an entry of the name '_' and fails."""
        assert TensorDictModule(both, "x", ["_", "z"])(torch.tensor(1.0)).item() == 2.0
        first, third = TensorDictModule(lambda x: (x, 2 * x, 3 * x), "x", ["y", "_", "z"])(torch.tensor(1.0))
        assert (first.item(), third.item()) == (1.0, 3.0)

    def test_in_a_list_of_names_a_sink_counts_for_nothing(self):
        assert TensorDictModule(lambda x: {"y": x}, "x", ["_", "y"])(torch.tensor(1.0)).item() == 1.0


class TestWrongOutputs:
    def test_too_many(self):
        with pytest.raises(OutputError) as caught:
            TensorDictModule(nn.Sequential(nn.Linear(3, 4), nn.Identity()), "x", ["y", "z"])(ones())
        assert str(caught.value) == (
            "TensorDictModule (Sequential 3 -> 4) cannot store its result: it returned 1 outputs (float32[2, 4]), for "
            "out_keys=['y', 'z'] (2).\n"
            "   Name one key for each, and '_' for one to drop."
        )

    def test_too_few(self):
        with pytest.raises(OutputError) as caught:
            TensorDictModule(both, "x", ["y", "_", ("g", "z")])(ones())
        assert str(caught.value) == (
            "TensorDictModule (both) cannot store its result: it returned 2 outputs (float32[2, 3], float32[2, 3]), "
            "for out_keys=['y', '_', ('g', 'z')] (3).\n"
            "   Name one key for each, and '_' for one to drop."
        )

    def test_a_tuple_for_one_key(self):
        with pytest.raises(
            OutputError, match=r"returned 2 outputs \(float32\[2, 3\], float32\[2, 3\]\), for out_keys="
        ):
            TensorDictModule(both, "x", "y")(ones())

    def test_nothing(self):
        with pytest.raises(OutputError, match=r"it returned 0 outputs \(nothing\), for out_keys=\['y'\] \(1\)"):
            TensorDictModule(lambda x: None, "x", "y")(ones())

    def test_something_for_no_key(self):
        with pytest.raises(OutputError, match=r"it returned 1 outputs \(float32\[2, 3\]\), for out_keys=\[\] \(0\)"):
            TensorDictModule(torch.tanh, "x", [])(ones())

    @pytest.mark.parametrize("keys", [["y"], ["y", "z"]])
    def test_a_mapping_of_other_names(self, keys):
        with pytest.raises(OutputError) as caught:
            TensorDictModule(lambda x: {"z": x, "w": {"v": x}}, "x", keys)(ones())
        assert str(caught.value) == (
            "TensorDictModule (<lambda>) cannot store its result: it returned a mapping with the keys "
            f"['z', ('w', 'v')], for out_keys={keys} ({len(keys)}).\n"
            "   Name the keys as it does."
        )

    def test_nothing_has_been_written(self):
        td = ones()
        with pytest.raises(ValueError):
            TensorDictModule(both, "x", ["y"])(td)
        assert list(td.keys()) == ["x"]


class TestWrapped:
    def test_methods_and_their_keywords(self):
        module = TensorDictModule(Net(), "x", "y", method="encode", method_kwargs={"scale": 3.0})
        assert module(ones())["y"].tolist() == [[3.0] * 3] * 2
        assert TensorDictModule(Net(), {"x": "x"}, "y", method="encode")(ones())["y"].tolist() == [[1.0] * 3] * 2

    def test_keywords_without_a_method(self):
        td = TensorDictModule(torch.sum, "x", "y", method_kwargs={"dim": -1})(ones())
        assert td["y"].tolist() == [3.0, 3.0]

    def test_keywords_that_are_changed_afterwards_change_nothing(self):
        options = {"dim": -1}
        module = TensorDictModule(torch.sum, "x", "y", method_kwargs=options)
        options["dim"] = 0
        assert module(ones())["y"].tolist() == [3.0, 3.0]

    def test_a_lazy_layer_takes_its_size_from_the_first_call(self):
        module = TensorDictModule(nn.LazyLinear(4), "x", "y")
        assert module(ones())["y"].shape == (2, 4)
        assert module.module.weight.shape == (4, 3)
        assert module.label == "TensorDictModule (Linear 3 -> 4)"

    def test_a_callable_object_and_a_bound_method(self):
        class Scale:
            def __call__(self, x):
                return 4 * x

            def __len__(self):
                return 0  # an object that counts as false is callable all the same

        assert TensorDictModule(Scale(), "x", "y")(torch.tensor(1.0)).item() == 4.0
        assert TensorDictModule(torch.ones(2, 3).mul, "x", "y")(torch.tensor(2.0)).sum().item() == 12.0

    def test_an_empty_network_counts_as_false_and_is_called_all_the_same(self):
        assert TensorDictModule(nn.Sequential(), "x", "y")(torch.tensor(1.0)).item() == 1.0

    @pytest.mark.parametrize("first", [torch.neg, nn.Tanh()])
    @pytest.mark.parametrize("second", [torch.square, nn.Flatten(0)])
    def test_what_is_wrapped_may_be_replaced(self, first, second):
        module = TensorDictModule(first, "x", "y")
        del module.module
        module.module = second
        assert torch.equal(module(torch.tensor([3.0])), second(torch.tensor([3.0])))

    def test_a_subclass_may_have_networks_besides_what_it_wraps(self):
        class Twice(TensorDictModule):
            def __init__(self, function):
                super().__init__(function, "x", "y")
                self.another = nn.Linear(1, 1)

        assert Twice(torch.neg)(torch.tensor(1.0)).item() == -1.0

    def test_attributes_of_the_wrapped_network_are_at_hand(self):
        module = TensorDictModule(nn.Linear(3, 4), "x", "y")
        assert module.in_features == 3
        assert module.weight is module.module.weight
        with pytest.raises(AttributeError, match="no attribute 'wight'"):
            _ = module.wight
        with pytest.raises(AttributeError):
            _ = TensorDictModule(torch.tanh, "x", "y").weight

    def test_private_attributes_are_not(self):
        net = Net()
        net._secret = 3
        with pytest.raises(AttributeError):
            _ = TensorDictModule(net, "x", "y")._secret

    def test_its_name_in_messages(self):
        assert TensorDictModule(nn.Linear(3, 4), "x", "y").label == "TensorDictModule (Linear 3 -> 4)"
        assert TensorDictModule(minus, ["a", "b"], "y").label == "TensorDictModule (minus)"

    def test_its_parameters_are_under_module(self):
        assert list(TensorDictModule(nn.Linear(3, 4), "x", "y").state_dict()) == ["module.weight", "module.bias"]


class TestConstruction:
    def test_a_class_in_place_of_an_instance(self):
        with pytest.raises(ContractError) as caught:
            TensorDictModule(nn.Linear, "x", "y")
        assert str(caught.value) == (
            "TensorDictModule cannot be built: 1 finding.\n"
            "1. module is the class Linear, not an instance of it.\n"
            "   pass an nn.Module or a function: TensorDictModule(nn.Linear(4, 2), in_keys=[...], out_keys=[...])."
        )

    def test_what_cannot_be_called(self):
        with pytest.raises(ContractError, match=r"1\. module \(Tensor\) cannot be called\.\n"):
            TensorDictModule(torch.ones(2), "x", "y")

    def test_a_method_that_is_not_there(self):
        with pytest.raises(ContractError, match=r"1\. module \(Net\) has no method 'decode'\.\n"):
            TensorDictModule(Net(), "x", "y", method="decode")

    def test_a_method_of_an_object_that_cannot_be_called_itself(self):
        assert TensorDictModule("a-b", [], "y", method="upper")() == "A-B"

    def test_the_errors_are_value_errors_and_key_errors(self):
        for kind in (ValueError, KeyError):
            with pytest.raises(kind) as caught:
                TensorDictModule(both, "x", ["y", "_", "y", "_"])
        assert str(caught.value) == (
            "TensorDictModule cannot be built: 1 finding.\n"
            "1. out_keys names 'y' more than once.\n"
            "   provided: out_keys=('y', 'y')\n"
            "   give each output its own key, or '_' for one to drop."
        )


class TestErrorsAtTheCall:
    def test_an_exception_of_the_network_keeps_its_type_and_gains_a_note(self):
        module = TensorDictModule(nn.Linear(4, 2), ["observation"], ["loc", ("g", "scale")])
        with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied") as caught:
            module(TensorDict(observation=torch.ones(2, 3), batch_size=[2]))
        assert type(caught.value) is RuntimeError
        assert caught.value.__notes__ == [
            "in TensorDictModule (Linear 4 -> 2): 'observation' float32[2, 3] -> 'loc', ('g', 'scale')"
        ]

    def test_so_does_one_of_the_users_own(self):
        class MineError(Exception):
            pass

        def fail(a, b):
            raise MineError("mine")

        with pytest.raises(MineError) as caught:
            TensorDictModule(fail, {"a": "x", "b": "n"}, "y")(ones(n="word"))
        assert caught.value.__notes__ == ["in TensorDictModule (fail): 'x' float32[2, 3], 'n' str -> 'y'"]

    def test_a_missing_key_names_the_network(self):
        with pytest.raises(MissingKeyError) as caught:
            TensorDictModule(nn.Linear(4, 2), ["observation"], ["y"])(TensorDict(obsrvation=torch.ones(2)))
        assert str(caught.value) == (
            "TensorDictModule (Linear 4 -> 2) cannot run: it reads 'observation', which the TensorDict does not hold.\n"
            "   the TensorDict holds: 'obsrvation'\n"
            "   did you mean 'obsrvation'? Store the entry under 'observation', change in_keys, or declare it with "
            "optional_keys=['observation']."
        )
