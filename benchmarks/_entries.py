"""The rows of docs/results.md: what is trained, how often, and what others have published of it."""

from __future__ import annotations

from dataclasses import dataclass

ZOO = "RL Zoo, one run"
CLEANRL = "CleanRL"


@dataclass(frozen=True)
class Entry:
    """One row: a command, how many seeds, and the published figure that the mean over the seeds is held against.

    Attributes:
        name: what ``--only`` and the file of results call it.
        command: of the command line, without the seed.
        seeds: how many.
        published: mean and standard deviation; without a deviation, what counts as solved where nothing is published.
        source: of the published figure, with its steps.
        note: what a reader has to know.
        missed: what is said of a row that misses it, and is expected to.
    """

    name: str
    command: str
    seeds: int
    published: tuple[float, float | None]
    source: str
    note: str = ""
    missed: str = ""

    @property
    def goal(self) -> float:
        """The published mean less one standard deviation."""
        return self.published[0] - (self.published[1] or 0.0)

    @property
    def theirs(self) -> str:
        """The published figure as text."""
        mean, deviation = self.published
        return f"none (solved: {mean:g})" if deviation is None else f"{mean:.1f} ± {deviation:.1f}"


def _train(
    algorithm: str, env: str, seeds: int, published: tuple[float, float | None], source: str, more: str = ""
) -> Entry:
    command = f"keywork train {algorithm} --env {env} --preset{more}"
    return Entry(f"{algorithm} {env}", command, seeds, published, source)


def _short(algorithm: str, steps: int, published: tuple[float, float]) -> Entry:
    command = f"keywork train {algorithm} --env Hopper-v5 --preset{_QUICK} --total-steps {steps}"
    source = f"{CLEANRL}, Hopper-v2, 1,000,000 steps"
    note = f"As far as two hours of two cores went for this and one other run: {steps:,} steps, one seed."
    missed = f"with {steps / 1_000_000:.0%} of the steps"
    return Entry(f"{algorithm} Hopper-v5", command, 1, published, source, note, missed)


def _world(name: str, options: str, note: str, goal: tuple[float, str]) -> Entry:
    command = f"PYTHONPATH=benchmarks keywork train ppo --env worlds:{options}"
    missed = "as it should" if name.startswith(("memoryless", "unmasked")) else ""
    return Entry(name, command, 3, (goal[0], None), goal[1], note, missed)


_ROWS = " --normalize --gamma 0.98 --gae-lambda 0.8"  # but for the first, RL Zoo's of ppo_lstm
_GOAL_CART_POLE = 475.0, "nothing for a GRU; RL Zoo has 500 for an LSTM; CartPole-v1 counts as solved from 475"
_GOAL_DOORS = 19.0, "nothing, the environment is ours; 20 is the most there is"
_CART_POLE = (
    "CartPole without its velocities (benchmarks/worlds.py): with a memory and without one. The row without one is "
    "there to fail."
)
_DOORS = (
    "Fifty doors, two of them open, others at each step (benchmarks/worlds.py): what is open as a mask of actions, and "
    "as an observation like any other. The row without a mask is there to fail."
)
_FEW = " --eval-episodes 20"  # of a thousand steps each
_QUICK = " --compile" + _FEW

ENTRIES = [
    Entry("ppo CartPole-v1", "keywork train ppo --env CartPole-v1", 10, (500.0, 0.0), f"{ZOO}, 100,000 steps"),
    _train("ppo", "Acrobot-v1", 3, (-73.506, 18.201), f"{ZOO}, 1,000,000 steps"),
    _train("ppo", "MountainCar-v0", 3, (-110.423, 19.473), f"{ZOO}, 1,000,000 steps"),
    _train("ppo", "Pendulum-v1", 5, (-172.225, 104.159), f"{ZOO}, 100,000 steps, with gSDE"),
    _train("a2c", "CartPole-v1", 3, (500.0, 0.0), f"{ZOO}, 500,000 steps"),
    _train("a2c", "Acrobot-v1", 3, (-83.353, 17.213), f"{ZOO}, 500,000 steps"),
    _train("a2c", "MountainCar-v0", 3, (-111.263, 24.087), f"{ZOO}, 1,000,000 steps"),
    _train("reinforce", "CartPole-v1", 3, (475.0, None), "nothing; CartPole-v1 counts as solved from 475"),
    _train("reinforce", "Acrobot-v1", 3, (-100.0, None), "nothing; Acrobot-v1 counts as solved from -100"),
    _train("dqn", "CartPole-v1", 5, (500.0, 0.0), f"{ZOO}, 50,000 steps"),
    _train("dqn", "Acrobot-v1", 3, (-76.639, 11.752), f"{ZOO}, 100,000 steps"),
    _train("dqn", "MountainCar-v0", 3, (-100.849, 9.925), f"{ZOO}, 120,000 steps"),
    _train("qrdqn", "CartPole-v1", 5, (500.0, 0.0), f"{ZOO}, 50,000 steps"),
    _train("qrdqn", "Acrobot-v1", 3, (-69.135, 9.967), f"{ZOO}, 100,000 steps"),
    _train("qrdqn", "MountainCar-v0", 3, (-106.042, 15.536), f"{ZOO}, 120,000 steps"),
    _train("rainbow", "CartPole-v1", 3, (475.0, None), "nothing; CartPole-v1 counts as solved from 475"),
    _train("sacd", "CartPole-v1", 3, (475.0, None), "nothing; CartPole-v1 counts as solved from 475"),
    _train("ddpg", "Pendulum-v1", 3, (-152.099, 94.282), f"{ZOO}, 20,000 steps"),
    _train("td3", "Pendulum-v1", 3, (-151.855, 90.227), f"{ZOO}, 20,000 steps"),
    _train("sac", "Pendulum-v1", 3, (-156.995, 88.714), f"{ZOO}, 20,000 steps"),
    _world("recurrent ppo CartPoleNoVel-v1", "CartPoleNoVel-v1 --policy gru" + _ROWS, _CART_POLE, _GOAL_CART_POLE),
    _world("memoryless ppo CartPoleNoVel-v1", "CartPoleNoVel-v1" + _ROWS, _CART_POLE, _GOAL_CART_POLE),
    _world("masked ppo Doors-v0", "Doors-v0 --total-steps 50000", _DOORS, _GOAL_DOORS),
    _world("unmasked ppo DoorsUnmasked-v0", "DoorsUnmasked-v0 --total-steps 50000", _DOORS, _GOAL_DOORS),
    _train("ppo", "HalfCheetah-v5", 3, (1442.64, 46.03), f"{CLEANRL}, HalfCheetah-v4, 1,000,000 steps", _FEW),
    _train("ppo", "Hopper-v5", 3, (2382.86, 271.74), f"{CLEANRL}, Hopper-v4, 1,000,000 steps", _QUICK),
    _short("sac", 400_000, (2310.46, 342.82)),
    _short("td3", 500_000, (3391.78, 232.21)),
    _train("ppo", "Walker2d-v5", 3, (2287.95, 571.78), f"{CLEANRL}, Walker2d-v4, 1,000,000 steps", _QUICK),
]
