"""What does not fit between steps, each with its message; and pipelines that are right, of which nothing is said."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from keywork import distributions as d
from keywork._errors import ContractError
from keywork.envs import GymEnv
from keywork.flow import Flow
from keywork.modules import (
    Actor,
    EGreedyModule,
    GRUModule,
    LSTMModule,
    OrnsteinUhlenbeckProcessModule,
    ProbabilisticActor,
    QValueActor,
    TanhModule,
    ValueOperator,
    gSDEModule,
)
from keywork.nets import MLP, ConvNet
from keywork.nn import ProbabilisticTensorDictModule as Draw
from keywork.nn import TensorDictModule as Net
from keywork.nn import TensorDictSequential as Chain
from keywork.objectives import GAE, ClipPPOLoss
from keywork.specs import Binary, Bounded, Categorical, MultiDiscrete, Unbounded

VECTORS = {"observation": Unbounded(3), "state": Unbounded(4)}
BYTES = {"pixels": Bounded(0, 255, (3, 84, 84), dtype=torch.uint8)}
MASKED = {"observation": Unbounded(3), "mask": Binary(3, dtype=torch.bool)}
PARAMETERS = {"loc": Unbounded(2), "scale": Bounded(0.1, 1.0, (3,))}


def choice(n, distribution=d.Categorical, size=4):
    net = Net(MLP(size, n), ["observation"], ["logits"])
    return ProbabilisticActor(net, ["logits"], distribution_class=distribution, return_log_prob=True)


def numbers(n, distribution=d.TanhNormal, **options):
    net = Net(nn.Sequential(nn.Linear(3, 2 * n), d.NormalParamExtractor()), ["observation"], ["loc", "scale"])
    return ProbabilisticActor(net, ["loc", "scale"], distribution_class=distribution, return_log_prob=True, **options)


def point(several=False):
    net = Net(nn.Sequential(nn.Linear(3, 1), nn.Tanh()), ["observation"], ["param"])
    keys, distribution = (["param"], d.Delta) if not several else ({"action": ["param"]}, {"action": d.Delta})
    return ProbabilisticActor(net, keys, distribution_class=distribution)


def recurrent(module):
    head = Draw(["logits"], ["action"], distribution_class=d.Categorical)
    return Chain(module, Net(nn.Linear(8, 2), ["f"], ["logits"]), head)


def learnt(env, actor, judge, critic=None):
    return env, actor, GAE(0.9, 0.9, judge), ClipPPOLoss(actor, critic or judge)


def critic(width=1):
    return ValueOperator(MLP(4, width))


def flat(x):
    return x.sum(-1)


def first(x):
    return x[..., 0]


def column(x):
    return x[..., :1].long()


def average(x):
    return x.mean().long()


def best_of_rows(x):
    return x[:, :2].argmax(1)


def to(function):
    return Net(function, ["observation"], ["action"])


def to_index(key):
    return Net(best_of_rows, [key], ["action"])


def backwards(key):
    return GRUModule(4, 8, in_key=key, out_key="f", bidirectional=True)


ENVS = {
    "cart": ("CartPole-v1", {}),
    "carts": ("CartPole-v1", {"num_envs": 3}),
    "cart, one-hot": ("CartPole-v1", {"one_hot": True}),
    "pendulum": ("Pendulum-v1", {}),
    "pendulum, clipped": ("Pendulum-v1", {"clip_actions": True}),
}


@pytest.fixture(scope="module")
def envs():
    made = {name: GymEnv(env, **options) for name, (env, options) in ENVS.items()}
    yield made
    for env in made.values():
        env.close()


WRONG = [
    (
        lambda: (VECTORS, Net(MLP(4, 2), ["observation"], ["y"])),
        "wrong-width",
        "MLP (policy, part 1) cannot run: Linear 4 -> 64 of MLP got 3 features and takes 4, from "
        "'observation'.\n"
        "provided: 'observation' float32[3] (written by inputs)\n"
        "build MLP for 3 features, here nn.Linear(3, 64) or nn.LazyLinear(64), or read 'state', which has 4.",
    ),
    (
        lambda: (VECTORS, Net(nn.Sequential(nn.Linear(3, 8), nn.Linear(9, 2)), ["observation"], ["y"])),
        "wrong-width",
        "Sequential (policy, part 1) cannot run: Linear 9 -> 2 of Sequential got 8 features and takes 9.\n"
        "provided: 'observation' float32[3] (written by inputs)\n"
        "build Sequential for 8 features, here nn.Linear(8, 2) or nn.LazyLinear(2).",
    ),
    (
        lambda: ({**VECTORS, "action": Unbounded(1)}, ValueOperator(MLP(5, 1), in_keys=["observation", "action"])),
        "wrong-width",
        "ValueOperator (value, part 1) cannot run: Linear 5 -> 64 of MLP got 4 features and takes 5.\n"
        "provided: 'observation' float32[3] (written by inputs), 'action' float32[1] (written by inputs)\n"
        "build MLP for 4 features, here nn.Linear(4, 64) or nn.LazyLinear(64).",
    ),
    (
        lambda: ({"pixels": Unbounded((4, 32, 32))}, Net(nn.Conv2d(3, 8, 3), ["pixels"], ["y"])),
        "wrong-width",
        "Conv2d (policy, part 1) cannot run: Conv2d got 4 channels and takes 3, from 'pixels'.\n"
        "provided: 'pixels' float32[4, 32, 32] (written by inputs)\n"
        "build Conv2d for 4 channels, here nn.Conv2d(4, 8, ...) or nn.LazyConv2d(8, ...).",
    ),
    (
        lambda: (VECTORS, ValueOperator(nn.Linear(4, 1), in_keys=["observation", "state"])),
        "input-count",
        "ValueOperator (value, part 1) cannot be called with 'observation', 'state': too many positional "
        "arguments.\n"
        "provided: 'observation' float32[3] (written by inputs), 'state' float32[4] (written by inputs)\n"
        "it takes (input): give as many in_keys, or a dict of them {argument: key}; a network of one input "
        "joins several with MLP, or with torch.cat in a step before.",
    ),
    (
        lambda: (VECTORS, Net(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), ["observation"], ["y"])),
        "wrong-rank",
        "Sequential (policy, part 1) cannot run: Conv2d of Sequential got vectors [3] and takes images [*B, "
        "channels, height, width], from 'observation'.\n"
        "provided: 'observation' float32[3] (written by inputs)\n"
        "use an MLP for vectors, or read a key that holds images: in_keys=['pixels'].",
    ),
    (
        lambda: (VECTORS, Net(ConvNet(), ["observation"], ["y"])),
        "wrong-rank",
        "ConvNet (policy, part 1) cannot run: ConvNet cannot take float32[*B, 3]: it takes images [*B, C, H, "
        "W].\n"
        "provided: 'observation' float32[3] (written by inputs)\n"
        "use an MLP for vectors, or read a key that holds images: in_keys=['pixels'].",
    ),
    (
        lambda: ({"speed": Unbounded()}, Net(nn.Linear(1, 2), ["speed"], ["y"])),
        "wrong-rank",
        "Linear (policy, part 1) cannot run: Linear 1 -> 2 got numbers without a last dimension, from "
        "'speed'.\n"
        "provided: 'speed' float32[] (written by inputs)\n"
        "add a last dimension of one in a step before: TensorDictModule(lambda x: x.unsqueeze(-1), "
        "['speed'], ['wide']).",
    ),
    (
        lambda: (BYTES, Net(nn.Conv2d(3, 8, 3), ["pixels"], ["y"])),
        "wrong-dtype",
        "Conv2d (policy, part 1) cannot run: Conv2d got uint8 and takes float32, from 'pixels'.\n"
        "provided: 'pixels' uint8[3, 84, 84] (written by inputs)\n"
        "scale the bytes first, TensorDictModule(lambda x: x.float() / 255, ['pixels'], ['scaled']), or use "
        "ConvNet, which does.",
    ),
    (
        lambda: ({"place": Categorical(5)}, Net(nn.Linear(5, 2), ["place"], ["y"])),
        "wrong-dtype",
        "Linear (policy, part 1) cannot run: Linear 5 -> 2 got int64 and takes float32, from 'place'.\n"
        "provided: 'place' int64[] (written by inputs)\n"
        "cast 'place' in a step before, TensorDictModule(lambda x: x.float(), ['place'], ['as_float']), or "
        "begin Linear with nn.Embedding if it is an index.",
    ),
    (
        lambda: ({"place": Unbounded()}, Net(nn.Embedding(5, 2), ["place"], ["y"])),
        "wrong-dtype",
        "Embedding (policy, part 1) cannot run: Embedding got float32 and takes int64, from 'place'.\n"
        "provided: 'place' float32[] (written by inputs)\n"
        "pass indices: x.argmax(-1) of scores or of a one-hot, x.long() of whole numbers; or use nn.Linear.",
    ),
    (
        lambda: ({"x": Unbounded(3, dtype=torch.float64)}, Net(nn.Linear(3, 2), ["x"], ["y"])),
        "wrong-dtype",
        "Linear (policy, part 1) cannot run: Linear 3 -> 2 got float64 and takes float32, from 'x'.\n"
        "provided: 'x' float64[3] (written by inputs)\n"
        "bring both to one type: Linear.to(torch.float32), or x.float() in a step before.",
    ),
    (
        lambda: ({"x": MultiDiscrete([3, 4])}, Net(nn.GELU(), ["x"], ["y"])),
        "wrong-dtype",
        "GELU (policy, part 1) cannot run: GELU failed: \"GeluKernelImpl\" not implemented for 'Long', from "
        "'x'.\n"
        "provided: 'x' int64[2] (written by inputs)\n"
        "cast what it reads in a step before: TensorDictModule(lambda x: x.float(), ['x'], [new]).",
    ),
    (
        lambda: (VECTORS, Net(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, device="meta")), ["observation"], ["y"])),
        "wrong-device",
        "Sequential (policy, part 1) cannot run: Linear 4 -> 2 of Sequential has its parameters on meta, and "
        "its input is on cpu.\n"
        "provided: 'observation' float32[3] (written by inputs)\n"
        "move all of it to one device: policy.to(device).",
    ),
    (
        lambda: (
            VECTORS,
            Chain(Net(nn.Linear(3, 4), ["observation"], ["h"]), Net(nn.Linear(4, 2, device="meta"), ["h"], ["y"])),
        ),
        "wrong-device",
        "Linear 2 (policy, part 2) cannot run: Linear 4 -> 2 has its parameters on meta, and its input is on "
        "cpu, from 'h'.\n"
        "provided: 'h' float32[4] (written by Linear)\n"
        "move all of it to one device: policy.to(device).",
    ),
    (
        lambda: (VECTORS, Net(nn.Linear(3, 4), ["observation"], ["loc", "scale"])),
        "output-count",
        "Linear (policy, part 1) cannot store what it computes: it returned 1 outputs (float32[*B, 4]), for "
        "out_keys=['loc', 'scale'] (2).\n"
        "provided: 'observation' float32[3] (written by inputs)\n"
        "end the network in NormalParamExtractor(), which makes both of one output of twice the width.",
    ),
    (
        lambda: (
            VECTORS,
            Net(nn.Sequential(nn.Linear(3, 3), d.NormalParamExtractor()), ["observation"], ["loc", "scale"]),
        ),
        "distribution-parameters",
        "Sequential (policy, part 1) cannot run: NormalParamExtractor cannot split a tensor of shape [*B, "
        "3]: its last dimension must be even, one half for loc and one for scale.\n"
        "provided: 'observation' float32[3] (written by inputs)\n"
        "give the network before it out_features = 2 * (the number of action dimensions).",
    ),
    (
        lambda: (PARAMETERS, Draw(["loc", "scale"], ["action"], distribution_class=d.TanhNormal)),
        "distribution-parameters",
        "TanhNormal (policy, part 1) cannot run: TanhNormal cannot be built: loc has shape [*B, 2] and scale "
        "[*B, 3], which do not broadcast.\n"
        "provided: 'loc' float32[2] (written by inputs), 'scale' float32[3] (written by inputs)\n"
        "give them the same shape, or a scale of one number.",
    ),
    (
        lambda: (PARAMETERS, Draw(["loc", "scale"], ["action"], distribution_class=torch.distributions.Normal)),
        "distribution-parameters",
        "Normal (policy, part 1) cannot run: it failed: The size of tensor a (2) must match the size of "
        "tensor b (3) at non-singleton dimension 1.\n"
        "provided: 'loc' float32[2] (written by inputs), 'scale' float32[3] (written by inputs)\n"
        "end the network in parameters of one shape: NormalParamExtractor splits an output in equal halves.",
    ),
    (
        lambda: (
            {"logits": Unbounded(4), "mask": Binary(3, dtype=torch.bool)},
            Draw(["logits", "mask"], ["action"], distribution_class=d.MaskedCategorical),
        ),
        "action-mask",
        "MaskedCategorical (policy, part 1) cannot run: MaskedCategorical cannot be built: mask of shape "
        "[*B, 3] does not fit the logits, which ask for [*B, 4] or fewer dimensions in front.\n"
        "provided: 'logits' float32[4] (written by inputs), 'mask' bool[3] (written by inputs)\n"
        "give mask that shape, or expand the logits to a larger batch.",
    ),
    (
        lambda: (MASKED, QValueActor(nn.Linear(3, 4), spec=Categorical(4), action_mask_key="mask")),
        "action-mask",
        "QValueModule (policy, part 2) cannot run: QValueModule cannot use its action mask: it has another "
        "shape (expected: a flag for each choice, of shape [*B, 4]).\n"
        "provided: 'action_value' float32[4] (written by Linear), 'mask' bool[3] (written by inputs)\n"
        "mask.expand(...) repeats it over the batch; the last dimension counts the choices.",
    ),
    (
        lambda: (VECTORS, QValueActor(nn.Linear(3, 2), spec=Categorical(3))),
        "action-values",
        "QValueModule (policy, part 2) cannot run: QValueModule cannot choose: there are not as many values "
        "as choices (expected: a last dimension of 3).\n"
        "provided: 'action_value' float32[2] (written by Linear)\n"
        "end the network in 3 outputs, or correct the spec.",
    ),
    (
        lambda: ("cart", choice(3)),
        "action-range",
        "CartPole-v1 step (env, part 3) cannot take 'action': it takes {0..1}, and gets {0..2}.\n"
        "provided: 'action' int64[] (written by Categorical)\n"
        "end the network before Categorical in 2 outputs; build what takes a spec with env.action_spec.",
    ),
    (
        lambda: ("cart", QValueActor(nn.Linear(4, 3), action_space="categorical")),
        "action-range",
        "CartPole-v1 step (env, part 3) cannot take 'action': it takes {0..1}, and gets {0..2}.\n"
        "provided: 'action' int64[] (written by QValueModule)\n"
        "end the network before QValueModule in 2 outputs; build what takes a spec with env.action_spec.",
    ),
    (
        lambda: ("cart", QValueActor(nn.Linear(4, 2), spec=Categorical(2)), EGreedyModule(Categorical(3))),
        "action-range",
        "CartPole-v1 step (env, part 4) cannot take 'action': it takes {0..1}, and gets {0..2}.\n"
        "provided: 'action' int64[] (written by EGreedyModule)\n"
        "end the network before EGreedyModule in 2 outputs; build what takes a spec with env.action_spec.",
    ),
    (
        lambda: ("pendulum", numbers(1, distribution_kwargs={"low": -3.0, "high": 3.0})),
        "action-range",
        "Pendulum-v1 step (env, part 3) cannot take 'action': it takes [-2, 2], and gets [-3, 3].\n"
        "provided: 'action' float32[1] (written by TanhNormal)\n"
        "give TanhNormal the environment's bounds: spec=env.action_spec, or low=..., high=...; or let the "
        "environment clip: clip_actions=True.",
    ),
    (
        lambda: ("pendulum", numbers(1, d.IndependentNormal)),
        "action-range",
        "Pendulum-v1 step (env, part 3) cannot take 'action': it takes [-2, 2], and gets real.\n"
        "provided: 'action' float32[1] (written by IndependentNormal)\n"
        "draw from a distribution with bounds, such as TanhNormal with spec=env.action_spec; or let the environment "
        "clip: clip_actions=True.",
    ),
    (
        lambda: ("pendulum", Actor(nn.Linear(3, 1)), OrnsteinUhlenbeckProcessModule(Bounded(-2.0, 2.0, (2,)))),
        "action-shape",
        "Pendulum-v1 step (env, part 3) cannot take 'action': it takes [-2, 2] of shape [1], and gets float32[2], "
        "which is the shape of the spec of OrnsteinUhlenbeckProcessModule.\n"
        "provided: 'action' float32[2] (written by OrnsteinUhlenbeckProcessModule)\n"
        "build OrnsteinUhlenbeckProcessModule with spec=env.action_spec, on a network of as many outputs as actions, "
        "1.",
    ),
    (
        lambda: ("pendulum, clipped", Net(nn.Linear(3, 1), ["observation"], ["loc"]), gSDEModule(1, 4)),
        "wrong-shape",
        "gSDEModule (policy, part 2) cannot run: gSDEModule cannot act: what it reads has another shape than it was "
        "built for (expected: 'loc' [*B, 1], 'observation' [*B, 4]).\n"
        "provided: 'loc' float32[1] (written by Linear), 'observation' float32[3] (written by Pendulum-v1), "
        "'_gsde_action_noise' float32[1, 4] (written by gSDEModule, step before), 'is_init' bool[1] (written by "
        "Pendulum-v1)\n"
        "build gSDEModule(1, 3), or correct what config says of its keys.",
    ),
    (
        lambda: ("cart", backwards("observation"), to_index("f")),
        "wrong-rank",
        "GRUModule (policy) runs backwards in time as well, and takes sequences [*B, T] alone: what acts has single "
        "steps [*B], and does not know those that follow.\n"
        "provided: bidirectional=True\n"
        "leave bidirectional out of it.",
    ),
    (
        lambda: ("cart", choice(2, d.OneHotCategorical)),
        "action-encoding",
        "CartPole-v1 step (env, part 3) cannot take 'action': it takes {0..1} of shape [], and gets "
        "int64[2]: a vector, not an index.\n"
        "provided: 'action' int64[2] (written by OneHotCategorical)\n"
        "build the environment with one_hot=True, or end the policy in Categorical instead of one-hot "
        "vectors.",
    ),
    (
        lambda: ("cart, one-hot", choice(2)),
        "action-encoding",
        "CartPole-v1 step (env, part 3) cannot take 'action': it takes one-hot 2 of shape [2], and gets "
        "int64[]: an index, not a vector.\n"
        "provided: 'action' int64[] (written by Categorical)\n"
        "build the environment without one_hot=True, or end the policy in OneHotCategorical.",
    ),
    (
        lambda: ("cart", to(MLP(4, 2))),
        "action-encoding",
        "CartPole-v1 step (env, part 2) cannot take 'action': it takes {0..1} of shape [], and gets "
        "float32[2]: scores or a vector, not an index.\n"
        "provided: 'action' float32[2] (written by MLP)\n"
        "draw an index: ProbabilisticActor(net, in_keys=['logits'], distribution_class=Categorical), or take "
        "the best: QValueActor(net, spec=env.action_spec).",
    ),
    (
        lambda: ("cart", to(first)),
        "action-dtype",
        "CartPole-v1 step (env, part 2) cannot take 'action': it takes {0..1} of int64, and gets float32.\n"
        "provided: 'action' float32[] (written by first)\n"
        "draw an index: ProbabilisticActor(net, in_keys=['logits'], distribution_class=Categorical), or take "
        "the best: QValueActor(net, spec=env.action_spec).",
    ),
    (
        lambda: ("pendulum", choice(2, size=3)),
        "action-dtype",
        "Pendulum-v1 step (env, part 3) cannot take 'action': it takes [-2, 2] of float32, and gets int64.\n"
        "provided: 'action' int64[] (written by Categorical)\n"
        "end the policy in numbers: ProbabilisticActor(net, in_keys=['loc', 'scale'], "
        "distribution_class=TanhNormal, spec=env.action_spec).",
    ),
    (
        lambda: ("cart", to(column)),
        "action-shape",
        "CartPole-v1 step (env, part 2) cannot take 'action': it takes {0..1} of shape [], and gets "
        "int64[1]: a dimension of one too many.\n"
        "provided: 'action' int64[1] (written by column)\n"
        "take off the last dimension: a.squeeze(-1) in a step after column, or in its network.",
    ),
    (
        lambda: ("cart, one-hot", choice(3, d.OneHotCategorical)),
        "action-shape",
        "CartPole-v1 step (env, part 3) cannot take 'action': it takes one-hot 2 of shape [2], and gets "
        "int64[3].\n"
        "provided: 'action' int64[3] (written by OneHotCategorical)\n"
        "end the network before OneHotCategorical in as many outputs as there are actions, 2.",
    ),
    (
        lambda: ("pendulum", numbers(2)),
        "action-shape",
        "Pendulum-v1 step (env, part 3) cannot take 'action': it takes [-2, 2] of shape [1], and gets "
        "float32[2].\n"
        "provided: 'action' float32[2] (written by TanhNormal)\n"
        "end the network before TanhNormal in as many outputs as there are actions, 1 (twice that before a "
        "NormalParamExtractor).",
    ),
    (
        lambda: ("pendulum", to(first)),
        "action-shape",
        "Pendulum-v1 step (env, part 2) cannot take 'action': it takes [-2, 2] of shape [1], and gets "
        "float32[]: the last dimension is missing.\n"
        "provided: 'action' float32[] (written by first)\n"
        "add the last dimension: a.unsqueeze(-1) after first, or a network that ends in one output.",
    ),
    (
        lambda: ("cart", to(average)),
        "lost-batch",
        "CartPole-v1 step (env, part 2) cannot take 'action': for 35 environments it has the shape [], not a "
        "row for each.\n"
        "provided: 'action' int64 scalar (written by average)\n"
        "let average keep the first dimensions: x.mean(-1), not x.mean(); x.flatten(1), not x.flatten().",
    ),
    (
        lambda: ("cart", recurrent(Net(nn.GRU(4, 8, batch_first=True), ["observation"], ["f", "_"]))),
        "mixed-batch",
        "GRU (policy, part 1) mixes the environments of a batch: its GRU takes them for moments of time, and "
        "'f' of one depends on what the others show.\n"
        "provided: 'observation' float32[4] (written by CartPole-v1)\n"
        "use GRUModule(..., in_key=..., out_key=...), which carries its state from step to step.",
    ),
    (
        lambda: ("cart", recurrent(LSTMModule(3, 8, in_key="observation", out_key="f"))),
        "wrong-shape",
        "LSTMModule (policy, part 1) cannot run: LSTMModule (3 -> 8) cannot run: its inputs do not fit "
        "together (expected: 'observation' [*B, 3], 'recurrent_state_h' [*B, 1, 8], 'recurrent_state_c' [*B, "
        "1, 8], 'is_init' [*B, 1] of dtype bool).\n"
        "provided: 'observation' float32[4] (written by CartPole-v1), 'recurrent_state_h' float32[1, 8] "
        "(written by LSTMModule, step before), 'recurrent_state_c' float32[1, 8] (written by LSTMModule, "
        "step before), 'is_init' bool[1] (written by CartPole-v1)\n"
        "build LSTMModule with input_size=4, or read another key: in_key=....",
    ),
    (
        lambda: ("cart", choice(2), GAE(0.9, 0.9, Net(flat, ["observation"], ["state_value"]))),
        "value-shape",
        "GAE (estimator, part 4) cannot run: generalized_advantage cannot be computed: its tensors differ in "
        "shape. It takes reward_t, v_t, v_tp1, terminated_t, done_t of one shape; got reward_t [*B, 1], v_t "
        "[*B], v_tp1 [*B], terminated_t [*B, 1], done_t [*B, 1].\n"
        "provided: 'observation' float32[4] (written by CartPole-v1), ('next', 'observation') float32[4] "
        "(written by CartPole-v1 step), ('next', 'reward') float32[1] (written by CartPole-v1 step), "
        "('next', 'done') bool[1] (written by CartPole-v1 step), ('next', 'terminated') bool[1] (written by "
        "CartPole-v1 step)\n"
        "values, rewards and advantages are [*B, 1]: end the critic in one output, nn.Linear(n, 1), and keep "
        "it.",
    ),
    (
        lambda: ("cart", choice(2), GAE(0.9, 0.9, critic(2))),
        "value-shape",
        "GAE (estimator, part 4) cannot run: generalized_advantage cannot be computed: its tensors differ in "
        "shape. It takes reward_t, v_t, v_tp1, terminated_t, done_t of one shape; got reward_t [*B, 1], v_t "
        "[*B, 2], v_tp1 [*B, 2], terminated_t [*B, 1], done_t [*B, 1].\n"
        "provided: 'observation' float32[4] (written by CartPole-v1), ('next', 'observation') float32[4] "
        "(written by CartPole-v1 step), ('next', 'reward') float32[1] (written by CartPole-v1 step), "
        "('next', 'done') bool[1] (written by CartPole-v1 step), ('next', 'terminated') bool[1] (written by "
        "CartPole-v1 step)\n"
        "values, rewards and advantages are [*B, 1]: end the critic in one output, nn.Linear(n, 1), and keep "
        "it.",
    ),
    (
        lambda: (*learnt("cart", choice(2), critic(), Net(flat, ["observation"], ["state_value"])),),
        "value-shape",
        "ClipPPOLoss (loss, part 5) cannot run: value_loss cannot be computed: its tensors differ in shape. "
        "It takes value, target of one shape; got value [*B], target [*B, 1].\n"
        "provided: 'observation' float32[4] (written by CartPole-v1), 'action' int64[] (written by "
        "Categorical), 'sample_log_prob' float32[] (written by Categorical), 'advantage' float32[1] (written "
        "by GAE), 'value_target' float32[1] (written by GAE)\n"
        "values, rewards and advantages are [*B, 1]: end the critic in one output, nn.Linear(n, 1), and keep "
        "it.",
    ),
]


RIGHT = [
    lambda: (VECTORS, Net(MLP(3, 2), ["observation"], ["y"])),
    lambda: (VECTORS, Net(nn.LazyLinear(2), ["observation"], ["y"])),
    lambda: (VECTORS, Net(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), ["observation"], ["y"])),
    lambda: (VECTORS, ValueOperator(MLP(7, 1), in_keys=["observation", "state"])),
    lambda: (BYTES, Net(ConvNet(), ["pixels"], ["y"])),
    lambda: ({"pixels": Unbounded((3, 32, 32))}, Net(nn.Conv2d(3, 8, 3), ["pixels"], ["y"])),
    lambda: ({"place": Categorical(5)}, Net(nn.Embedding(5, 2), ["place"], ["y"])),
    lambda: ({"x": Unbounded(3, dtype=torch.float64)}, Net(nn.Linear(3, 2).double(), ["x"], ["y"])),
    lambda: (VECTORS, Net(nn.Linear(3, 2, device="meta"), ["observation"], ["y"])),
    lambda: (VECTORS, Net(nn.GRU(3, 8, batch_first=True), ["observation"], ["f", "_"])),
    lambda: (VECTORS, Net(nn.BatchNorm1d(3), ["observation"], ["y"])),
    lambda: (
        {"loc": Unbounded(2), "scale": Bounded(0.1, 1.0, (1,))},
        Draw(["loc", "scale"], ["action"], distribution_class=d.TanhNormal),
    ),
    lambda: (
        {"logits": Unbounded(4), "mask": Binary(4, dtype=torch.bool)},
        Draw(["logits", "mask"], ["action"], distribution_class=d.MaskedCategorical),
    ),
    lambda: (MASKED, QValueActor(nn.Linear(3, 3), spec=Categorical(3), action_mask_key="mask")),
    lambda: (VECTORS, QValueActor(nn.Linear(3, 3), spec=Categorical(3)), EGreedyModule(Categorical(3))),
    lambda: ("cart", choice(2)),
    lambda: (*learnt("carts", choice(2), critic()),),
    lambda: ("cart", QValueActor(nn.Linear(4, 2), action_space="categorical")),
    lambda: ("cart, one-hot", QValueActor(nn.Linear(4, 2), action_space="one-hot")),
    lambda: ("cart, one-hot", choice(2, d.OneHotCategorical)),
    lambda: ("cart", to(best_of_rows)),
    lambda: ("pendulum", numbers(1, distribution_kwargs={"low": -2.0, "high": 2.0})),
    lambda: ("pendulum", numbers(1)),
    lambda: ("pendulum, clipped", numbers(1, d.IndependentNormal)),
    lambda: ("pendulum", numbers(1, d.IndependentNormal, spec=Bounded(-2.0, 2.0, (1,)), safe=True)),
    lambda: ("pendulum", Actor(nn.Sequential(nn.Linear(3, 1), nn.Tanh()))),
    lambda: ("pendulum", point()),
    lambda: ("pendulum", point(several=True)),
    lambda: ("pendulum", numbers(1, d.IndependentNormal, out_keys=["raw"]), TanhModule(["raw"], ["action"])),
    lambda: ("pendulum, clipped", numbers(1, distribution_kwargs={"low": -3.0, "high": 3.0})),
    lambda: ("pendulum", to(nn.Linear(3, 1))),
    lambda: ("cart", recurrent(LSTMModule(4, 8, in_key="observation", out_key="f"))),
    lambda: ("carts", recurrent(GRUModule(4, 8, in_key="observation", out_key="f"))),
    lambda: ("cart", choice(2), GAE(0.9, 0.9, critic(), average_gae=True)),
]


def flow_of(parts, envs, **options):
    return Flow(*(envs[part] if isinstance(part, str) else part for part in parts), **options)


@pytest.mark.parametrize(("parts", "kind", "message"), WRONG)
def test_what_does_not_fit_is_found_with_its_place_what_there_is_and_what_to_type(envs, parts, kind, message):
    (finding,) = flow_of(parts(), envs, check=False).findings
    assert (finding.kind, str(finding)) == (kind, message)


@pytest.mark.parametrize("parts", RIGHT)
def test_of_a_right_pipeline_nothing_is_said(envs, parts):
    flow = flow_of(parts(), envs)
    assert (flow.findings, flow.graph.notes) == ((), ())


def test_all_of_a_pipeline_come_in_one_error_and_who_follows_a_wrong_step_is_not_blamed(envs):
    wrong = Net(nn.Linear(3, 8), ["observation"], ["hidden"])
    after = Net(nn.Linear(9, 2), ["hidden"], ["action"])
    with pytest.raises(ContractError) as caught:
        flow_of(("cart", wrong, after, Net(nn.Linear(5, 1), ["observation"], ["state_value"])), envs)
    assert [finding.kind for finding in caught.value.findings] == ["wrong-width", "wrong-width"]
    assert str(caught.value).startswith("Flow cannot be built: 2 findings.\n1. Linear (policy, part 1) cannot run: ")


def test_a_failure_for_the_sake_of_values_is_no_finding():
    def only_sorted(x):
        if bool((x[..., 0] < x[..., 1]).all()):
            return x
        raise ValueError("not sorted")

    def allowed(x):
        return x > 10.0

    assert Flow(VECTORS, Net(only_sorted, ["observation"], ["y"])).graph.notes == (
        "what only_sorted writes is not known: ValueError: not sorted",
    )
    masked = Draw({"logits": "observation", "mask": "mask"}, ["a"], distribution_class=d.MaskedCategorical)
    assert Flow(VECTORS, Net(allowed, ["observation"], ["mask"]), masked).findings == ()
