from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError
from keywork.nn import Contract, TensorDictModule, TensorDictModuleBase, TensorDictSequential
from keywork.nn._check import Step, check_chain


def linear(reads, writes, widths=(4, 8), **options):
    return TensorDictModule(nn.Linear(*widths), reads, writes, **options)


def step(reads, writes, optional=(), carries=()):
    """A step that is never run."""

    class Declared(TensorDictModuleBase):
        pass

    return Declared(reads, writes, optional_keys=optional, carries=carries)


def message_of(*steps, **options):
    with pytest.raises(ContractError) as caught:
        TensorDictSequential(*steps, **options)
    return str(caught.value)


class TestFindings:
    def test_a_near_miss(self):
        """The message that the design shows."""
        encoder, head = linear("observation", "hiden", (4, 64)), linear("hidden", "logits", (64, 2))
        assert message_of(encoder, head) == (
            "TensorDictSequential cannot be built: 1 finding.\n"
            "1. step 1 (Linear 64 -> 2) reads 'hidden', which nothing before it writes.\n"
            "   provided: 'observation' (input), 'hiden' (written by step 0, read by no one)\n"
            "   did you mean 'hiden'? Rename one of the two, or pass external=['hidden'] if it comes from outside."
        )

    def test_with_names_the_steps_are_called_by_them(self):
        steps = {"encoder": linear("observation", "hiden", (4, 64)), "head": linear("hidden", "logits", (64, 2))}
        assert message_of(steps) == (
            "TensorDictSequential cannot be built: 1 finding.\n"
            "1. step head (Linear 64 -> 2) reads 'hidden', which nothing before it writes.\n"
            "   provided: 'observation' (input), 'hiden' (written by step encoder, read by no one)\n"
            "   did you mean 'hiden'? Rename one of the two, or pass external=['hidden'] if it comes from outside."
        )

    def test_a_consumer_before_its_producer(self):
        assert message_of(linear("hidden", "logits", (8, 2)), linear("observation", "hidden")) == (
            "TensorDictSequential cannot be built: 1 finding.\n"
            "1. step 0 (Linear 8 -> 2) reads 'hidden' before step 1 (Linear 4 -> 8) writes it.\n"
            "   provided: nothing\n"
            "   move step 1 (Linear 4 -> 8) before step 0 (Linear 8 -> 2), or pass external=['hidden'] if this one "
            "comes from outside."
        )

    def test_one_key_written_twice_with_no_reader_between(self):
        assert message_of(linear("observation", "action"), linear("state", ["_", "action"])) == (
            "TensorDictSequential cannot be built: 1 finding.\n"
            "1. step 0 (Linear 4 -> 8) and step 1 (Linear 4 -> 8) both write 'action', and nothing reads it between.\n"
            "   provided: 'action' by the first, 'action' by the second\n"
            "   the first is lost: give one another key, such as 'action_2', or '_' to drop it."
        )

    def test_a_tensor_written_inside_of(self):
        first, second = linear("observation", ["state", "z"]), TensorDictModule(torch.tanh, "x", ("state", "value"))
        expected = (
            "TensorDictSequential cannot be built: 1 finding.\n"
            "1. step {} (Linear 4 -> 8) writes 'state', and step {} (tanh) writes ('state', 'value') inside it.\n"
            "   provided: 'state', 'z'\n"
            "   an entry is a tensor or a group of entries: rename 'state', or pass external=[('state', 'value')]."
        )
        assert message_of(first, second) == expected.format(0, 1)
        assert message_of(second, first) == expected.format(1, 0)

    def test_a_tensor_read_inside_of(self):
        assert message_of(linear("observation", "state"), TensorDictModule(torch.tanh, ("state", "v"), "z")) == (
            "TensorDictSequential cannot be built: 1 finding.\n"
            "1. step 0 (Linear 4 -> 8) writes 'state', and step 1 (tanh) reads ('state', 'v') inside it.\n"
            "   provided: 'state'\n"
            "   an entry is a tensor or a group of entries: rename 'state', or pass external=[('state', 'v')]."
        )

    def test_what_does_not_say_what_it_reads_and_writes(self):
        assert message_of(nn.Linear(4, 8), linear("x", "y"), torch.tanh) == (
            "TensorDictSequential cannot be built: 2 findings.\n"
            "1. step 0 is Linear 4 -> 8, which does not say what it reads and writes.\n"
            "   wrap it: TensorDictModule(module, in_keys=[...], out_keys=[...]).\n"
            "2. step 2 is tanh, which does not say what it reads and writes.\n"
            "   wrap it: TensorDictModule(module, in_keys=[...], out_keys=[...])."
        )

    def test_all_findings_come_at_once_and_numbered(self):
        chain = (
            linear("h", "a", (8, 2)),
            linear("obs", "h"),
            linear("obs", "h"),
            linear("obs", "valeu"),
            linear("value", ("a", "b"), (8, 4)),
        )
        assert message_of(*chain) == (
            "TensorDictSequential cannot be built: 4 findings.\n"
            "1. step 0 (Linear 8 -> 2) reads 'h' before step 1 (Linear 4 -> 8) writes it.\n"
            "   provided: nothing\n"
            "   move step 1 (Linear 4 -> 8) before step 0 (Linear 8 -> 2), or pass external=['h'] if this one comes "
            "from outside.\n"
            "2. step 4 (Linear 8 -> 4) reads 'value', which nothing before it writes.\n"
            "   provided: 'h' (input), 'obs' (input), 'a' (written by step 0, read by no one), 'h' (written by step 1, "
            "read by no one), 'h' (written by step 2, read by no one), 'valeu' (written by step 3, read by no one)\n"
            "   did you mean 'valeu'? Rename one of the two, or pass external=['value'] if it comes from outside.\n"
            "3. step 1 (Linear 4 -> 8) and step 2 (Linear 4 -> 8) both write 'h', and nothing reads it between.\n"
            "   provided: 'h' by the first, 'h' by the second\n"
            "   the first is lost: give one another key, such as 'h_2', or '_' to drop it.\n"
            "4. step 0 (Linear 8 -> 2) writes 'a', and step 4 (Linear 8 -> 4) writes ('a', 'b') inside it.\n"
            "   provided: 'a'\n"
            "   an entry is a tensor or a group of entries: rename 'a', or pass external=[('a', 'b')]."
        )

    def test_a_nested_chain_is_called_by_its_class(self):
        inner, outer = TensorDictSequential(linear("x", "hiden")), TensorDictSequential(linear("hidden", "y"))
        assert "1. step 1 (TensorDictSequential) reads 'hidden', which nothing before it writes.\n" in message_of(
            inner, outer
        )

    def test_the_kinds_are_stable_names(self):
        with pytest.raises(ContractError) as caught:
            TensorDictSequential(
                step("h", "a"), step("x", "h"), step("x", "h"), step("x", "valeu"), step("value", ("a", "b"))
            )
        kinds = [finding.kind for finding in caught.value.findings]
        assert kinds == ["consumer-before-producer", "near-miss", "double-write", "leaf-as-parent"]

    def test_the_error_is_a_value_error_and_a_key_error(self):
        for kind in (ValueError, KeyError):
            with pytest.raises(kind):
                TensorDictSequential(step("x", "hiden"), step("hidden", "y"))

    def test_a_misspelling_inside_a_nested_key(self):
        assert "reads ('agents', 'action'), which nothing before it writes.\n" in message_of(
            step("x", ("agents", "acton")), step(("agents", "action"), "y")
        )

    def test_each_reader_of_a_misspelt_key_is_found(self):
        with pytest.raises(ContractError) as caught:
            TensorDictSequential(step("x", "hiden"), step("hidden", "y"), step("hidden", "z"))
        assert [finding.problem[:6] for finding in caught.value.findings] == ["step 1", "step 2"]

    def test_two_modules_that_share_one_state(self):
        class Memory(TensorDictModuleBase):
            def compute(self, x, state):
                return x, state

        memories = [
            Memory(in_keys=[a, "state"], out_keys=[b, ("next", "state")], carries=["state"])
            for a, b in (("x", "y"), ("y", "z"))
        ]
        with pytest.raises(ContractError) as caught:
            TensorDictSequential(*memories)
        (finding,) = caught.value.findings
        assert finding.kind == "double-write"
        assert finding.fix == "two modules share one state: give one another in its in_keys, such as 'state_2'."

    def test_of_three_writers_each_loss_is_found(self):
        with pytest.raises(ContractError) as caught:
            TensorDictSequential(step("x", "y"), step("x", "y"), step("x", "y"))
        assert len(caught.value.findings) == 2

    def test_a_reader_after_both_writers_does_not_save_the_first(self):
        assert "both write 'h'" in message_of(step("x", "h"), step("x", "h"), step("h", "y"))


class TestNoFinding:
    @pytest.mark.parametrize(
        "steps",
        [
            [step("x", "h"), step("h", "y")],
            [step("x", "x"), step("x", "x"), step("x", "y")],
            [step("obs", "h"), step("obs", "obs"), step("obs", "y")],
            [step(["obs", "h"], ["action", ("next", "h")], carries="h"), step("action", "q")],
            [step("h", ["y", ("next", "h")], optional="h", carries="h"), step("y", "z")],
            [step("x", "head_1"), step("x", "head_2"), step(["head_1", "head_2"], "y")],
            [step("x", "head_1"), step("head_2", "y")],
            [step("x", ("stats", "mean")), step("x", ("stats", "std")), step("stats", "y")],
            [step("x", "h"), step("h", "y"), step("y", "h")],
            [step("x", "hidden"), step("hidden", "y"), step("hiden", "z")],
            [step("x", "hiden"), step("x", "y", optional="hidden")],
            [step("x", ("left", "action")), step(("right", "action"), "y")],
            [step("x", ("a", "b")), step("x", ("a", "c"))],
            [step("x", ("g", "a")), step("g", "y"), step("x", ("g", "a"))],
            [step(("g", "a"), "y"), step("x", "g")],
            [],
        ],
        ids=[
            "a chain",
            "in place, twice",
            "a normaliser after a reader",
            "carried state",
            "carried state that may be absent",
            "numbered heads",
            "a numbered head from outside",
            "a nested group read as a whole",
            "written again after it was read",
            "a similar name where nothing is unread",
            "an optional key of a similar name",
            "one name in two groups",
            "two entries of one group",
            "an entry written again after its group was read",
            "a group replaced after an entry of it was read",
            "nothing",
        ],
    )
    def test_a_right_chain(self, steps):
        assert len(TensorDictSequential(*steps)) == len(steps)

    def test_a_key_from_outside_of_a_similar_name(self):
        chain = TensorDictSequential(step("x", "hiden"), step("hidden", "y"), external="hidden")
        assert chain.in_keys == ["x", "hidden"]

    def test_a_key_from_outside_that_is_written_later(self):
        chain = TensorDictSequential(step("h", "y"), step("x", "h"), external=["h"])
        assert chain.contract == Contract(["h", "x"], ["y", "h"])

    def test_a_group_that_one_step_makes_as_a_whole(self):
        make = TensorDictModule(lambda x: TensorDict(a=x, b=2 * x), "x", "features")
        take = TensorDictModule(torch.neg, ("features", "b"), "y")
        chain = TensorDictSequential(make, take, external=[("features", "b")])
        assert chain.contract == Contract(["x"], ["features", "y"])
        assert chain(TensorDict(x=torch.ones(2), batch_size=[2]))["y"].tolist() == [-2.0, -2.0]

    def test_a_group_is_read_with_what_was_written_into_it(self):
        square = TensorDictModule(torch.square, "x", ("stats", "square"))
        total = TensorDictModule(lambda stats: stats["square"] + stats["given"], "stats", "y")
        td = TensorDict({"x": torch.full((2,), 3.0), ("stats", "given"): torch.ones(2)}, batch_size=[2])
        # 3 * 3 + 1, of one entry from outside and one from the step before
        assert TensorDictSequential(square, total)(td)["y"].tolist() == [10.0, 10.0]


def test_check_chain_is_pure():
    contracts = [Step("first", Contract(["x"], ["hiden"])), Step("second", Contract(["hidden"], ["y"]))]
    found = check_chain(contracts)
    assert [(finding.kind, finding.problem) for finding in found] == [
        ("near-miss", "second reads 'hidden', which nothing before it writes.")
    ]
    assert check_chain(contracts) == found
    assert check_chain(contracts, external=iter(["hidden"])) == []
