"""The table, letter for letter."""

from __future__ import annotations

import pytest
import torch
from rich.console import Console
from torch import nn

from keywork import distributions as d
from keywork.envs import GymEnv
from keywork.flow import Flow, Part
from keywork.nn import ProbabilisticTensorDictModule, ProbabilisticTensorDictSequential, TensorDictModule
from keywork.specs import Unbounded


@pytest.fixture
def flow():
    actor = ProbabilisticTensorDictSequential(
        TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"]),
        ProbabilisticTensorDictModule(["logits"], ["action"], distribution_class=d.Categorical, return_log_prob=True),
    )
    read = ("observation", *(("next", key) for key in ("observation", "reward", "done", "terminated")))
    gae = Part("GAE", "estimator", reads=read, writes=("advantage", "value_target"))
    read = ("observation", "action", "sample_log_prob", "advantage", "value_target")
    loss = Part("ClipPPOLoss", "loss", reads=read, writes=("loss_objective", "loss_critic"))
    with GymEnv("CartPole-v1", num_envs=8) as env:
        return Flow(env, actor, gae, loss, torch.optim.Adam([nn.Parameter(torch.zeros(1))]))


PPO = """\
key               shape  dtype    domain                  written by        read by
----------------  -----  -------  ----------------------  ----------------  ------------------------
observation       [4]    float32  (-inf, inf) by element  CartPole-v1       Linear, GAE, ClipPPOLoss
done              [1]    bool     bool                    CartPole-v1       -
terminated        [1]    bool     bool                    CartPole-v1       -
truncated         [1]    bool     bool                    CartPole-v1       -
is_init           [1]    bool     bool                    CartPole-v1       -
logits            [2]    float32                          Linear            Categorical
action            []     int64    {0..1}                  Categorical       CartPole-v1 step,
                                                                            ClipPPOLoss
sample_log_prob   []     float32                          Categorical       ClipPPOLoss
advantage         ?      ?                                GAE               ClipPPOLoss
value_target      ?      ?                                GAE               ClipPPOLoss
loss_objective    ?      ?                                ClipPPOLoss       Adam
loss_critic       ?      ?                                ClipPPOLoss       Adam
----------------  -----  -------  ----------------------  ----------------  ------------------------
next.observation  [4]    float32  (-inf, inf) by element  CartPole-v1 step  GAE
next.reward       [1]    float32  real                    CartPole-v1 step  GAE
next.done         [1]    bool     bool                    CartPole-v1 step  GAE
next.terminated   [1]    bool     bool                    CartPole-v1 step  GAE
next.truncated    [1]    bool     bool                    CartPole-v1 step  -"""


def test_the_table_of_ppo_on_cartpole(flow):
    assert flow.table() == PPO


NARROW = """\
key               shape  dtype    domain          written by      read by
----------------  -----  -------  --------------  --------------  --------------
observation       [4]    float32  (-inf, inf) by  CartPole-v1     Linear, GAE,
                                  element                         ClipPPOLoss
done              [1]    bool     bool            CartPole-v1     -
terminated        [1]    bool     bool            CartPole-v1     -
truncated         [1]    bool     bool            CartPole-v1     -
is_init           [1]    bool     bool            CartPole-v1     -
logits            [2]    float32                  Linear          Categorical
action            []     int64    {0..1}          Categorical     CartPole-v1"""


def test_a_narrow_terminal_breaks_the_last_three_columns_and_loses_nothing(flow):
    assert flow.table(width=80).splitlines()[:10] == NARROW.splitlines()
    for width in (60, 80, 100, 200):
        words = flow.table(width).split()
        assert sorted(w for w in words if not w.startswith("--")) == sorted(
            w for w in flow.table().split() if not w.startswith("--")
        )
    assert all(len(line) <= 80 for line in flow.table(80).splitlines())
    assert all(len(line) <= 100 for line in flow.table().splitlines())


def test_text_is_plain_ascii_and_has_no_trailing_blanks(flow):
    assert flow.table().isascii()
    assert all(line == line.rstrip() for line in flow.table().splitlines())


def test_str_is_the_table_and_repr_counts(flow):
    assert str(flow) == flow.table()
    assert repr(flow) == "Flow(7 parts, 17 keys)"


NOTED = """\
key  shape  dtype    domain  written by  read by
---  -----  -------  ------  ----------  -------
x    [1]    float32  real    inputs      broken
y    ?      ?                broken      -
note: what broken writes is not known: ValueError: no"""


def test_notes_follow_the_table():
    def broken(x):
        raise ValueError("no")

    assert Flow({"x": Unbounded(1)}, TensorDictModule(broken, ["x"], ["y"])).table() == NOTED


def test_rich_shows_the_same_cells_and_takes_them_for_no_markup(flow):
    def shown(flow):
        console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
        console.print(flow.rich())
        console.file.close()
        return console.export_text()

    text = shown(flow)
    for line in flow.table().splitlines():
        for cell in line.split("  "):
            if not cell.strip().startswith("--"):
                assert cell.strip() in text
    marked = Flow({"x": Unbounded(1)}, Part("[bold]net[/bold]", reads=("x",)))
    assert "[bold]net[/bold]" in shown(marked)
