"""How trouble with an environment travels from where it happens to where it can be told in full."""

from __future__ import annotations

from keywork._errors import EnvError


class EnvFault(Exception):  # noqa: N818 (never seen by a user: EnvError is)
    """Something went wrong in a sub-environment: what is known on the spot, before the seed and step are added.

    Args:
        doing: what could not be done to the environment: ``"made"``, ``"reset"``, ``"stepped"``, ``"closed"``.
        problem: what happened, as a clause whose subject is the environment: ``"raised ValueError: no"``.
        index: which environment, or None where it is not known.
        fix: what to do about it.
        trace: the traceback in a worker process, where it cannot be chained as an exception.
    """

    def __init__(self, doing: str, problem: str, index: int | None = None, fix: str = "", trace: str = "") -> None:
        super().__init__(doing, problem, index, fix, trace)  # all arguments: it is sent between processes
        self.doing, self.problem, self.index, self.fix, self.trace = doing, problem, index, fix, trace


class WorkerTraceback(Exception):  # noqa: N818 (a text to be read, not to be caught)
    """The traceback of an exception in a worker process, as text: the cause of the error in this process."""

    def __str__(self) -> str:
        return f"in the worker process:\n{self.args[0]}"


def raised(doing: str, index: int | None, error: BaseException) -> EnvFault:
    """The fault of an environment whose own code raised."""
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    return EnvFault(doing, f"raised {text}", index, "The environment's own traceback is the cause of this error.")


def env_error(name: str, num_envs: int, fault: EnvFault, where: str = "") -> EnvError:
    """The full message of a fault.

    >>> print(env_error("Maze-v0", 8, EnvFault("stepped", "raised ValueError: no", 3, "Mend it."), "at step 5"))
    'Maze-v0' cannot be stepped: env 3 of 8 raised ValueError: no
       at step 5
       Mend it.
    """
    who = "it" if fault.index is None else f"env {fault.index} of {num_envs}"
    lines = [f"{name!r} cannot be {fault.doing}: {who} {fault.problem}", where, fault.fix]
    error = EnvError("\n   ".join(line for line in lines if line))
    error.__cause__ = WorkerTraceback(fault.trace) if fault.trace else fault.__cause__
    return error
