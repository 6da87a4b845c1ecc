from __future__ import annotations

import torch
from tensordict import TensorDict
from torch import nn

from keywork.nn import TensorDictModule, TensorDictSequential


def net():
    return TensorDictModule(nn.Linear(3, 4), "x", "h")


def chain():
    return TensorDictSequential(net(), TensorDictModule(torch.tanh, "h", "y"))


def data():
    return TensorDict(x=torch.randn(5, 3), batch_size=[5])


class Recorder:
    """Hooks that write down who was called, and on what kind of thing."""

    def __init__(self):
        self.seen = []

    def before(self, name):
        return lambda module, args: self.seen.append((f"before {name}", type(args[0]).__name__))

    def after(self, name):
        return lambda module, args, output: self.seen.append((f"after {name}", type(output).__name__))

    def on(self, name, module):
        module.register_forward_pre_hook(self.before(name))
        module.register_forward_hook(self.after(name))


class TestHooks:
    def test_on_a_module(self):
        record, module = Recorder(), net()
        record.on("net", module)
        module(data())
        module(torch.ones(2, 3))
        assert record.seen == [
            ("before net", "TensorDict"),
            ("after net", "TensorDict"),
            ("before net", "Tensor"),
            ("after net", "Tensor"),
        ]

    def test_on_what_is_wrapped(self):
        record, module = Recorder(), chain()
        record.on("linear", module[0].module)
        module(data())
        assert record.seen == [("before linear", "Tensor"), ("after linear", "Tensor")]

    def test_on_a_sequential_and_its_steps_each_runs_once_and_in_order(self):
        record, module = Recorder(), chain()
        record.on("chain", module)
        record.on("step 0", module[0])
        record.on("step 1", module[1])
        module(data())
        names = ["before chain", "before step 0", "after step 0", "before step 1", "after step 1", "after chain"]
        assert record.seen == [(name, "TensorDict") for name in names]
        record.seen.clear()
        module(torch.ones(2, 3))
        assert [name for name, _ in record.seen] == names

    def test_on_a_step_of_a_nested_sequential_and_on_that_itself(self):
        record, inner = Recorder(), chain()
        outer = TensorDictSequential(inner, TensorDictModule(nn.Linear(4, 2), "y", "z"))
        expected = outer(torch.ones(2, 3))
        record.on("step", inner[1])
        assert torch.equal(outer(torch.ones(2, 3))[2], expected[2])
        assert [name for name, _ in record.seen] == ["before step", "after step"]
        record.on("inner", inner)
        record.seen.clear()
        outer(data())
        assert [name for name, _ in record.seen] == ["before inner", "before step", "after step", "after inner"]

    def test_a_hook_sees_the_batch_size_and_what_else_is_there_however_deep_its_step_lies(self):
        seen, module = [], TensorDictSequential(TensorDictSequential(chain()))
        module[0][0][1].register_forward_hook(lambda module, args, td: seen.append((td.batch_size, "other" in td)))
        module(data().set("other", torch.ones(5)))
        assert seen == [(torch.Size([5]), True)]

    def test_a_hook_may_replace_the_result_of_a_step(self):
        module = chain()
        module[0].register_forward_hook(lambda module, args, td: td.set("h", torch.zeros(5, 4)))
        assert module(data())["y"].abs().sum() == 0

    def test_a_pre_hook_may_replace_the_input_of_a_step(self):
        module = chain()
        module[1].register_forward_pre_hook(lambda module, args: (args[0].copy().set("h", torch.zeros(5, 4)),))
        assert module(data())["y"].abs().sum() == 0

    def test_a_hook_that_is_removed_no_longer_runs_and_the_fast_path_is_back(self):
        record, module = Recorder(), chain()
        handle = module[0].register_forward_hook(record.after("step"))
        assert module.opaque
        handle.remove()
        assert not module.opaque
        module(data())
        assert record.seen == []

    def test_backward_hooks_on_a_step(self):
        seen, module = [], chain()
        module[0].module.register_full_backward_hook(lambda module, grad_in, grad_out: seen.append(grad_out[0].shape))
        td = TensorDict(x=torch.randn(5, 3, requires_grad=True), batch_size=[5])
        module(td)["y"].sum().backward()
        assert seen == [torch.Size([5, 4])]
