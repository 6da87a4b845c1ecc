"""Every mistake is refused where it is made, before any environment begins or steps, with just these words.

A mistake is a function of tests/flow/mistakes that builds a pipeline; its docstring says what is wrong, and in which
kinds of pipelines. What is said of it is in tests/flow/mistakes/expected.txt and in the tables of docs/flow.md: after a
message has changed, ``python tests/flow/test_mistakes.py`` writes both anew, to be looked at in the diff.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, Space

from keywork._errors import KeyworkError
from keywork.envs import GymEnv

HERE = Path(__file__).parent / "mistakes"
EXPECTED = HERE / "expected.txt"
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "flow.md"
TOPICS = ("keys", "shapes", "actions", "memory", "learning")
BEGIN, END = "<!-- the mistakes: python tests/flow/test_mistakes.py -->", "<!-- the end of the mistakes -->"
PIPELINES = {
    *("feed-forward", "shared trunk", "recurrent", "multi-head", "masked", "dict observations"),
    *("discrete", "continuous"),
}


class Untouchable(gymnasium.Env):
    """Has spaces, and neither begins nor steps."""

    def __init__(self, observation_space: Space, action_space: Space) -> None:
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, **options: Any) -> Any:
        raise AssertionError("the environment was reset")

    def step(self, action: Any) -> Any:
        raise AssertionError("the environment took a step")


def untouchable(observation: Space | int, action: Space | int, num_envs: int = 2, **options: Any) -> GymEnv:
    """An environment of these spaces; a number stands for so many real numbers, or so many choices."""
    shown = Box(-np.inf, np.inf, (observation,)) if isinstance(observation, int) else observation
    taken = Discrete(action) if isinstance(action, int) else action

    def robot() -> Untouchable:
        return Untouchable(shown, taken)

    return GymEnv(robot, num_envs, **options)


@dataclass(frozen=True)
class Mistake:
    name: str
    title: str
    pipelines: tuple[str, ...]
    build: Callable[[Any], Any]


@dataclass(frozen=True)
class Topic:
    name: str
    title: str
    mistakes: tuple[Mistake, ...]


@cache
def topics() -> tuple[Topic, ...]:
    return tuple(_topic(name) for name in TOPICS)


def _topic(name: str) -> Topic:
    path = HERE / f"{name}.py"
    names = runpy.run_path(str(path))
    built_here = [
        value
        for key, value in names.items()
        if not key.startswith("_") and getattr(getattr(value, "__code__", None), "co_filename", "") == str(path)
    ]
    return Topic(name, names["__doc__"], tuple(_mistake(name, function) for function in built_here))


def _mistake(topic: str, build: Callable[[Any], Any]) -> Mistake:
    title, pipelines = re.fullmatch(r"(.+) \[(.+)\]", str(build.__doc__)).groups()  # type: ignore[union-attr]
    return Mistake(f"{topic}.{build.__name__}", title, tuple(pipelines.split(", ")), build)


def mistakes() -> list[Mistake]:
    return [mistake for topic in topics() for mistake in topic.mistakes]


@cache
def refusal_of(mistake: Mistake) -> Exception:
    try:
        built = mistake.build(untouchable)
    except (KeyworkError, KeyError, ValueError) as error:
        return error
    raise AssertionError(f"{mistake.name} is not refused: it builds {built!r}")


def kinds_of(error: Exception) -> list[str]:
    return list(dict.fromkeys(finding.kind for finding in getattr(error, "findings", ())))


def said_of(error: Exception) -> str:
    return str(error.args[0] if isinstance(error, KeyError) else error)


def entry_of(mistake: Mistake) -> str:
    """The text of expected.txt on one mistake."""
    error = refusal_of(mistake)
    kinds = f" ({', '.join(kinds_of(error))})" if kinds_of(error) else ""
    return f"=== {mistake.name}: {type(error).__name__}{kinds}\n{mistake.title}.\n---\n{said_of(error).rstrip()}"


def tables() -> Iterator[str]:
    """How many there are, and a collapsed table for each topic."""
    kinds = {kind for mistake in mistakes() for kind in kinds_of(refusal_of(mistake))}
    yield f"{len(mistakes())} mistakes, with {len(kinds)} kinds of findings:\n"
    for topic in topics():
        yield f"<details>\n<summary>{topic.title}: {len(topic.mistakes)}</summary>\n"
        yield "| mistake | what is said |\n|---|---|"
        yield from map(_row, topic.mistakes)
        yield f"\nIn code: [{topic.name}.py](../tests/flow/mistakes/{topic.name}.py).\n</details>\n"


def _row(mistake: Mistake) -> str:
    error = refusal_of(mistake)
    what = ", ".join(f"`{kind}`" for kind in kinds_of(error)) or f"`{type(error).__name__}`"
    title = mistake.title.replace("|", r"\|")
    lines = (f"`{line.strip()}`" for line in said_of(error).replace("|", r"\|").splitlines())
    return f"| {title}.<br>{what}<br>*{', '.join(mistake.pipelines)}* | {'<br>'.join(lines)} |"


def page_with_tables(text: str) -> str:
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{chr(10).join(tables())}\n{END}{rest.split(END)[1]}"


def expected() -> dict[str, str]:
    """What expected.txt says, by the name of the mistake."""
    texts = re.split(r"^=== ", EXPECTED.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {text.partition(": ")[0]: f"=== {text}".rstrip("\n") for text in texts}


@pytest.mark.parametrize("mistake", mistakes(), ids=lambda mistake: mistake.name)
def test_the_mistake_is_refused_at_once_in_these_words(mistake: Mistake) -> None:
    assert entry_of(mistake) == expected().get(mistake.name)


def test_no_message_is_expected_of_a_mistake_that_is_no_more() -> None:
    assert list(expected()) == [mistake.name for mistake in mistakes()]


def test_they_are_many_and_no_two_are_alike() -> None:
    messages = [said_of(refusal_of(mistake)) for mistake in mistakes()]
    assert len(messages) >= 60
    assert len(set(messages)) == len(messages) == len({mistake.title for mistake in mistakes()})


def test_they_are_made_in_all_kinds_of_pipelines() -> None:
    assert {pipeline for mistake in mistakes() for pipeline in mistake.pipelines} == PIPELINES


def test_every_kind_of_finding_occurs() -> None:
    source = ROOT / "src" / "keywork"
    files = [path for room in ("flow", "collectors", "objectives") for path in (source / room).rglob("*.py")]
    pattern = re.compile(r'\b(?:Finding|Found|Misfit|Advice)\(\s*"([a-z-]+)"')
    there = {kind for path in files for kind in pattern.findall(path.read_text(encoding="utf-8"))}
    assert there <= {kind for mistake in mistakes() for kind in kinds_of(refusal_of(mistake))}


def test_the_page_shows_them_as_they_are() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page_with_tables(text) == text


if __name__ == "__main__":
    EXPECTED.write_text("\n\n".join(map(entry_of, mistakes())) + "\n", encoding="utf-8")
    PAGE.write_text(page_with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
