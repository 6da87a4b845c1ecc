"""The picture that docs/flow.md opens with is that of the pipeline whose code it shows.

After the look of pictures has changed, ``python tests/flow/test_flow_page.py`` writes docs/flow.svg anew.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE, PICTURE = ROOT / "docs" / "flow.md", ROOT / "docs" / "flow.svg"


def pipeline_of_the_page() -> Any:
    """The flow that the first block of the page builds."""
    code = re.search(r"```python\n(.+?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code[1], names)
    names["env"].close()
    return names["flow"]


def test_the_picture_is_that_of_the_first_pipeline() -> None:
    assert pipeline_of_the_page().svg().strip() == PICTURE.read_text(encoding="utf-8").strip()


def test_the_page_opens_with_the_picture() -> None:
    title, picture = PAGE.read_text(encoding="utf-8").split("\n\n")[:2]
    assert title == "# The flow"
    assert picture.endswith("](flow.svg)")


def test_the_picture_shows_a_memory_actor_critic_and_loss() -> None:
    parts = {part.name: part.kind for part in pipeline_of_the_page().parts}
    assert parts == {
        "Pendulum-v1": "env",
        "GRUModule": "policy",
        "Sequential": "policy",
        "TanhNormal": "policy",
        "Pendulum-v1 step": "env",
        "GAE": "estimator",
        "ClipPPOLoss": "loss",
        "Adam": "optimiser",
    }


if __name__ == "__main__":
    PICTURE.write_text(pipeline_of_the_page().svg().rstrip() + "\n", encoding="utf-8")
