"""GRUModule and LSTMModule: a training pass over sequences against torch's own, and a step against torch's cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import torch
from _timing import cell, interleave, table, verdict
from tensordict import TensorDict
from torch import Tensor, nn

from keywork import modules as ours
from keywork.nn import set_recurrent_mode

ROWS, STEPS, WIDTH, RESETS = 16, 128, 128, 0.02
BATCH, STEP_WIDTHS = 8, (64, 128)
GOALS_TRAINING, GOAL_STEP = {"GRU": 1.15, "LSTM": 2.0}, 1.3
STATES = {"GRU": ("recurrent_state",), "LSTM": ("recurrent_state_h", "recurrent_state_c")}
Calls = dict[str, Callable[[], Any]]


def recurrent(*, quick: bool) -> Iterator[str]:
    """Two tables for each kind."""
    for kind in STATES:
        yield _training_table(kind, rounds=3 if quick else 15)
        yield _step_table(kind, rounds=10 if quick else 60)


def _training_table(kind: str, rounds: int) -> str:
    measured = interleave(_training_calls(kind), rounds=rounds, slice_seconds=0.1)
    rows = [[who, cell(result, "ms")] for who, result in measured.items()]
    rows.append([f"goal {GOALS_TRAINING[kind]:g}x", verdict(measured["keywork"], GOALS_TRAINING[kind])])
    title = f"{kind}Module: forward and backward of {ROWS} rows of {STEPS} steps, width {WIDTH}, 2% resets"
    return table(title, ["who", "ms a pass, ratio (quartiles)"], rows)


def _step_table(kind: str, rounds: int) -> str:
    with torch.no_grad():
        measured = [interleave(_step_calls(kind, width), rounds=rounds) for width in STEP_WIDTHS]
    rows = [[who, *(cell(results[who]) for results in measured)] for who in measured[0]]
    judged = {f"goal {GOAL_STEP:g}x, on tensors": "keywork, on tensors", f"goal {GOAL_STEP:g}x": "keywork"}
    rows += [[goal, *(verdict(results[who], GOAL_STEP) for results in measured)] for goal, who in judged.items()]
    columns = ["µs a call, ratio (quartiles)", *(f"width {width}" for width in STEP_WIDTHS)]
    return table(f"{kind}Module: a step of a batch of {BATCH}", columns, rows)


def _training_calls(kind: str) -> Calls:
    """A pass to the gradients of the parameters and of what came in, which an encoder would have computed."""
    torch.manual_seed(0)
    network = getattr(nn, kind)(WIDTH, WIDTH, batch_first=True)
    x = torch.randn(ROWS, STEPS, WIDTH, requires_grad=True)
    td = _inputs(kind, x, torch.rand(ROWS, STEPS, 1) < RESETS)
    _check_sequence(kind, network, td)
    parameters = [x, *network.parameters()]

    def pass_of(forward: Callable[[], Tensor]) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(forward().sum(), parameters)

    calls = {f"nn.{kind}, without resets": pass_of(lambda: network(x)[0])}
    calls["keywork"] = pass_of(_sequence(_module(ours, kind, network), td, set_recurrent_mode))
    if find_spec("torchrl"):
        from torchrl import modules

        for backend in ("pad", "scan"):
            module = _module(modules, kind, network, recurrent_backend=backend)
            parameters_of = [x, *module.parameters()]
            forward = _sequence(module, td, modules.set_recurrent_mode)
            calls[f"torchrl, {backend}"] = _pass_to(parameters_of, forward)
    return calls


def _pass_to(parameters: list[Tensor], forward: Callable[[], Tensor]) -> Callable[[], Any]:
    return lambda: torch.autograd.grad(forward().sum(), parameters)


def _sequence(module: Any, td: TensorDict, mode: Callable[[bool], Any]) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with mode(True):
            return module(td.copy())["features"]

    return run


def _check_sequence(kind: str, network: nn.Module, td: TensorDict) -> None:
    """Without resets the module gives what torch gives; with them, what its own steps give one after the other."""
    module = _module(ours, kind, network)
    unbroken = td.copy().set("is_init", torch.zeros_like(td["is_init"]))
    torch.testing.assert_close(_sequence(module, unbroken, set_recurrent_mode)(), network(td["x"])[0])
    states, outputs = [td[key][:, 0] for key in STATES[kind]], []
    for x, is_init in zip(td["x"].unbind(1), td["is_init"].unbind(1), strict=True):
        output, *states = module(x, *states, is_init)
        outputs.append(output)
    torch.testing.assert_close(_sequence(module, td, set_recurrent_mode)(), torch.stack(outputs, 1))


def _step_calls(kind: str, width: int) -> Calls:
    torch.manual_seed(0)
    network, bare = getattr(nn, kind)(width, width, batch_first=True), getattr(nn, f"{kind}Cell")(width, width)
    bare.load_state_dict({name.removesuffix("_l0"): value for name, value in network.state_dict().items()})
    x, is_init = torch.randn(BATCH, width), torch.zeros(BATCH, 1, dtype=torch.bool)
    td = _inputs(kind, x, is_init)
    states = [td[key].squeeze(1) for key in STATES[kind]]
    held = states[0] if kind == "GRU" else tuple(states)
    module = _module(ours, kind, network)
    expected = bare(x, held) if kind == "GRU" else bare(x, held)[0]
    torch.testing.assert_close(module(td.copy())["features"], expected)

    def by_hand() -> Any:
        kept = [torch.where(is_init, 0.0, state) for state in states]
        return bare(x, kept[0] if kind == "GRU" else tuple(kept))

    stored = [td[key] for key in STATES[kind]]
    calls = {f"nn.{kind}Cell": lambda: bare(x, held), f"nn.{kind}Cell, with resets": by_hand}
    calls["keywork, on tensors"] = lambda: module(x, *stored, is_init)
    calls["keywork"] = _call(module, td.copy())
    if find_spec("torchrl"):
        from torchrl import modules

        calls["torchrl"] = _call(_module(modules, kind, network), td.copy())
    return calls


def _call(module: Any, td: TensorDict) -> Callable[[], Any]:
    return lambda: module(td)


def _module(library: Any, kind: str, network: nn.Module, **options: Any) -> Any:
    states = STATES[kind]
    keys = {"in_keys": ["x", *states, "is_init"], "out_keys": ["features", *(("next", key) for key in states)]}
    if library is not ours:
        keys["in_keys"].pop()  # it reads is_init unasked
    return getattr(library, f"{kind}Module")(**keys, **{kind.lower(): network}, **options)


def _inputs(kind: str, x: Tensor, is_init: Tensor) -> TensorDict:
    batch, width = x.shape[:-1], x.shape[-1]
    states = {key: torch.zeros(*batch, 1, width) for key in STATES[kind]}
    return TensorDict({"x": x, "is_init": is_init, **states}, batch_size=batch)
