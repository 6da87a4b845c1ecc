"""Heads that read what their trunk writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keywork._errors import Finding
from keywork._keys import listed, misspelling
from keywork.modules._refusal import without_external
from keywork.nn import TensorDictModuleBase

_NAMES = ("policy_operator", "value_operator")


def trunk_findings(steps: Mapping[str, TensorDictModuleBase], found: Sequence[Finding]) -> list[Finding]:
    """What the chain of trunk and heads has ``found``, and the keys of heads that are nearly one of the trunk's.

    In any chain a near miss is one of a key that nobody reads. Of a trunk, the other head may well read it.
    """
    trunk, *heads = steps.values()
    findings, there = without_external(found), [*trunk.in_keys, *trunk.out_keys]
    for name, head in zip(_NAMES, heads, strict=True):
        for key in head.contract.reads:
            near = None if key in there else misspelling(key, trunk.out_keys)
            told = any(finding.kind == "near-miss" and repr(key) in finding.problem for finding in findings)
            if near is not None and not told:
                outside = f"TensorDictSequential(trunk, policy, value, external=[{key!r}])"
                findings.append(
                    Finding(
                        "near-miss",
                        f"{name} ({head.label}) reads {key!r}, which nothing before it writes.",
                        f"common_operator writes {listed(trunk.out_keys)}",
                        f"did you mean {near!r}? Rename one of the two; if it comes from outside, {outside}.",
                    )
                )
        there += head.out_keys
    return findings
