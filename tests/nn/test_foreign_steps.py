"""Steps of another library, and of users who override ``forward``: they run on TensorDicts, among all the others."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule as ForeignModule
from tensordict.nn import TensorDictSequential as ForeignSequential
from torch import nn

from keywork._errors import ContractError, MissingKeyError
from keywork.nn import Contract, TensorDictModule, TensorDictModuleBase, TensorDictSequential


def add(number, reads, writes):
    return TensorDictModule(lambda x: x + number, reads, writes)


def zeros(**more):
    return TensorDict(x=torch.zeros(2), **more, batch_size=[2])


class Plain(TensorDictModuleBase):
    """A user's own, over TensorDicts."""

    in_keys = ["h"]
    out_keys = ["y"]

    def forward(self, tensordict):
        return tensordict.set("y", tensordict["h"] + 10)


class TestForeignSteps:
    def foreign(self):
        return ForeignModule(nn.Linear(2, 3), in_keys=["x"], out_keys=["h"])

    def test_a_module_of_the_established_library_is_a_step(self):
        theirs = self.foreign()
        whole = TensorDictSequential(theirs, add(1, "h", "y"))
        assert whole.contract == Contract(["x"], ["h", "y"])
        td = whole(TensorDict(x=torch.ones(4, 2), batch_size=[4]))
        assert torch.equal(td["y"], theirs.module(td["x"]) + 1)
        assert torch.equal(whole(td["x"])[1], td["y"])

    def test_its_parameters_are_shared(self):
        theirs = self.foreign()
        whole = TensorDictSequential(theirs)
        assert next(iter(whole.parameters())) is theirs.module.weight

    def test_a_whole_sequence_of_it_with_steps_whose_keys_nobody_knows(self):
        theirs = ForeignSequential(lambda td: td.set("hidden_from_us", td["x"]), self.foreign())
        td = TensorDictSequential(theirs, add(1, "h", "y"))(TensorDict(x=torch.ones(4, 2), batch_size=[4]))
        assert set(td.keys()) == {"x", "h", "y"}

    def test_its_missing_keys_are_found_before_it_would_turn_them_into_none(self):
        tolerant = ForeignModule(lambda x: torch.zeros(2) if x is None else x, in_keys=["x"], out_keys=["h"])
        with pytest.raises(MissingKeyError, match="it reads 'x'"):
            TensorDictSequential(tolerant)(TensorDict(q=torch.ones(2)))

    def test_the_chain_around_it_is_checked(self):
        with pytest.raises(ContractError, match=r"step 1 \(<lambda>\) reads 'hidden', which nothing before it writes"):
            TensorDictSequential(
                ForeignModule(nn.Linear(2, 3), in_keys=["x"], out_keys=["hiden"]), add(1, "hidden", "y")
            )

    def test_anything_with_keys_that_is_called_on_a_tensordict_will_do(self):
        class Theirs(nn.Module):
            in_keys = ("x",)
            out_keys = ["h"]

            def forward(self, tensordict):
                return TensorDict(h=tensordict["x"] + 1)

        whole = TensorDictSequential(Theirs(), add(10, "h", "y"))
        assert whole(zeros())["y"].tolist() == [11.0, 11.0]


class TestOpaqueSteps:
    """Steps that override ``forward(td)``: the whole then runs on TensorDicts, and does the same."""

    def test_on_a_tensordict_and_on_tensors(self):
        whole = TensorDictSequential(add(1, "x", "h"), Plain(), add(100, "y", "z"))
        assert whole.opaque
        assert not TensorDictSequential(add(1, "x", "h")).opaque
        assert whole(zeros())["z"].tolist() == [111.0, 111.0]
        assert whole(torch.zeros(2))[2].tolist() == [111.0, 111.0]

    def test_inside_another_sequential(self):
        inner = TensorDictSequential(add(1, "x", "h"), Plain())
        assert TensorDictSequential(inner, add(100, "y", "z"))(torch.zeros(2))[2].tolist() == [111.0, 111.0]

    def test_the_step_sees_the_batch_size_and_what_else_is_there(self):
        seen = []

        class Looking(Plain):
            def forward(self, tensordict):
                seen.append((tensordict.batch_size, "unrelated" in tensordict))
                return super().forward(tensordict)

        TensorDictSequential(add(1, "x", "h"), Looking())(zeros(unrelated=torch.ones(2)))
        assert seen == [(torch.Size([2]), True)]

    def test_an_absent_optional_key_stays_absent(self):
        either = TensorDictModule(lambda y, m: y if m is None else y + m, ["y", "m"], "z", optional_keys="m")
        whole = TensorDictSequential(add(1, "x", "h"), Plain(), either)
        assert whole(zeros())["z"].tolist() == [11.0, 11.0]
        assert whole(torch.zeros(2))[2].tolist() == [11.0, 11.0]

    def test_a_sequential_whose_forward_is_overridden(self):
        class Doubled(TensorDictSequential):
            def forward(self, tensordict, **options):
                td = super().forward(tensordict, **options)
                return td.set("y", 2 * td["y"])

        whole = TensorDictSequential(Doubled(add(1, "x", "h"), add(10, "h", "y")), add(100, "y", "z"))
        assert whole(zeros())["z"].tolist() == [122.0, 122.0]  # 2 * (0 + 1 + 10) + 100
