"""The table, letter for letter."""

from __future__ import annotations

import pytest
import torch
from rich.console import Console
from torch import nn

from keywork import distributions as d
from keywork.envs import GymEnv
from keywork.flow import Flow, Part
from keywork.flow._describe import name_of
from keywork.modules import GRUModule, QValueActor, WrapModule, as_tensordict_module
from keywork.nets import Chain
from keywork.nn import ProbabilisticTensorDictModule, ProbabilisticTensorDictSequential, TensorDictModule
from keywork.specs import Binary, Bounded, Categorical, Unbounded


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
key               shape  dtype    domain              written by        read by
----------------  -----  -------  ------------------  ----------------  ----------------------------
observation       [4]    float32  within (-inf, inf)  CartPole-v1       Linear, GAE, ClipPPOLoss
done              [1]    bool     bool                CartPole-v1       -
terminated        [1]    bool     bool                CartPole-v1       -
truncated         [1]    bool     bool                CartPole-v1       -
is_init           [1]    bool     bool                CartPole-v1       -
logits            [2]    float32                      Linear            Categorical
action            []     int64    {0..1}              Categorical       CartPole-v1 step,
                                                                        ClipPPOLoss
sample_log_prob   []     float32                      Categorical       ClipPPOLoss
advantage         ?      ?                            GAE               ClipPPOLoss
value_target      ?      ?                            GAE               ClipPPOLoss
loss_objective    ?      ?                            ClipPPOLoss       Adam
loss_critic       ?      ?                            ClipPPOLoss       Adam
----------------  -----  -------  ------------------  ----------------  ----------------------------
next.observation  [4]    float32  within (-inf, inf)  CartPole-v1 step  GAE
next.reward       [1]    float32  real                CartPole-v1 step  GAE
next.done         [1]    bool     bool                CartPole-v1 step  GAE
next.terminated   [1]    bool     bool                CartPole-v1 step  GAE
next.truncated    [1]    bool     bool                CartPole-v1 step  -"""


def test_the_table_of_ppo_on_cartpole(flow):
    assert flow.table() == PPO


NARROW = """\
key               shape  dtype    domain         written by      read by
----------------  -----  -------  -------------  --------------  ---------------
observation       [4]    float32  within         CartPole-v1     Linear, GAE,
                                    (-inf, inf)                  ClipPPOLoss
done              [1]    bool     bool           CartPole-v1     -
terminated        [1]    bool     bool           CartPole-v1     -
truncated         [1]    bool     bool           CartPole-v1     -
is_init           [1]    bool     bool           CartPole-v1     -
logits            [2]    float32                 Linear          Categorical
action            []     int64    {0..1}         Categorical     CartPole-v1
                                                                   step,
                                                                 ClipPPOLoss"""


def test_a_narrow_terminal_breaks_the_last_three_columns_and_loses_nothing(flow):
    assert flow.table(width=80).splitlines()[:12] == NARROW.splitlines()
    for width in (40, 60, 80, 100):
        texts = [flow.table(w).split() for w in (width, 200)]
        one, other = (sorted("".join(w for w in words if not w.startswith("--"))) for words in texts)
        assert one == other
    for width in (80, 90, 100):
        assert all(len(line) <= width for line in flow.table(width).splitlines())


BROKEN = """\
key          shape  dtype    domain        written by         read by
-----------  -----  -------  ------------  -----------------  ------------------
observation  [2]    float32  within        inputs             OrnsteinUhlenbeck
                               [-8, 8]                          ProcessModule,
                                                              Reader of actions
action       ?      ?                      OrnsteinUhlenbeck  Reader of actions
                                             ProcessModule"""


def test_a_name_that_is_too_long_is_broken_at_its_humps_and_shifts_nothing():
    name = "OrnsteinUhlenbeckProcessModule"
    parts = {"observation": Bounded([-1, -8], [1, 8])}, Part(name, "policy", ("observation",), ("action",))
    later = Part("Reader of actions", reads=("action", "observation"))
    assert Flow(*parts, later).table(width=80) == BROKEN
    assert Flow(*parts, later).table(width=200).splitlines()[2].endswith(f"{name}, Reader of actions")


def test_values_that_are_handed_on_are_those_of_who_has_computed_them():
    actor = QValueActor(nn.Linear(4, 2), in_keys=["observation"], spec=Categorical(2))
    flow = Flow({"observation": Unbounded(4)}, actor)
    assert flow["action_value"].written_by == ("Linear",)
    assert flow["chosen_action_value"].written_by == ("QValueModule",)


def test_the_next_state_is_of_the_domain_of_the_state():
    flow = Flow(
        {"observation": Unbounded(4), "is_init": Binary((1,), dtype=torch.bool)},
        GRUModule(4, 8, in_key="observation", out_key="h"),
    )
    assert flow["recurrent_state"].holds.domain == flow["next", "recurrent_state"].holds.domain == "real"


def double(x):
    return 2 * x


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (TensorDictModule(double, ["x"], ["y"]), "double"),
        (WrapModule(double, in_keys=["x"], out_keys=["y"]), "double"),
        (as_tensordict_module(in_keys=["x"], out_keys=["y"])(double), "double"),
        (TensorDictModule(lambda x: x, ["x"], ["y"]), "function"),
        (TensorDictModule(Chain(Chain(nn.Tanh(), nn.Linear(4, 2)), nn.ReLU()), ["x"], ["y"]), "Linear"),
        (TensorDictModule(nn.Sequential(nn.Linear(4, 2)), ["x"], ["y"]), "Sequential"),
    ],
)
def test_what_a_module_is_called(module, name):
    assert name_of(module) == name


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
    for line in flow.table(width=200).splitlines():
        for cell in line.split("  "):
            if not cell.strip().startswith("--"):
                assert cell.strip() in text
    marked = Flow({"x": Unbounded(1)}, Part("[bold]net[/bold]", reads=("x",)))
    assert "[bold]net[/bold]" in shown(marked)
