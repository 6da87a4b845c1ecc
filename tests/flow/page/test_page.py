"""The page as a document: well-formed, alone in the world, and safe for any name."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
import torch
from torch import nn

from keywork._errors import Finding
from keywork.flow import Entry, Flow, Graph, Holding, Part
from keywork.flow.page import notebook_of, page_of
from keywork.flow.page._facts import facts_of, named_in
from keywork.nn import TensorDictModule
from keywork.specs import Bounded

VOID = {"meta", "input"}


class Reader(HTMLParser):
    """Elements with their attributes, text by element, and whether every element is closed in turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), (tag, attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def facts(self):
        scripts = [text for tag, text in self.texts if tag == "script"]
        return json.loads(scripts[0])


def page(graph, findings=(), title="Data flow"):
    return page_of(graph, findings, {}, title)


@pytest.fixture
def broken():
    net = TensorDictModule(nn.Linear(4, 2), ["observatoin"], ["loc"])
    return Flow({"observation": Bounded(-1, 1, (4,))}, net, Part("Loss", "loss", ("loc",), ("loss_a",)), check=False)


def test_the_page_is_well_formed_and_its_ids_are_unique(graph):
    read = Reader(page(graph))
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {"search", "keys", "detail", "view", "facts", "theme", "zoom-in", "zoom-out", "zoom-fit"} <= set(ids)
    assert sum(attributes.get("role") == "option" for attributes in read.all("li")) == len(graph.entries)


def test_whatever_the_script_asks_for_is_there(graph):
    text = page(graph)
    read, script = Reader(text), text.rpartition("<script>")[2]
    ids = {attributes["id"] for _, attributes in read.elements if "id" in attributes}
    asked = set(re.findall(r'\bat\("([\w-]+)"\)', script)) | {"view", "keys", "search", "detail", "count", "facts"}
    assert asked <= ids
    facts = read.facts()
    assert list(facts) == ["parts", "keys", "findings", "notes"]
    assert (len(facts["parts"]), len(facts["keys"])) == (len(graph.parts), len(graph.entries))
    for attributes in read.all("g"):
        for number in attributes.get("data-keys", "").split():
            assert 0 <= int(number) < len(graph.entries)
        for number in attributes.get("data-parts", "").split():
            assert 0 <= int(number) < len(graph.parts)


def test_lines_and_rows_of_the_picture_name_their_keys(ppo_graph):
    read = Reader(page(ppo_graph))
    names = [entry.key for entry in ppo_graph.entries]
    nets = [attributes for attributes in read.all("g") if "net" in attributes.get("class", "").split()]
    keys = [[names[int(n)] for n in net["data-keys"].split()] for net in nets]
    assert keys[0] == ["observation"]
    assert nets[0]["data-parts"] == "0 1 4 5"
    assert keys[-1] == ["observation", ("next", "observation")]  # the back edge, with both of its ends
    assert nets[-1]["data-parts"] == "3 0"
    assert {int(a["data-key"]) for a in read.all("text") if "data-key" in a} == {
        names.index(key) for net in keys[:-1] for key in net
    }


def test_it_loads_nothing(graph):
    text = page(graph)
    assert set(re.findall(r"https?://[^\"' )<]+", text)) == {"http://www.w3.org/2000/svg"}
    read = Reader(text)
    assert not {"link", "img", "iframe", "object", "base"} & {tag for tag, _ in read.elements}
    assert all(not {"src", "href", "srcset"} & attributes.keys() for _, attributes in read.elements)
    assert "@import" not in text
    assert "url(" not in text
    policy = read.all("meta")[2]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"].startswith("default-src 'none'")


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u2028\x00]]>-->"


def harmless():
    parts = (Part("a", "env", writes=("k",), description="d"), Part("b", reads=("k",)))
    return Graph(parts, (Entry("k", Holding((1,), "t", "d"), ("a",), ("b",)),), notes=("n",))


def test_no_name_breaks_out_of_where_it_stands():
    parts = (Part(EVIL, "env", writes=(EVIL,), description=EVIL), Part("b", reads=(EVIL,)))
    graph = Graph(parts, (Entry(EVIL, Holding((1,), EVIL, EVIL), (EVIL,), (EVIL,)),), notes=(EVIL,))
    evil = Finding(EVIL, EVIL, EVIL, EVIL)
    text = page_of(graph, [evil], {EVIL: EVIL, "b": EVIL}, EVIL)
    assert text.lower().count("<script") == text.lower().count("</script") == 2
    assert "<script" not in notebook_of(graph)
    usual = Reader(page(harmless(), [Finding("k", "'k'", "k", "k")]))
    for read in (Reader(text), Reader(notebook_of(graph))):
        assert {tag for tag, _ in read.elements} <= {tag for tag, _ in usual.elements}
        assert {name for _, attributes in read.elements for name in attributes} <= {
            name for _, attributes in usual.elements for name in attributes
        }
    assert Reader(page(graph)).facts()["keys"][0]["name"] == EVIL


def test_findings_stand_on_top_and_mark_their_keys_and_parts(broken):
    text = broken.html()
    assert text.index("1 finding<") < text.index("<svg")
    assert "did you mean &#x27;observation&#x27;? Rename one of the two." in text
    facts = Reader(text).facts()
    assert {key["name"]: key["findings"] for key in facts["keys"]} == {
        "observation": [0], "observatoin": [0], "loc": [], "loss_a": [],
    }  # fmt: skip
    assert [part["findings"] for part in facts["parts"]] == [[], [0], []]
    assert text.count('class="mark"') == 2


def test_without_findings_there_is_no_such_section(ppo_graph):
    assert 'class="findings"' not in page(ppo_graph)


def test_a_longer_name_hides_the_shorter_one_in_it():
    names = ["Linear", "Linear 2", "'observation'", "('next', 'observation')"]
    assert named_in("Linear 2 reads ('next', 'observation')", names) == {1, 3}
    assert named_in("Linear reads 'observation'", names) == {0, 2}
    assert named_in("nothing", ["", "x"]) == set()


def test_facts_say_who_writes_and_reads_and_what_the_step_before_hands_over(flow_with_state):
    keys = {key["name"]: key for key in facts_of(flow_with_state.graph, (), {"GRU": "net.py:3"})["keys"]}
    assert keys["h"] == {
        "name": "h", "shape": "?", "dtype": "", "domain": "",
        "writers": [], "readers": [1, 2], "before": [1], "findings": [], "notes": [],
    }  # fmt: skip
    assert keys["next.h"]["writers"] == [1]
    parts = facts_of(flow_with_state.graph, (), {"GRU": "net.py:3"})["parts"]
    assert [part["source"] for part in parts] == ["", "net.py:3", ""]


@pytest.fixture
def flow_with_state():
    state = Part("GRU", "policy", ("x", "h"), ("out", ("next", "h")), carries=("h",))
    return Flow({"x": Bounded(-1, 1, (4,))}, state, Part("Loss", "loss", ("out", "h"), ("loss_a",)))


def test_the_title_and_the_sources_of_a_real_flow(broken):
    text = broken.html(title="Pendulum & co")
    assert "<title>Pendulum &amp; co</title>" in text
    assert Reader(text).facts()["parts"][1]["source"].startswith("torch/nn/modules/linear.py:")


def test_it_is_small_and_the_same_every_time(ppo_graph, wide_graph):
    assert len(page(ppo_graph)) < 60_000
    assert len(page(wide_graph)) < 300_000
    assert page(wide_graph) == page(wide_graph)


def test_both_modes_define_every_colour_that_is_used(ppo_graph):
    text = page(ppo_graph)
    for name in set(re.findall(r"var\((--kw-\w+)\)", text)):
        # light, dark by the system, each by the toggle for page and picture, and the picture's own two
        assert text.count(f"{name}:#") == 6, name


def test_a_notebook_gets_the_picture_and_the_table_without_a_script(broken):
    torch.manual_seed(0)
    cell = broken._repr_html_()
    read = Reader(cell)
    assert [tag for tag, _ in read.elements[:2]] == ["div", "style"]
    assert not {"script", "link", "html", "body"} & {tag for tag, _ in read.elements}
    assert not any("id" in attributes for _, attributes in read.elements)
    assert "observatoin" in cell
    for style in (text for tag, text in read.texts if tag == "style"):
        rules = re.findall(r"([^{}]+)\{[^{}]*\}", re.sub(r"@media\([^)]*\)\{(.*?\})\}", r"\1", style))
        for selector in ",".join(rules).split(","):
            assert selector.startswith((".kw-cell", ".kw-flow")), selector
