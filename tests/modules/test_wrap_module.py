import copy
import pickle

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError, MissingKeyError, OutputError
from keywork.modules import WrapModule, as_tensordict_module
from keywork.nn import TensorDictModule, TensorDictSequential


def twice(td: TensorDict) -> TensorDict:
    return td.set("y", 2 * td["x"])


def anew(td: TensorDict) -> TensorDict:
    return TensorDict(y=2 * td["x"], batch_size=td.batch_size)


@as_tensordict_module(in_keys=["x"], out_keys=["y"])
def doubled(x):
    """Twice x."""
    return 2 * x


def entries() -> TensorDict:
    return TensorDict(x=torch.arange(3.0), z=torch.ones(3), batch_size=[3])


class TestWrapModule:
    def test_calls_the_function_on_the_whole_tensordict(self):
        td = entries()
        result = WrapModule(twice)(td)
        assert result is td
        assert td["y"].tolist() == [0.0, 2.0, 4.0]

    def test_a_new_tensordict_is_returned_as_it_is(self):
        td = entries()
        result = WrapModule(anew)(td)
        assert set(result.keys()) == {"y"}
        assert set(td.keys()) == {"x", "z"}

    def test_inplace_its_entries_are_stored_in_the_given_one(self):
        td = entries()
        assert WrapModule(anew, inplace=True)(td) is td
        assert set(td.keys()) == {"x", "y", "z"}

    def test_or_in_another_one(self):
        out = TensorDict(batch_size=[3])
        assert WrapModule(anew)(entries(), tensordict_out=out) is out
        assert set(out.keys()) == {"y"}

    @pytest.mark.parametrize("function", [twice, anew])
    def test_is_a_step_of_a_sequential(self, function):
        step = WrapModule(function, in_keys=["x"], out_keys=["y"])
        chain = TensorDictSequential(step, TensorDictModule(lambda y: y + 1.0, ["y"], ["w"]))
        assert (chain.in_keys, chain.out_keys) == (["x"], ["y", "w"])
        assert chain(entries())["w"].tolist() == [1.0, 3.0, 5.0]

    @pytest.mark.parametrize("inplace", [False, True])
    @pytest.mark.parametrize("anew", [False, True])
    def test_outputs_that_are_deselected_are_not_stored(self, inplace, anew):
        def both(td):
            result = {"y": td["x"] + 1, "z": td["x"] + 2}
            return TensorDict(result, td.batch_size) if anew else td.update(result)

        module = WrapModule(both, inplace=inplace, in_keys="x", out_keys=["y", "z"]).select_out_keys("z")
        td = TensorDict(x=torch.zeros(3), y=torch.full((3,), 9.0), batch_size=[3])
        out = module(td)
        assert out["z"].tolist() == [2.0] * 3
        assert td["y"].tolist() == [9.0] * 3  # as it was
        assert (out.get("y", None) is not None) == (out is td) and (out is td) == (inplace or not anew)
        other = module(td, tensordict_out=TensorDict(batch_size=[3]))
        assert list(other.keys()) == ["z"]
        assert module.reset_out_keys()(td)["y"].tolist() == [1.0] * 3

    def test_an_absent_input_is_named(self):
        with pytest.raises(MissingKeyError, match=r"WrapModule \(twice\) cannot run: it reads 'q'"):
            WrapModule(twice, in_keys=["q"])(entries())

    def test_a_promised_entry_that_is_absent_is_named(self):
        with pytest.raises(OutputError) as error:
            WrapModule(twice, out_keys=["y", ("next", "y")])(entries())
        assert str(error.value) == (
            "WrapModule (twice) did not write ('next', 'y'), which its out_keys promise.\n"
            "   its result holds: 'x', 'z', 'y'\n"
            "   Store the entry, or leave its key out of out_keys."
        )

    def test_a_function_that_returns_nothing_is_refused(self):
        def forgetful(td):
            td["y"] = td["x"]

        with pytest.raises(OutputError) as error:
            WrapModule(forgetful)(entries())
        assert str(error.value) == (
            "WrapModule (forgetful) cannot hand on its result: it returned a NoneType, for a TensorDict.\n"
            "   Return the TensorDict, also where it was changed in place."
        )

    def test_tensors_are_refused(self):
        with pytest.raises(TypeError, match=r"WrapModule \(twice\) takes one TensorDict, as its function does"):
            WrapModule(twice, in_keys=["x"])(torch.ones(3))

    @pytest.mark.parametrize("thing", [3, nn.Linear])
    def test_what_cannot_be_called_is_refused(self, thing):
        with pytest.raises(ContractError, match="cannot be called on a TensorDict"):
            WrapModule(thing)

    def test_a_network_that_it_wraps_is_its_own(self):
        class Net(nn.Linear):
            def forward(self, td):
                return td.set("y", super().forward(td["x"]))

        wrapped = WrapModule(Net(3, 1), in_keys=["x"], out_keys=["y"])
        assert len(list(wrapped.parameters())) == 2


class TestDecorator:
    def test_makes_a_key_module_of_a_function(self):
        assert isinstance(doubled, TensorDictModule)
        assert (doubled.in_keys, doubled.out_keys, doubled.__doc__) == (["x"], ["y"], "Twice x.")
        assert doubled(entries())["y"].tolist() == [0.0, 2.0, 4.0]
        assert doubled(torch.ones(2)).tolist() == [2.0, 2.0]

    def test_makes_a_key_module_of_a_method(self):
        class Scale:
            def __init__(self, by):
                self.by = by

            @as_tensordict_module(in_keys={"value": ("a", "x")}, out_keys=[("a", "y")])
            def scaled(self, value):
                return self.by * value

        module = Scale(3.0).scaled
        assert (module.in_keys, module.out_keys) == ([("a", "x")], [("a", "y")])
        assert module(TensorDict({("a", "x"): torch.ones(2)}, batch_size=[2]))["a", "y"].tolist() == [3.0, 3.0]
        assert Scale(5.0).scaled(a_x=torch.ones(1)).tolist() == [5.0]

    def test_is_a_step_of_a_sequential_that_can_be_copied_and_sent(self):
        chain = TensorDictSequential(doubled, TensorDictModule(nn.Identity(), ["y"], ["w"]))
        for other in (chain, copy.deepcopy(chain), pickle.loads(pickle.dumps(chain))):
            assert other(entries())["w"].tolist() == [0.0, 2.0, 4.0]

    def test_names_its_outputs_as_a_module_does(self):
        @as_tensordict_module(in_keys=["x"], out_keys=["y", "_"])
        def both(x):
            return x, -x

        assert both.out_keys == ["y"]
        with pytest.raises(OutputError, match="returned 2 outputs"):
            as_tensordict_module(in_keys=["x"], out_keys=["y"])(lambda x: (x, x))(entries())
