"""Flow: a pipeline from its parts to a table, a picture, and the findings."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keywork._errors import ContractError
from keywork._keys import Key, next_key, unique
from keywork.flow._describe import passed_on
from keywork.flow._findings import graph_findings, passed_over
from keywork.flow._graph import Carry, Entry, Graph, Holding, Part
from keywork.flow._infer import infer
from keywork.flow._json import to_json
from keywork.flow._mermaid import mermaid
from keywork.flow._parts import Step, steps_of
from keywork.flow._reconfigured import renamed_steps, replaced_steps, steps_between
from keywork.flow._source import source_of
from keywork.flow._table import rich_table, table
from keywork.flow._unread import unread_outputs
from keywork.flow.page import notebook_of, page_of
from keywork.flow.picture import svg_of

if TYPE_CHECKING:
    from rich.table import Table

_LOG = logging.getLogger("keywork")


class Flow:
    """Who writes and who reads every key of a pipeline, and what the keys hold; found out when it is built.

    Args:
        parts: in the order in which they act, for example an environment, a policy, an estimator, a loss and an
            optimiser; any of them may be left out. A part is an environment, anything with ``in_keys`` and
            ``out_keys`` (a sequential stands for its steps), a ``torch.optim.Optimizer``, a dict of specs of what
            comes from outside, or a `Part` that describes anything else.
        check: refuse a pipeline with findings; otherwise they are left in ``findings``.

    Attributes:
        graph: all of it, as plain data.
        findings: what is wrong; empty unless ``check=False``.

    With an environment, or a dict of specs, everything that is read has to be written by somebody; without, what
    nobody writes is taken to come from outside.

    Raises:
        ContractError: a part reads a key that nothing before it writes, carries a state of which nobody says how it
            begins, or changes an action whose log-probability is stored; or something is no part of a pipeline. All
            findings at once.

    >>> import torch
    >>> from keywork.nn import TensorDictModule
    >>> from keywork.specs import Unbounded
    >>> policy = TensorDictModule(torch.nn.Linear(4, 2), ["observation"], ["action"])
    >>> print(Flow({"observation": Unbounded(4)}, policy).table())
    key          shape  dtype    domain  written by  read by
    -----------  -----  -------  ------  ----------  -------
    observation  [4]    float32  real    inputs      Linear
    action       [2]    float32          Linear      -
    """

    def __init__(self, *parts: Any, check: bool = True) -> None:
        self._build(steps_of(parts), check)

    def _build(self, steps: list[Step], check: bool) -> None:
        self._steps = tuple(steps)
        plain = tuple(step.part for step in steps)
        carries = _carries(plain)
        if all(part.kind not in ("env", "input") for part in plain):
            outside = _outside(plain, carries)
            steps = [Step(outside), *steps] if outside else steps
            plain = tuple(step.part for step in steps)
            carries = _carries(plain)
        trace = infer(steps)
        self.findings = (*graph_findings(steps, carries), *trace.findings)
        if check and self.findings:
            raise ContractError("Flow", self.findings)
        if self.findings:
            _LOG.warning("Flow(check=False) passes over %s", passed_over(self.findings))
        notes = (*unread_outputs(plain), *trace.notes)
        self.graph = Graph(plain, _entries(steps, carries, trace.holdings), carries, notes)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts, in the order in which they act; an environment is there twice."""
        return self.graph.parts

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every key, in the order of its first appearance."""
        return self.graph.entries

    def __getitem__(self, key: Key) -> Entry:
        for entry in self.graph.entries:
            if entry.key == key:
                return entry
        raise KeyError(f"{key!r} is no key of this flow; its keys are {[entry.key for entry in self.graph.entries]}.")

    @property
    def modules(self) -> dict[str, Any]:
        """The key modules by the names of their parts, in order: ``TensorDictSequential(flow.modules)`` runs them."""
        return {step.part.name: step.module for step in self._steps if step.module is not None}

    def renamed(self, names: Mapping[Any, Any], *, check: bool = True) -> Flow:
        """The same pipeline under other keys, checked anew; its modules share their parameters with these.

        ``("next", key)`` goes along with ``key``. What an environment shows is renamed as well, as if it showed that.

        >>> from keywork.nn import TensorDictModule
        >>> net = TensorDictModule(lambda x: x, ["observation"], ["action"])
        >>> Flow(net).renamed({"observation": "pixels"})["pixels"].read_by
        ('function',)
        """
        return self._of(renamed_steps(self._steps, names), check)

    def replaced(self, name: str, part: Any, *, check: bool = True) -> Flow:
        """The same pipeline with another part, or several in a sequential, in the place of one; checked anew.

        >>> from torch import nn
        >>> from keywork.nn import TensorDictModule
        >>> net, squash = (TensorDictModule(f, ["observation"], ["action"]) for f in (nn.Linear(4, 2), nn.Tanh()))
        >>> list(Flow(net).replaced("Linear", squash).modules)
        ['Tanh']
        """
        return self._of(replaced_steps(self._steps, name, part), check)

    def between(self, inputs: Any = None, outputs: Any = None, *, check: bool = True) -> Flow:
        """The parts on the way from some keys to others, as a pipeline of its own, checked anew.

        Args:
            inputs: where the way begins; None for the beginning. What its parts read besides is an input, too.
            outputs: where it ends; None for the end.
            check: refuse it if it has findings.

        Raises:
            ContractError: there is no such key, or no way.

        >>> from keywork.nn import TensorDictModule
        >>> steps = [TensorDictModule(lambda x: x, [key], [key + key]) for key in ("a", "aa", "aaaa")]
        >>> [entry.key for entry in Flow(*steps).between("aa", "aaaa").entries]
        ['aa', 'aaaa']
        """
        holdings = {entry.key: entry.holds for entry in self.entries}
        return self._of(steps_between(self._steps, holdings, inputs, outputs), check)

    @classmethod
    def _of(cls, steps: list[Step], check: bool) -> Flow:
        flow = cls.__new__(cls)
        flow._build(steps, check)
        return flow

    def table(self, width: int = 100) -> str:
        """Every key, what it holds, who writes it and who reads it, as aligned text of at most ``width`` columns."""
        return table(self.graph, width)

    def rich(self) -> Table:
        """The same for a terminal: an object that ``rich.print`` shows."""
        return rich_table(self.graph)

    def svg(self) -> str:
        """A picture of the pipeline: an SVG document that follows the viewer's light or dark mode."""
        return svg_of(self.graph)

    def mermaid(self) -> str:
        """A Mermaid flowchart: text that GitHub and many editors show as a picture."""
        return mermaid(self.graph)

    def html(self, title: str = "Data flow") -> str:
        """One page for a browser that loads nothing: picture, searchable keys, table, and the findings on top."""
        sources = {step.part.name: source_of(step) for step in self._steps}
        return page_of(self.graph, self.findings, sources, title)

    def _repr_html_(self) -> str:
        return notebook_of(self.graph)

    def to_json(self) -> str:
        """Everything, for other programs; nested keys are lists."""
        return to_json(self.graph)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"Flow({len(self.parts)} parts, {len(self.entries)} keys)"


def _carries(parts: Sequence[Part]) -> tuple[Carry, ...]:
    """The back edges: from who writes ``("next", k)`` to who has ``k`` at the beginning of the following step."""
    carries = []
    declared = {key for part in parts for key in part.carries}
    for source, part in enumerate(parts):
        for key in unique(k for p in parts for k in (*p.writes, *p.inputs)):
            if next_key(key) not in part.writes:
                continue
            first = next((i for i, p in enumerate(parts) if key in p.writes or key in p.inputs))
            starts_there = key in parts[first].writes and parts[first].kind == part.kind == "env"
            if starts_there or key in declared:
                carries.append(Carry(key, source, first))
    return tuple(carries)


def _outside(parts: Sequence[Part], carries: Sequence[Carry]) -> Part | None:
    """What comes from outside, as a part in front of the others: all that is read and that nobody has written."""
    written: set[Key] = {carry.key for carry in carries}
    wanted: list[Key] = []
    for part in parts:
        wanted += [key for key in part.reads if key not in written]
        written.update(part.writes)
    return Part("inputs", "input", writes=unique(wanted)) if wanted else None


def _entries(steps: Sequence[Step], carries: Sequence[Carry], holdings: Mapping[Key, Holding]) -> tuple[Entry, ...]:
    entries = []
    parts, carried = [step.part for step in steps], {next_key(carry.key): carry.key for carry in carries}
    for key in unique(key for part in parts for key in (*part.inputs, *part.writes)):
        writing = [step for step in steps if key in step.part.writes and key not in passed_on(step.module)]
        writers = tuple(step.part.name for step in writing)
        if not writers:
            writers = tuple(f"{parts[carry.source].name} (step before)" for carry in carries if carry.key == key)
        holds = holdings.get(key) or holdings.get(next_key(key), Holding())
        if key in carried and carried[key] in holdings and not holds.domain:
            holds = replace(holds, domain=holdings[carried[key]].domain)  # what the next step begins with
        if writers or any(key in part.reads for part in parts):  # what may be absent, and is, is no entry
            entries.append(Entry(key, holds, writers, tuple(part.name for part in parts if key in part.inputs)))
    return tuple(entries)
