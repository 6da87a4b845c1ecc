"""docs/matrix.md shows the matrix as it is, with what is said where there is no such thing.

After a cell or a message has changed, ``python tests/train/matrix/test_page.py`` writes it anew, to be looked at in
the diff.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import torch

from keywork._errors import KeyworkError

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "matrix.md"
BEGIN, END = "<!-- the matrix: python tests/train/matrix/test_page.py -->", "<!-- the end of the matrix -->"
cells, table = (SimpleNamespace(**runpy.run_path(str(HERE / name))) for name in ("cells.py", "table.py"))


def written() -> Iterator[str]:
    """The tables of algorithms that are alike, and what is said where one is refused."""
    rows = [row for storages in table.MATRIX.values() for row in storages.values()]
    count = sum(cell == table.RUNS for row in rows for cell in row)
    total = sum(map(len, rows))
    yield f"{total} cells: {count} run, {total - count} are refused, for one of {len(table.REASONS)} reasons.\n"
    yield f"| algorithm | storage | {' | '.join(cells.BODIES)} |\n|---|---|{'---|' * len(cells.BODIES)}"
    for alike, group in groupby(table.MATRIX, key=table.MATRIX.get):
        names = " · ".join(group)
        for storage, row in alike.items():
            yield f"| {names} | {storage} | {' | '.join('✓' if cell == table.RUNS else cell for cell in row)} |"
            names = ""
    yield "\n| refused | why | what is said, for example |\n|---|---|---|"
    for reason, (why, _) in table.REASONS.items():
        yield f"| {reason} | {why} | {said_of(reason)} |"


def said_of(reason: str) -> str:
    """The message of the first cell that is refused for this reason."""
    algorithm, storage, body = next(
        (algorithm, storage, body)
        for algorithm, rows in table.MATRIX.items()
        for storage, row in rows.items()
        for body, cell in zip(cells.BODIES, row, strict=True)
        if cell == reason
    )
    torch.manual_seed(3)
    try:
        made = cells.build(algorithm, body, storage)
        made.learn(made.collector.collect())
        made.learn(made.collector.collect())
    except KeyworkError as error:
        lines = str(error).replace("|", r"\|").splitlines()
        return f"*{algorithm}, {body}, {storage}*<br>" + "<br>".join(f"`{line.strip()}`" for line in lines)
    raise AssertionError(f"{algorithm}, {body}, {storage} is not refused")


def page_with_matrix(text: str) -> str:
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{chr(10).join(written())}\n\n{END}{rest.split(END)[1]}"


def test_the_page_shows_the_matrix_as_it_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page_with_matrix(text) == text


def test_every_reason_says_what_to_type() -> None:
    for reason, (_, pattern) in table.REASONS.items():
        assert re.search(pattern, said_of(reason).replace("`<br>`", " ")), reason


if __name__ == "__main__":
    PAGE.write_text(page_with_matrix(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
