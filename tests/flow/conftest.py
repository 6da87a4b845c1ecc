"""Pipelines of several shapes and sizes, as plain data."""

from __future__ import annotations

import random

import pytest

from keywork._keys import unique
from keywork.flow import Carry, Entry, Graph, Holding, Part


def graph_of(parts, carries=()):
    keys = unique(key for part in parts for key in (*part.inputs, *part.writes))
    entries = [
        Entry(
            key,
            Holding((4,), "float32", "real"),
            tuple(part.name for part in parts if key in part.writes),
            tuple(part.name for part in parts if key in part.inputs),
        )
        for key in keys
    ]
    return Graph(tuple(parts), tuple(entries), tuple(carries))


def following(*keys):
    return tuple(("next", key) for key in keys)


def ppo():
    parts = [
        Part("CartPole-v1", "env", writes=("observation", "done", "is_init"), description="8 environments"),
        Part("MLP", "policy", ("observation",), ("logits",), description="4 → 64 → 64 → 2, 4.6k parameters"),
        Part("Categorical", "policy", ("logits",), ("action", "sample_log_prob")),
        Part("CartPole-v1 step", "env", ("action",), following("observation", "reward", "done", "terminated")),
        Part(
            "GAE",
            "estimator",
            ("observation", *following("observation", "reward", "done", "terminated")),
            ("state_value", "advantage", "value_target"),
        ),
        Part(
            "ClipPPOLoss",
            "loss",
            ("observation", "action", "sample_log_prob", "advantage", "value_target"),
            ("loss_objective", "loss_critic", "loss_entropy"),
        ),
        Part("Adam", "optimiser", ("loss_objective", "loss_critic", "loss_entropy")),
    ]
    return graph_of(parts, [Carry("observation", 3, 0), Carry("done", 3, 0)])


def recurrent():
    states = ("recurrent_state_h", "recurrent_state_c")
    parts = [
        Part("Ant-v5", "env", writes=("observation", "is_init")),
        Part("VecNorm", "policy", ("observation",), ("normalised",)),
        Part("LSTM", "policy", ("normalised", "is_init"), ("embedding", *following(*states)), states, states),
        Part("Actor head", "policy", ("embedding",), ("loc", "scale")),
        Part("Critic head", "value", ("embedding",), ("state_value",)),
        Part("TanhNormal", "policy", ("loc", "scale"), ("action", "sample_log_prob")),
        Part(
            "OrnsteinUhlenbeckProcess", "exploration", ("action", "is_init"), ("action", ("next", "noise")), ("noise",)
        ),
        Part("Ant-v5 step", "env", ("action",), following("observation", "reward", "done", "terminated", "is_init")),
        Part(
            "GAE",
            "estimator",
            ("state_value", *following("reward", "done", "terminated")),
            ("advantage", "value_target"),
        ),
        Part(
            "Loss",
            "loss",
            ("observation", "is_init", *states, "action", "sample_log_prob", "advantage"),
            ("loss_objective",),
        ),
        Part("Adam", "optimiser", ("loss_objective",)),
    ]
    loops = [Carry(state, 2, 2) for state in states] + [Carry("noise", 6, 6)]
    return graph_of(parts, [*loops, Carry("observation", 7, 0), Carry("is_init", 7, 0)])


def wide(columns=8, depth=7):
    """80 parts: encoders side by side, some of them reading across, and several heads."""
    rng = random.Random(0)
    sensors = [f"sensor_{i}" for i in range(columns)]
    parts = [Part("Humanoid", "env", writes=(*sensors, "done", "is_init"))]
    last = list(sensors)
    for level in range(depth):
        for i, sensor in enumerate(sensors):
            across = (rng.choice(sensors),) if rng.random() < 0.2 else ()
            written = f"{sensor}_h{level}"
            parts.append(
                Part(f"Encoder {i}.{level}", "policy", tuple({last[i]: 0, **dict.fromkeys(across)}), (written,))
            )
            last[i] = written
    parts.append(Part("Fuse", "policy", tuple(last), ("embedding",)))
    for head in range(8):
        parts.append(Part(f"Head {head}", "policy", ("embedding",), (f"loc_{head}", f"scale_{head}")))
        parts.append(
            Part(f"Normal {head}", "policy", (f"loc_{head}", f"scale_{head}"), (f"action_{head}", f"log_prob_{head}"))
        )
    parts.append(Part("Concat", "policy", tuple(f"action_{head}" for head in range(8)), ("action",)))
    parts.append(Part("Humanoid step", "env", ("action",), following(*sensors, "reward", "done")))
    parts.append(Part("GAE", "estimator", ("embedding", *following(*sensors, "reward", "done")), ("advantage",)))
    reads = ("action", "embedding", *(f"log_prob_{head}" for head in range(8)), "advantage")
    parts += [Part("Loss", "loss", reads, ("loss_objective",)), Part("Adam", "optimiser", ("loss_objective",))]
    step = [part.name for part in parts].index("Humanoid step")
    return graph_of(parts, [Carry(sensor, step, 0) for sensor in sensors])


def chain(length=80):
    steps = [Part(f"Step {i}", "policy", (f"x{i}",), (f"x{i + 1}",)) for i in range(length)]
    return graph_of([Part("Source", "input", writes=("x0",)), *steps])


def tangled(seed):
    """Parts that read and write at random: no pipeline that anybody would build, but one that has to be drawn."""
    rng = random.Random(seed)
    written, parts = ["x"], [Part("Source", "input", writes=("x",))]
    for i in range(rng.randrange(1, 25)):
        reads = tuple(dict.fromkeys(rng.choice(written) for _ in range(rng.randrange(4))))
        writes = tuple(f"k{i}_{j}" for j in range(rng.randrange(4)))
        again = tuple(key for key in reads if rng.random() < 0.2)
        parts.append(Part(f"Part {i} " + "w" * rng.randrange(30), "policy", reads, writes + again))
        written += writes
    loops = [Carry(f"c{i}", rng.randrange(len(parts)), rng.randrange(len(parts))) for i in range(rng.randrange(5))]
    readers = Part("Last", "loss", tuple(carry.key for carry in loops))
    return graph_of([*parts, readers], loops)


def loops():
    """Back edges that overlap, some of them only partly."""
    steps = [Part(f"Step {i}", "policy", (f"x{i}", f"s{i}"), (f"x{i + 1}",)) for i in range(5)]
    pairs = [(1, 2, 1), (0, 3, 2), (2, 4, 2), (3, 5, 4), (4, 1, 3)]
    return graph_of([Part("Source", "input", writes=("x0",)), *steps], [Carry(f"s{i}", a, b) for i, a, b in pairs])


GRAPHS = {
    "ppo": ppo,
    "recurrent": recurrent,
    "wide": wide,
    "chain": chain,
    "loops": loops,
    "empty": lambda: graph_of([]),
    "one": lambda: graph_of([Part("Alone")]),
    "unread": lambda: graph_of([Part("Alone", "module", (), ("a", "b"))]),
    **{f"tangled-{seed}": (lambda seed=seed: tangled(seed)) for seed in range(20)},
}


@pytest.fixture(params=GRAPHS)
def graph(request):
    """Each of the pipelines in turn."""
    return GRAPHS[request.param]()


@pytest.fixture
def ppo_graph():
    """The pipeline of PPO."""
    return ppo()


@pytest.fixture
def wide_graph():
    """A pipeline of 80 parts."""
    return wide()
