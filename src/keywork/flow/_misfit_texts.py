"""What modules of this package say when they refuse something, in the words of a finding."""

from __future__ import annotations

import re
from typing import Any

from keywork.flow._parts import Step
from keywork.nn import ProbabilisticTensorDictModule


def parts_of(text: str, batch: tuple[int, ...]) -> tuple[str, str, str]:
    r"""What could not be done, what was asked (either may end a sentence), and what to type.

    >>> parts_of("f cannot run: it has another shape.\n  where: x\n  expected: [7, 3]\n  fix: x.sum()", (7,))
    ('f cannot run: it has another shape', ' (expected: [*B, 3])', 'x.sum().')
    >>> parts_of("f cannot run: it got [7]. Pass x.sum().", (7,))
    ('f cannot run: it got [*B]', '', 'pass x.sum().')
    """
    text = batch_free(text, batch)
    first, *lines = text.splitlines()
    said = dict(line.strip().split(": ", 1) for line in lines if ": " in line)
    if "fix" in said:
        asked = f" (expected: {said['expected']})" if "expected" in said else ""
        return first.rstrip("."), asked, said["fix"].rstrip(".") + "."
    problem, *rest = re.split(r"(?<=[a-z\])])\. (?=[A-Z])", text)
    fix = rest.pop() if rest else "correct the network, or the keys that it reads."
    asked = "".join(f". {sentence}" for sentence in rest)
    return problem.rstrip("."), asked.rstrip("."), fix[:1].lower() + fix[1:]


def batch_free(text: str, batch: tuple[int, ...]) -> str:
    """The text with ``*B`` for the batch dimensions of all shapes in it.

    >>> batch_free("float32[5, 7, 4] and [5, 7]", (5, 7))
    'float32[*B, 4] and [*B]'
    """
    if not batch:
        return text
    sizes = ", ".join(map(str, batch))
    return re.sub(rf"([\[(]){sizes}(?=[,\])])", r"\1*B", text)


def is_of_shapes(text: str) -> bool:
    """Whether a refusal is for a shape or a type, and not, say, for a spec that is still to come.

    >>> is_of_shapes("f cannot split a tensor of shape [3]."), is_of_shapes("f has no spec.")
    (True, False)
    """
    return any(word in text for word in _OF_SHAPES)


_OF_SHAPES = ("shape", "as many values", "broadcast", "do not fit together", "images", "dimension", "dtype", "float32[")


def kind_of_refusal(step: Step, text: str) -> str:
    """Of which kind a refusal is."""
    module: Any = step.module
    if "mask" in text.partition("\n")[0]:
        return "action-mask"
    if "as many values as choices" in text:
        return "action-values"
    if isinstance(module, ProbabilisticTensorDictModule) or "NormalParamExtractor" in text:
        return "distribution-parameters"
    if "its tensors differ in shape" in text:
        return "value-shape"
    return "wrong-shape"
