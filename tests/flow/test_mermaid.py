"""The Mermaid text: its grammar line by line, names of any kind, and the same text every time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywork.flow import Carry, Flow, Graph, Part
from keywork.flow._mermaid import mermaid

LABEL = r'"[^"\n]+"'
LINES = (  # all that the text is made of
    r"flowchart TD",
    rf"  p\d+\[{LABEL}\]:::\w+",
    rf"  p\d+ -->\|{LABEL}\| p\d+",
    rf"  p\d+ -\.->\|{LABEL}\| p\d+",
    r"  classDef \w+ fill:#\w{6},stroke:#\w{6},color:#\w{6}",
)

STATEFUL = """\
flowchart TD
  p0["inputs"]:::input
  p1["GRU"]:::policy
  p2["Loss<br>two heads, 3k"]:::loss
  p0 -->|"x"| p1
  p1 -->|"out<br>agents.y"| p2
  p1 -.->|"h"| p2
  p1 -.->|"next step: h"| p1
  classDef input fill:#e7ebf1,stroke:#5c6b80,color:#17202e
  classDef policy fill:#dbe8fc,stroke:#2a66cc,color:#17202e
  classDef loss fill:#fbdfe5,stroke:#c33554,color:#17202e
"""


def test_parts_are_nodes_keys_are_labels_and_the_next_step_is_dotted():
    parts = (
        Part("inputs", "input", writes=("x",)),
        Part("GRU", "policy", ("x", "h"), ("out", ("agents", "y"), ("next", "h")), carries=("h",)),
        Part("Loss", "loss", ("out", ("agents", "y"), "h"), description="two heads, 3k"),
    )
    assert mermaid(Graph(parts, (), (Carry("h", 1, 1),))) == STATEFUL


def test_every_line_is_one_of_five_forms_and_names_a_node_that_there_is(graph):
    lines = mermaid(graph).removesuffix("\n").split("\n")
    assert all(any(re.fullmatch(form, line) for form in LINES) for line in lines)
    nodes = {line.split("[")[0].strip() for line in lines if ":::" in line}
    assert nodes == {f"p{i}" for i in range(len(graph.parts))}
    assert {end for line in lines if "->|" in line for end in re.findall(r"\bp\d+(?= -)|p\d+$", line)} <= nodes
    kinds = {line.split()[1] for line in lines if "classDef" in line}
    assert kinds == {part.kind for part in graph.parts}


def test_every_stream_and_carry_has_a_line(graph):
    text = mermaid(graph)
    ways = {(stream.writer, reader) for stream in graph.streams for reader in stream.readers}
    assert text.count("-->|") == len(ways)
    assert text.count('"next step: ') == len({(carry.source, carry.target) for carry in graph.carries})


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ('say "x"', "say #34;x#34;"),
        ("a]b[c", "a#93;b#91;c"),
        ("`md`", "#96;md#96;"),
        ("**b** _i_", "#42;#42;b#42;#42; #95;i#95;"),
        ("sample_log_prob", "sample_log_prob"),
        ("<script>", "#60;script#62;"),
        ("a;b#35;", "a#59;b#35;35#59;"),
        ("x|y", "x#124;y"),
        ("1. list", "1#46; list"),
        ("- item", "#45; item"),
        ("漢字 → é", "漢字 → é"),
        ("two\nlines", "two#10;lines"),
        ("", "#160;"),
    ],
)
def test_names_are_written_so_that_they_mean_nothing_to_mermaid(name, written):
    assert mermaid(Graph((Part(name),))).split("\n")[1] == f'  p0["{written}"]:::module'


@given(st.text())
def test_no_name_leaves_its_quotes(name):
    lines = mermaid(Graph((Part(name, "env", writes=(name,)), Part("b", reads=(name,))))).removesuffix("\n").split("\n")
    assert len(lines) == 6
    assert all(any(re.fullmatch(form, line) for form in LINES) for line in lines)


def test_the_same_flow_gives_the_same_bytes():
    parts = [Part("a", "input", writes=("x", "y")), Part("b", "policy", ("x",), ("z",)), Part("c", "loss", ("z", "y"))]
    assert Flow(*parts).mermaid() == Flow(*parts).mermaid()
    assert Flow(*parts).mermaid().startswith("flowchart TD\n  p0[")
