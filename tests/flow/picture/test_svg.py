"""The picture as a document: well-formed, self-contained, and safe for any name."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from keywork.flow import Entry, Graph, Holding, Part
from keywork.flow.picture import layout, svg_of

SVG = "{http://www.w3.org/2000/svg}"


def test_the_document_is_well_formed_and_names_every_part_and_key(graph):
    root = ElementTree.fromstring(svg_of(graph))
    assert root.tag == f"{SVG}svg"
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    for part in graph.parts:
        assert any(text == part.name or (text.endswith("…") and part.name.startswith(text[:-1])) for text in texts)
    tips = "\n".join("".join(title.itertext()) for title in root.iter(f"{SVG}title"))
    for stream in graph.streams:
        assert (stream.key if isinstance(stream.key, str) else ".".join(stream.key)) in tips


def test_there_is_a_box_for_every_card_and_label_and_a_line_for_every_wire(graph):
    drawing, root = layout(graph), ElementTree.fromstring(svg_of(graph))
    classes = [element.get("class") for element in root.iter()]
    assert classes.count("card") == len(drawing.cards)
    assert classes.count("label") == len(drawing.labels)
    assert classes.count("line") == classes.count("gap") == len(drawing.wires)
    assert classes.count("arrow") == sum(wire.arrow for wire in drawing.wires)


def test_it_fetches_nothing_and_follows_light_and_dark(ppo_graph):
    svg = svg_of(ppo_graph)
    assert re.findall(r"https?://[^\"' )]+", svg) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"\b(src|href|url)\b", svg)
    assert "prefers-color-scheme:dark" in svg
    assert re.search(r'\bid="', svg) is None  # ids would clash with those of the page around it


def test_names_are_escaped_and_characters_that_xml_lacks_are_replaced():
    name = "<script>alert('x')</script>&\"\x00\x1b[31m"
    graph = Graph((Part(name, "env", writes=("</text>",)), Part("b", reads=("</text>",))),
                  (Entry("</text>", Holding((1,), "bool", "<&>"), (name,), ("b",)),))  # fmt: skip
    svg = svg_of(graph)
    root = ElementTree.fromstring(svg)
    assert "<script" not in svg
    assert any("</text>" in "".join(text.itertext()) for text in root.iter(f"{SVG}text"))
    assert "\N{REPLACEMENT CHARACTER}" in svg


def test_the_colours_of_every_kind_are_defined_and_readable_on_their_ground(ppo_graph):
    svg = svg_of(ppo_graph)
    for part in ppo_graph.parts:
        assert svg.count(f"--kw-{part.kind}:#") == 2

    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    def contrast(one, other):
        high, low = sorted((luminance(one), luminance(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for which in (0, 1):  # light, dark
        colours = {name: values[which] for name, values in _pairs(svg).items()}
        assert contrast(colours["ink"], colours["card"]) > 7
        for name, colour in colours.items():
            if name not in ("bg", "card", "rim"):
                assert contrast(colour, colours["card"]) >= 4.5, name


def _pairs(svg):
    pairs = {}
    for name, value in re.findall(r"--kw-(\w+):(#\w{6});", svg):
        pairs.setdefault(name, []).append(value)
    return pairs
