"""What holds of GRUModule and LSTMModule alike: above all, that a sequence is the same as its steps."""

import copy
import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict
from torch import Tensor, nn
from torch.autograd.gradcheck import gradcheck

from keywork._errors import MissingKeyError, SpecError
from keywork.modules import EnsembleModule, GRUModule, LSTMModule, ValueOperator
from keywork.nn import TensorDictModule, TensorDictSequential, set_recurrent_mode

KINDS = pytest.mark.parametrize("kind", [GRUModule, LSTMModule])
INPUTS, WIDTH = 3, 5


def build(kind, dtype=torch.float64, **options):
    torch.manual_seed(0)
    return kind(INPUTS, WIDTH, in_key="observation", out_key="features", **options).to(dtype)


def a_batch(module, rows=2, length=6, resets=None, seed=0):
    """Random inputs, and random states at every step, most of which a sequence has to ignore."""
    generator = torch.Generator().manual_seed(seed)
    dtype = next(module.parameters()).dtype

    def normal(*shape):
        return torch.randn(rows, length, *shape, generator=generator, dtype=dtype)

    states = {key: normal(*spec.shape) for key, spec in module.carried_specs.items()}
    is_init = torch.zeros(rows, length, 1, dtype=torch.bool)
    if resets is not None:
        is_init[..., 0] = torch.as_tensor(resets)
    return TensorDict({"observation": normal(INPUTS), **states, "is_init": is_init}, batch_size=[rows, length])


def in_steps(module, batch):
    """The same by hand: step after step, each with the state that the one before has written."""
    states = {key: batch[key][:, 0] for key in module.carried_specs}
    steps = []
    for t in range(batch.shape[1]):
        step = module(batch[:, t].clone().update(states))
        states = {key: step["next", key] for key in states}
        steps.append(step)
    return TensorDict.stack(steps, 1)


def in_sequence(module, batch):
    with set_recurrent_mode(True):
        return module(batch.copy())


def assert_same(module, left, right, **tolerance):
    for key in module.out_keys:
        torch.testing.assert_close(left[key], right[key], **(tolerance or {"rtol": 0.0, "atol": 1e-10}))


@st.composite
def patterns(draw):
    """Resets of some rows: none, all, at the first step, at the last one, one after the other."""
    rows, length = draw(st.integers(1, 3)), draw(st.integers(1, 8))
    row = st.lists(st.booleans(), min_size=length, max_size=length)
    return draw(st.lists(row, min_size=rows, max_size=rows))


@KINDS
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bias": False}], ids=str)
@settings(max_examples=40)
@given(resets=patterns(), seed=st.integers(0, 2**16))
def test_a_sequence_is_its_steps(kind, options, resets, seed):
    module = build(kind, **options)
    batch = a_batch(module, len(resets), len(resets[0]), resets, seed)
    assert_same(module, in_sequence(module, batch), in_steps(module, batch))


@KINDS
@settings(max_examples=40)
@given(resets=patterns(), data=st.data())
def test_a_row_may_be_cut_anywhere(kind, resets, data):
    module = build(kind)
    whole = in_steps(module, a_batch(module, len(resets), len(resets[0]), resets))
    at = data.draw(st.integers(0, whole.shape[1]))
    for piece in (whole[:, :at], whole[:, at:]):
        if piece.shape[1]:
            assert_same(module, in_sequence(module, piece), piece)


@settings(max_examples=30)
@given(resets=patterns(), seed=st.integers(0, 2**16))
def test_so_it_is_of_a_projected_state(resets, seed):
    module = build(LSTMModule, num_layers=2, proj_size=2)
    batch = a_batch(module, len(resets), len(resets[0]), resets, seed)
    assert_same(module, in_sequence(module, batch), in_steps(module, batch))


@KINDS
def test_at_every_step_of_a_row_what_is_written_is_what_the_following_step_goes_on_from(kind):
    module = build(kind)
    batch = a_batch(module, rows=2, length=5, resets=[[False, False, True, False, False], [False] * 5])
    out = in_sequence(module, batch)
    for t in range(4):
        states = {key: out["next", key][:, t] for key in module.carried_specs}
        assert all((state != 0.0).all() for state in states.values())
        following = module(batch[:, t + 1].clone().update(states))
        for key in module.out_keys:
            torch.testing.assert_close(out[key][:, t + 1], following[key], rtol=0.0, atol=1e-12)


@KINDS
@settings(max_examples=20)
@given(resets=patterns())
def test_in_float32_the_two_differ_by_less_than_1e_5(kind, resets):
    module = build(kind, torch.float32)
    batch = a_batch(module, len(resets), len(resets[0]), resets)
    assert_same(module, in_sequence(module, batch), in_steps(module, batch), rtol=0.0, atol=1e-5)


@KINDS
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bias": False}], ids=str)
def test_gradients_are_those_of_the_steps(kind, options):
    module = build(kind, **options)
    resets = [[True, False, False, True, True, False], [False] * 5 + [True]]
    batch = a_batch(module, resets=resets).apply(lambda x: x.requires_grad_(x.is_floating_point()))
    leaves = [batch["observation"], *(batch[key] for key in module.carried_specs), *module.parameters()]

    def gradients(run):
        out = run(module, batch)
        weighted = [
            (out[key] * torch.linspace(-1, 1, out[key].numel()).view_as(out[key])).sum() for key in module.out_keys
        ]
        return torch.autograd.grad(sum(weighted), leaves, allow_unused=True)

    for ours, theirs in zip(gradients(in_sequence), gradients(in_steps), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.0, atol=1e-10)


@KINDS
def test_the_gradient_by_hand_is_that_of_finite_differences(kind):
    module = build(kind)
    batch = a_batch(module, rows=2, length=3, resets=[[False, True, False], [False] * 3])
    names = [name for name, _ in module.named_parameters()]
    states = [batch[key].requires_grad_() for key in module.carried_specs]

    def run(x: Tensor, *others: Tensor):
        parameters = dict(zip(names, others[len(states) :], strict=True))
        for name, value in parameters.items():
            # Not by functional_call, under whose transforms another path is taken.
            setattr(module.layers, name.partition(".")[2], None)
            module.layers._parameters[name.partition(".")[2]] = value
        with set_recurrent_mode(True):
            return module.compute(x, *others[: len(states)], batch["is_init"])

    parameters = [parameter.detach().clone().requires_grad_() for parameter in module.parameters()]
    assert gradcheck(run, (batch["observation"].requires_grad_(), *states, *parameters))


@KINDS
def test_gradients_flow_along_a_row_and_stop_where_an_episode_begins(kind):
    module = build(kind)
    batch = a_batch(module, rows=1, length=5, resets=[[False, False, False, True, False]])
    batch["observation"].requires_grad_()
    (slope,) = torch.autograd.grad(in_sequence(module, batch)["features"][0, 4].sum(), batch["observation"])
    assert (slope[0].abs().sum(-1) > 0).tolist() == [False, False, False, True, True]
    batch["is_init"][0, 3] = False
    (slope,) = torch.autograd.grad(in_sequence(module, batch)["features"][0, 4].sum(), batch["observation"])
    assert (slope[0].abs().sum(-1) > 0).tolist() == [True] * 5


@KINDS
def test_a_second_derivative_is_refused(kind):
    module = build(kind)
    batch = a_batch(module)
    batch["observation"].requires_grad_()
    loss = in_sequence(module, batch)["features"].square().sum()
    (slope,) = torch.autograd.grad(loss, batch["observation"], create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        slope.sum().backward()


@KINDS
@pytest.mark.parametrize("run", [in_steps, in_sequence])
def test_what_is_stored_where_an_episode_begins_is_ignored_even_if_it_is_no_number(kind, run):
    module = build(kind)
    clean = a_batch(module, rows=1, length=3, resets=[[True, False, True]])
    dirty = clean.clone()
    for key in module.carried_specs:
        clean[key].zero_()
        dirty[key].fill_(float("nan"))
    assert_same(module, run(module, clean), run(module, dirty))


@KINDS
def test_a_not_a_number_does_not_survive_the_episode(kind):
    module = build(kind)
    batch = a_batch(module, rows=1, length=4, resets=[[False, False, True, False]])
    batch["observation"][0, 1] = float("nan")
    for run in (in_steps, in_sequence):
        assert run(module, batch)["features"].isfinite().all(-1).tolist() == [[True, False, True, True]]


@KINDS
def test_a_sequence_ignores_the_states_of_all_steps_but_the_first(kind):
    module = build(kind)
    batch = a_batch(module)
    other = batch.clone()
    for key in module.carried_specs:
        other[key][:, 1:] = float("nan")
    assert_same(module, in_sequence(module, batch), in_sequence(module, other))
    other[module.in_keys[1]][:, 0] = 0.0
    assert not torch.equal(in_sequence(module, batch)["features"], in_sequence(module, other)["features"])


@KINDS
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("batch_size", [(), (4,), (2, 3)])
def test_a_step_takes_any_batch_and_a_flag_with_or_without_a_last_dimension(kind, num_layers, batch_size):
    module = build(kind, num_layers=num_layers)
    td = a_batch(module, 1, 6, resets=[[True, False] * 3])[0][: max(1, torch.Size(batch_size).numel())].reshape(
        batch_size
    )
    out = module(td.clone())
    states = [td[key] for key in module.carried_specs]
    bare = module(td["observation"], *states, td["is_init"].squeeze(-1))
    for key, value in zip(module.out_keys, bare, strict=True):
        assert torch.equal(out[key], value)
    assert out["features"].shape == (*batch_size, WIDTH)
    assert out["next", module.in_keys[1]].shape == (*batch_size, num_layers, WIDTH)


@KINDS
def test_a_sequence_takes_a_flag_with_or_without_a_last_dimension(kind):
    module = build(kind)
    batch = a_batch(module, resets=[[True, False] * 3, [False, True] * 3])
    bare = batch.clone().set("is_init", batch["is_init"].squeeze(-1))
    assert_same(module, in_sequence(module, bare), in_sequence(module, batch), rtol=0.0, atol=0.0)


@KINDS
def test_a_sequence_may_have_several_dimensions_before_time(kind):
    module = build(kind)
    batch = a_batch(module, rows=6, length=4, resets=torch.rand(6, 4) < 0.3)
    folded = in_sequence(module, batch.reshape(2, 3, 4))
    assert_same(module, folded.reshape(6, 4), in_sequence(module, batch))


@KINDS
@pytest.mark.parametrize("run", [in_steps, in_sequence])
def test_nothing_written_shares_memory_so_that_it_may_be_changed_in_place(kind, run):
    module = build(kind)
    plain = TensorDictSequential(module, TensorDictModule(nn.ReLU(), ["features"], ["active"]))
    in_place = TensorDictSequential(module, TensorDictModule(nn.ReLU(inplace=True), ["features"], ["active"]))
    with torch.no_grad():
        batch = a_batch(module)[:, :1]
        for key in module.carried_specs:
            ours, theirs = (run_of(chain, batch, module, run)["next", key] for chain in (in_place, plain))
            assert torch.equal(ours, theirs)
            assert (ours < 0).any()


def run_of(chain, batch, module, run):
    if run is in_steps:
        return chain(batch[:, 0].clone())
    with set_recurrent_mode(True):
        return chain(batch.clone())


@KINDS
def test_declares_what_it_carries_zeros_to_begin_with(kind):
    module = build(kind, torch.bfloat16, num_layers=2)
    assert module.contract.carries == module.carried_specs.keys() == tuple(module.in_keys[1:-1])
    for spec in module.carried_specs.values():
        assert (spec.shape, spec.dtype) == ((2, WIDTH), torch.bfloat16)
    assert all(not value.any() for value in module.carried_specs.zero(4).values())


@KINDS
def test_any_keys_will_do_nested_ones_too(kind):
    plain = build(kind)
    states = [("memory", "left", str(number)) for number in range(len(plain.state_keys))]
    named = kind(
        INPUTS, WIDTH, in_keys=[("left", "eye"), *states, ("left", "begins")], out_key=("left", "features")
    ).double()
    named.load_state_dict(plain.state_dict())
    assert named.out_keys == [("left", "features"), *(("next", *state) for state in states)]
    assert named.is_init_key == ("left", "begins")
    batch = a_batch(plain, resets=torch.rand(2, 6) < 0.3)
    renamed = dict(zip(named.in_keys, [batch[key] for key in plain.in_keys], strict=True))
    td = TensorDict({}, batch_size=[2, 6])
    for key, value in renamed.items():
        td[key] = value
    out, reference = in_sequence(named, td), in_sequence(plain, batch)
    for key, other in zip(named.out_keys, plain.out_keys, strict=True):
        assert torch.equal(out[key], reference[other])


@KINDS
def test_a_missing_state_is_an_error_and_not_silently_zero(kind):
    module = build(kind)
    with pytest.raises(KeyError, match=f"reads '{module.in_keys[1]}', which the TensorDict does not hold"):
        module(a_batch(module).exclude(module.in_keys[1]))
    with pytest.raises(KeyError, match=r"reads 'is_init', which the TensorDict does not hold"):
        module(a_batch(module).exclude("is_init"))


@KINDS
def test_dropout_is_between_layers_and_only_in_training(kind):
    module = build(kind, num_layers=2, dropout=0.5)
    batch = a_batch(module)
    for run in (in_steps, in_sequence):
        assert not torch.equal(run(module, batch)["features"], run(module, batch)["features"])
        first = module.in_keys[1]  # of which the first layer's part has nothing dropped
        ours, theirs = (run(module, batch)["next", first][..., 0, :] for _ in range(2))
        assert torch.equal(ours, theirs)
    module.eval()
    assert_same(module, in_sequence(module, batch), in_steps(module, batch))


@KINDS
def test_in_both_directions_each_episode_runs_by_itself(kind):
    module = build(kind, bidirectional=True)
    network = (nn.GRU if kind is GRUModule else nn.LSTM)(INPUTS, WIDTH, batch_first=True, bidirectional=True).double()
    network.load_state_dict(module.layers.state_dict())
    observation = torch.randn(1, 7, INPUTS, dtype=torch.float64)
    is_init = torch.tensor([[[True], [False], [False], [True], [False], [True], [False]]])
    with set_recurrent_mode(True):
        out = module(TensorDict(observation=observation, is_init=is_init, batch_size=[1, 7]))
    pieces = [network(observation[:, begin:end])[0] for begin, end in ((0, 3), (3, 5), (5, 7))]
    torch.testing.assert_close(out["features"], torch.cat(pieces, 1), rtol=0.0, atol=1e-10)
    states = out["next", module.in_keys[1]]
    torch.testing.assert_close(states.flatten(-2), out["features"], rtol=0.0, atol=0.0)


@KINDS
def test_in_both_directions_nothing_is_carried_and_no_step_is_taken(kind):
    module = build(kind, bidirectional=True)
    assert module.contract.carries == module.carried_specs.keys() == ()
    assert module.contract.optional == tuple(module.in_keys[1:-1])
    with pytest.raises(ValueError) as error:
        module(observation=torch.zeros(2, INPUTS, dtype=torch.float64), is_init=torch.zeros(2, 1, dtype=torch.bool))
    assert str(error.value) == (
        f"{kind.__name__} (3 -> 5) cannot take a single step: one of its directions begins at the end.\n"
        "  where: step mode\n"
        "  expected: a whole sequence\n"
        "  got: bidirectional=True\n"
        "  fix: call it inside set_recurrent_mode(True), or leave bidirectional out of what acts"
    )


def test_single_steps_are_not_taken_for_a_sequence():
    module = build(GRUModule)
    with pytest.raises(ValueError) as error:
        in_sequence(module, a_batch(module, rows=2, length=6).reshape(12))
    assert str(error.value) == (
        "GRUModule (3 -> 5) cannot run: single steps in one dimension are no sequences.\n"
        "  where: sequence mode\n"
        "  expected: a batch [*B, T] of rows, whose last dimension is time\n"
        "  got: a batch [12]\n"
        "  fix: draw whole rows: batch[rows], or sampler=SliceSampler(16) in a buffer; or, if this is one row, "
        "batch.unsqueeze(0)"
    )


@pytest.mark.parametrize(
    ("entry", "value", "got"),
    [
        ("observation", torch.zeros(2, 4), "'observation' float32[2, 4]"),
        ("recurrent_state", torch.zeros(2, 5), "'recurrent_state' float32[2, 5]"),
        ("recurrent_state", torch.zeros(1, 1, 5), "'recurrent_state' float32[1, 1, 5]"),
        ("is_init", torch.zeros(1, 1, dtype=torch.bool), "'is_init' bool[1, 1]"),
        ("is_init", torch.zeros(2, 1), "'is_init' float32[2, 1]"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_before_anything_is_broadcast(entry, value, got):
    inputs = {
        "observation": torch.zeros(2, 3),
        "recurrent_state": torch.zeros(2, 1, 5),
        "is_init": torch.ones(2, 1, dtype=torch.bool),
    }
    module = build(GRUModule, torch.float32)
    with pytest.raises(ValueError) as error:
        module(**(inputs | {entry: value}))
    fine = {
        "observation": "'observation' float32[2, 3]",
        "recurrent_state": "'recurrent_state' float32[2, 1, 5]",
        "is_init": "'is_init' bool[2, 1]",
    }
    assert str(error.value) == (
        "GRUModule (3 -> 5) cannot run: its inputs do not fit together.\n"
        "  where: a step [*B]\n"
        "  expected: 'observation' [2, 3], 'recurrent_state' [2, 1, 5], 'is_init' [2, 1] of dtype bool\n"
        f"  got: {', '.join((fine | {entry: got}).values())}\n"
        "  fix: feed what a collector stores: it carries the states, and writes the flag"
    )


def test_a_sequence_in_step_mode_is_told_of_the_other_one():
    module = GRUModule(3, 5, in_key="observation", out_key="features")
    td = TensorDict(observation=torch.zeros(2, 4, 3), recurrent_state=torch.zeros(2, 1, 5), batch_size=[2])
    with pytest.raises(SpecError) as error:
        module(td.set("is_init", torch.zeros(2, 4, 1, dtype=torch.bool)))
    assert str(error.value).endswith(
        "  fix: a sequence [*B, T] goes in under set_recurrent_mode(True), with the state and the flag of every step"
    )


def test_a_missing_state_is_not_said_to_be_optional():
    module = GRUModule(3, 5, in_key="observation", out_key="features")
    td = TensorDict(observation=torch.zeros(2, 3), is_init=torch.ones(2, 1, dtype=torch.bool), batch_size=[2])
    with pytest.raises(MissingKeyError) as error:
        module(td)
    assert str(error.value) == (
        "GRUModule (3 -> 5) cannot run: it reads 'recurrent_state', which the TensorDict does not hold.\n"
        "   the TensorDict holds: 'observation', 'is_init'\n"
        "   A collector carries it from step to step; in a loop of your own begin with "
        "td['recurrent_state'] = torch.zeros(*td.batch_size, 1, 5, dtype=torch.float32)."
    )
    td["recurrent_state"] = torch.zeros(*td.batch_size, 1, 5, dtype=torch.float32)
    assert module(td)["features"].shape == (2, 5)


@KINDS
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}], ids=str)
@pytest.mark.parametrize("sequence", [False, True])
def test_compiles_as_one_graph(kind, options, sequence):
    torch._dynamo.reset()
    module = build(kind, torch.float32, **options)
    batch = a_batch(module, length=3, resets=[[False, True, False]] * 2)

    def run(td):
        with set_recurrent_mode(sequence):
            return module(td)

    compiled = torch.compile(run, backend="eager", fullgraph=True)(batch.clone())
    assert_same(module, compiled, run(batch.clone()), rtol=0.0, atol=1e-6)


@KINDS
def test_compiled_code_follows_the_mode(kind):
    torch._dynamo.reset()
    module = build(kind)
    batch = a_batch(module)
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    for mode in (False, True, False):
        with set_recurrent_mode(mode):
            assert_same(module, compiled(batch.clone()), module(batch.clone()))


@KINDS
@pytest.mark.parametrize("sequence", [False, True])
def test_vmaps_over_parameters_and_so_do_its_gradients(kind, sequence):
    module = build(kind, num_layers=2)
    batch = a_batch(module, resets=torch.rand(2, 6) < 0.3)
    inputs = tuple(batch[key] for key in module.in_keys)
    factors = torch.tensor([1.0, 0.5, -2.0], dtype=torch.float64)
    stacked = {name: torch.stack([f * p.detach() for f in factors]) for name, p in module.named_parameters()}

    def loss(parameters):
        with set_recurrent_mode(sequence):
            return torch.func.functional_call(module, parameters, inputs)[0].square().sum()

    losses, gradients = torch.vmap(loss)(stacked), torch.vmap(torch.func.grad(loss))(stacked)
    for index in range(len(factors)):
        own = {name: value[index].clone().requires_grad_() for name, value in stacked.items()}
        reference = loss(own)
        reference.backward()
        torch.testing.assert_close(losses[index], reference.detach())
        for name, parameter in own.items():
            torch.testing.assert_close(gradients[name][index], parameter.grad)


@KINDS
def test_an_ensemble_of_them_carries_the_states_of_all(kind):
    ensemble = EnsembleModule(build(kind), num_copies=2)
    assert ensemble.contract.carries == build(kind).contract.carries
    assert {tuple(spec.shape) for spec in ensemble.carried_specs.values()} == {(2, 1, WIDTH)}
    td = a_batch(ensemble, rows=4, length=3, resets=[[True, False, True]] * 4)
    assert_same(ensemble, in_sequence(ensemble, td), in_steps(ensemble, td))


@KINDS
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_half_and_near_the_truth(kind, dtype):
    module = build(kind)
    batch = a_batch(module, resets=torch.rand(2, 6) < 0.3)
    half = copy.deepcopy(module).to(dtype)
    rounded = batch.apply(lambda x: x.to(dtype) if x.is_floating_point() else x)
    for run in (in_steps, in_sequence):
        out = run(half, rounded)
        assert {out[key].dtype for key in half.out_keys} == {dtype}
        torch.testing.assert_close(out["features"].double(), run(module, batch)["features"], rtol=0.0, atol=0.05)
    out["features"].sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in half.parameters())


@KINDS
def test_runs_and_trains_under_autocast(kind):
    module = build(kind, torch.float32)
    batch = a_batch(module)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = in_sequence(module, batch)
    torch.testing.assert_close(out["features"], in_sequence(module, batch)["features"], rtol=0.0, atol=0.02)
    out["features"].sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


@KINDS
def test_copies_are_independent_and_survive_a_file(kind):
    module = build(kind)
    twin = copy.deepcopy(module)
    with torch.no_grad():
        next(twin.parameters()).add_(1.0)
    batch = a_batch(module)
    assert not torch.equal(in_sequence(module, batch)["features"], in_sequence(twin, batch)["features"])
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    twin.load_state_dict(torch.load(file, weights_only=True))
    assert_same(module, in_sequence(module, batch), in_sequence(twin, batch))


@KINDS
def test_a_parametrised_weight_is_followed(kind):
    module = build(kind)
    torch.nn.utils.parametrizations.weight_norm(module.layers, "weight_hh_l0")
    batch = a_batch(module, resets=torch.rand(2, 6) < 0.3)
    before = in_sequence(module, batch)
    assert_same(module, before, in_steps(module, batch))
    with torch.no_grad():
        module.layers.parametrizations.weight_hh_l0.original0.mul_(2.0)
    assert not torch.equal(in_sequence(module, batch)["features"], before["features"])


@KINDS
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}], ids=str)
@pytest.mark.parametrize("run", [in_steps, in_sequence])
def test_never_looks_at_a_value_so_that_a_gpu_is_not_waited_for(kind, options, run):
    module = build(kind, **options)
    batch = a_batch(module, resets=torch.rand(2, 6) < 0.3).to("meta")  # tensors without values
    out = run(module.to("meta"), batch)
    out["features"].sum().backward()
    assert out["features"].is_meta
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_compiles_after_another_module_whose_sizes_changed():
    # From then on torch.compile keeps sizes of run() open, which the checks of the shapes have to stand.
    torch._dynamo.reset()
    value = torch.compile(ValueOperator(torch.nn.Linear(3, 1)).run, backend="eager", fullgraph=True)
    value(torch.zeros(2, 3)), value(torch.zeros(5, 3))
    for size in (2, 4):
        module = GRUModule(3, 4, in_key="observation", out_key="features")
        inputs = torch.randn(size, 3), torch.zeros(size, 1, 4), torch.zeros(size, 1, dtype=torch.bool)
        compiled = torch.compile(module.run, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(*inputs), module.run(*inputs))
