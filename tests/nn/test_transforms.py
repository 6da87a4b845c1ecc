"""What torch does to modules, done to key modules: compile, copies, processes, files, types."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork.distributions import Categorical, NormalParamExtractor, TanhNormal
from keywork.nn import (
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
    TensorDictModuleBase,
    TensorDictSequential,
    set_exploration_type,
)


class Shift(TensorDictModuleBase):
    """A user's own, with a parameter."""

    def __init__(self, reads, writes, **options):
        super().__init__(reads, writes, **options)
        self.by = nn.Parameter(torch.ones(()))

    def compute(self, x, m=None):
        return (x + self.by if m is None else x + m,)


class Plain(TensorDictModuleBase):
    in_keys = ["x"]
    out_keys = ["y"]

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(3, 4)

    def forward(self, tensordict):
        return tensordict.set("y", self.net(tensordict["x"]))


def net():
    return TensorDictModule(nn.Linear(3, 4), "x", "h")


def chain():
    return TensorDictSequential(net(), TensorDictModule(torch.tanh, "h", "y"))


def policy(**options):
    extract = TensorDictModule(NormalParamExtractor(), "h", ["loc", "scale"])
    head = ProbabilisticTensorDictModule(
        ["loc", "scale"], "action", distribution_class=TanhNormal, return_log_prob=True, **options
    )
    return ProbabilisticTensorDictSequential(net(), extract, head)


def head():
    return ProbabilisticTensorDictModule(["x"], "a", distribution_class=make_categorical, return_log_prob=True)


def make_categorical(x):
    return Categorical(logits=x)


KINDS = {
    "a module": net,
    "of a function": lambda: TensorDictModule(torch.tanh, "x", ("g", "y")),
    "with argument names": lambda: TensorDictModule(torch.add, {"other": "x", "input": "x"}, ["y"]),
    "of a method": lambda: TensorDictModule(nn.Linear(3, 4), "x", "y", method="forward"),
    "with a sink": lambda: TensorDictModule(NormalParamExtractor(), "wide", ["loc", "_"]),
    "of a dict": lambda: TensorDictModule(lambda x: {"y": x, "z": 2 * x}, "x", ["z", "y"]),
    "a subclass": lambda: Shift("x", "y"),
    "with an optional key": lambda: Shift(["x", "m"], "y", optional_keys="m"),
    "a selection": lambda: chain().select_out_keys("y"),
    "not in place": lambda: TensorDictModule(torch.tanh, "x", "y", inplace="empty"),
    "a chain": chain,
    "with names": lambda: TensorDictSequential({"a": net(), "b": TensorDictModule(torch.tanh, "h", "y")}),
    "nested": lambda: TensorDictSequential(chain(), TensorDictModule(nn.Linear(4, 2), "y", "z")),
    "with a group": lambda: TensorDictSequential(
        TensorDictModule(torch.tanh, "x", ("g", "y")), TensorDictModule(lambda g: g["y"] + 1, "g", "z")
    ),
    "an opaque step": lambda: TensorDictSequential(Plain(), TensorDictModule(torch.tanh, "y", "z")),
    "a head": head,
    "a policy": policy,
}


def data():
    return TensorDict(x=torch.randn(5, 3), wide=torch.randn(5, 4), batch_size=[5])


def assert_same(one, other):
    keys = set(one.keys(True, True))
    assert keys == set(other.keys(True, True))
    assert all(torch.allclose(one[key], other[key]) for key in keys)


@pytest.fixture(autouse=True)
def _compile_anew():
    torch._dynamo.reset()


def compiled(function):
    return torch.compile(function, fullgraph=True, backend="eager")


class TestCompile:
    @pytest.mark.parametrize("kind", KINDS)
    def test_each_kind_is_one_graph_that_does_the_same(self, kind):
        module, td = KINDS[kind](), data()
        with set_exploration_type("deterministic"):
            assert_same(compiled(module)(td.copy()), module(td.copy()))

    @pytest.mark.parametrize("kind", ["a module", "a subclass", "a chain", "a policy"])
    def test_on_tensors_too(self, kind):
        module, x = KINDS[kind](), torch.randn(5, 3)
        with set_exploration_type("deterministic"):
            outputs, expected = compiled(module)(x=x), module(x)
        for output, value in zip(
            outputs if isinstance(outputs, tuple) else [outputs],
            expected if isinstance(expected, tuple) else [expected],
            strict=True,
        ):
            assert torch.allclose(output, value)

    def test_the_exploration_type_outside_of_it_is_followed(self):
        actor, td = policy(), data()
        fast = compiled(actor)

        def drawn(kind):
            with set_exploration_type(kind):
                return fast(td.copy())["action"]

        for _ in range(2):
            assert not torch.equal(drawn("random"), drawn("random"))
            with set_exploration_type("deterministic"):
                expected = actor(td.copy())["action"]
            assert torch.allclose(drawn("deterministic"), expected)

    def test_also_where_none_had_ever_been_set_when_it_was_compiled(self):
        """In a thread of its own, where nothing has been set before."""
        actor, td, seen = policy(), data(), []

        def first_of_all():
            fast = compiled(actor)
            fast(td.copy())
            with set_exploration_type("deterministic"):
                seen.extend(fast(td.copy())["action"] for _ in range(2))
            seen.extend(fast(td.copy())["action"] for _ in range(2))

        thread = threading.Thread(target=first_of_all)
        thread.start()
        thread.join()
        assert torch.equal(seen[0], seen[1])
        assert not torch.equal(seen[2], seen[3])

    def test_the_exploration_type_inside_of_it_is_followed(self):
        actor, td = policy(), data()

        @compiled
        def both(td):
            with set_exploration_type("deterministic"):
                quiet = actor(td.copy())["action"]
            return quiet, actor(td.copy())["action"]

        (first, random), (second, other) = both(td), both(td)
        assert torch.equal(first, second)
        assert not torch.equal(random, other)

    def test_a_change_of_selection_is_followed(self):
        module, td = chain(), data()
        fast = compiled(module)
        assert set(fast(td.copy()).keys()) == {"x", "wide", "h", "y"}
        module.select_out_keys("y")
        assert set(fast(td.copy()).keys()) == {"x", "wide", "y"}
        module.reset_out_keys()
        assert set(fast(td.copy()).keys()) == {"x", "wide", "h", "y"}

    def test_hooks_that_are_there_when_it_is_compiled_run(self):
        """Torch looks for later ones only with ``torch._dynamo.config.skip_nnmodule_hook_guards = False``."""
        module, td = chain(), data()
        module[0].register_forward_hook(lambda module, args, td: td.set("h", torch.zeros(5, 4)))
        assert compiled(module)(td)["y"].abs().sum() == 0

    def test_gradients_flow(self):
        module, td = chain(), data()
        compiled(module)(td.copy())["y"].sum().backward()
        got = module[0].module.weight.grad.clone()
        module.zero_grad()
        module(td.copy())["y"].sum().backward()
        assert torch.allclose(got, module[0].module.weight.grad)


class TestCopies:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_deep_copy_does_the_same_and_shares_nothing(self, kind):
        module, td = KINDS[kind](), data()
        other = copy.deepcopy(module)
        with set_exploration_type("deterministic"):
            assert_same(other(td.copy()), module(td.copy()))
            before = module(td.copy())
            for parameter in other.parameters():
                nn.init.zeros_(parameter)
            assert_same(module(td.copy()), before)
        assert not set(map(id, module.modules())) & set(map(id, other.modules()))
        assert (other.in_keys, other.out_keys, other.contract) == (module.in_keys, module.out_keys, module.contract)

    def test_a_copy_has_a_selection_and_hooks_of_its_own(self):
        module, seen = chain(), []
        other = copy.deepcopy(module).select_out_keys("y")
        other[0].register_forward_hook(lambda *args: seen.append(1))
        assert module.out_keys == ["h", "y"]
        module(data())
        assert seen == []
        other(data())
        assert seen == [1]

    def test_a_copy_with_hooks_calls_them(self):
        module = chain()
        module[0].register_forward_pre_hook(count_calls)
        other = copy.deepcopy(module)
        CALLS.clear()
        other(data())
        assert [other[0]] == CALLS

    def test_a_copy_of_a_policy_has_a_generator_of_its_own(self):
        actor, td = policy(generator=torch.Generator().manual_seed(5)), data()
        other = copy.deepcopy(actor)
        first = actor(td.copy())["action"]
        assert torch.equal(other(td.copy())["action"], first)
        assert not torch.equal(other(td.copy())["action"], first)

    @pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {"of a dict", "with a group"}])
    def test_pickle(self, kind):
        module, td = KINDS[kind](), data()
        with set_exploration_type("deterministic"):
            assert_same(pickle.loads(pickle.dumps(module))(td.copy()), module(td.copy()))

    def test_a_spawned_process_runs_it(self):
        actor, x = policy().requires_grad_(False), torch.ones(2, 3)
        hidden = TensorDictSequential(actor[0], TensorDictModule(torch.tanh, "h", "y"))
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            assert torch.equal(pool.submit(hidden, x).result(timeout=120)[1], hidden(x)[1])
            td = pool.submit(actor, TensorDict(x=x, batch_size=[2])).result(timeout=120)
            assert torch.allclose(actor.log_prob(td), td["sample_log_prob"], atol=1e-4)

    @pytest.mark.parametrize(
        "call",
        [
            lambda module: module(TensorDict(q=torch.ones(2))),
            lambda module: module(TensorDict(x=torch.ones(2, 7))),
            lambda module: TensorDictSequential(module, TensorDictModule(torch.tanh, "x", "y")),
        ],
    )
    def test_its_errors_survive_the_way_back(self, call):
        with pytest.raises((KeyError, RuntimeError)) as caught:
            call(chain())
        again = pickle.loads(pickle.dumps(caught.value))
        assert (type(again), str(again)) == (type(caught.value), str(caught.value))


CALLS: list[nn.Module] = []


def count_calls(module, args):
    CALLS.append(module)


class TestStateDict:
    def test_its_names_are_stable(self):
        assert list(policy().state_dict()) == ["module.0.module.weight", "module.0.module.bias"]
        named = TensorDictSequential({"body": chain(), "shift": Shift("y", "z")})
        assert list(named.state_dict()) == [
            "module.body.module.0.module.weight",
            "module.body.module.0.module.bias",
            "module.shift.by",
        ]

    @pytest.mark.parametrize("kind", KINDS)
    def test_there_and_back(self, kind):
        module, other, td = KINDS[kind](), KINDS[kind](), data()
        file = io.BytesIO()
        torch.save(module.state_dict(), file)
        file.seek(0)
        other.load_state_dict(torch.load(file, weights_only=True))
        with set_exploration_type("deterministic"):
            assert_same(other(td.copy()), module(td.copy()))

    def test_it_says_nothing_of_keys(self):
        renamed = TensorDictSequential(
            TensorDictModule(nn.Linear(3, 4), "x2", "h2"), TensorDictModule(torch.tanh, "h2", "y")
        )
        renamed.load_state_dict(chain().state_dict())
        assert renamed.in_keys == ["x2"]


class TestTypes:
    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
    def test_to(self, dtype):
        module = chain()
        assert module.to(dtype) is module
        assert module(torch.ones(2, 3, dtype=dtype))[1].dtype is dtype
        assert module(TensorDict(x=torch.ones(2, 3, dtype=dtype), batch_size=[2]))["y"].dtype is dtype

    def test_half(self):
        actor = policy().half()
        td = actor(TensorDict(x=torch.ones(2, 3, dtype=torch.float16), batch_size=[2]))
        assert (td["h"].dtype, td["action"].dtype) == (torch.float16, torch.float16)

    def test_the_wrong_type_is_an_error_with_a_note(self):
        with pytest.raises(RuntimeError, match="same dtype") as caught:
            chain().double()(torch.ones(2, 3))
        assert caught.value.__notes__[0] == "in step 0 (Linear 3 -> 4): 'x' float32[2, 3] -> 'h'"

    def test_training_and_gradients_reach_every_step(self):
        module = TensorDictSequential(chain(), TensorDictModule(nn.Dropout(), "y", "z")).eval()
        assert not any(part.training for part in module.modules())
        assert torch.equal(*module(torch.ones(2, 3))[1:])
        assert not any(parameter.requires_grad for parameter in module.requires_grad_(False).parameters())
