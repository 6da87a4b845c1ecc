"""Nothing in a picture lies on top of anything else."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from keywork.flow import Carry, Entry, Graph, Holding, Part
from keywork.flow.picture import layout, svg_of
from keywork.flow.picture._boxes import WIDEST_CARD
from keywork.flow.picture._layout import _Router
from keywork.flow.picture._plan import plan_of
from keywork.flow.picture._text import mono_width, sans_width


def overlap(one, other, apart=0.0):
    return (
        one.x < other.x + other.width + apart
        and other.x < one.x + one.width + apart
        and one.y < other.bottom + apart
        and other.y < one.bottom + apart
    )


def pieces(wire):
    return list(itertools.pairwise(wire.points))


def passes_through(piece, box, inset=1.0):
    (x1, y1), (x2, y2) = piece
    left, right = min(x1, x2), max(x1, x2)
    top, bottom = min(y1, y2), max(y1, y2)
    return (
        left < box.x + box.width - inset
        and box.x + inset < right + (left == right) * 1e-6
        and top < box.bottom - inset
        and box.y + inset < bottom + (top == bottom) * 1e-6
    )


def test_boxes_do_not_overlap_and_keep_a_distance(graph):
    drawing = layout(graph)
    for one, other in itertools.combinations((*drawing.cards, *drawing.labels), 2):
        assert not overlap(one, other, apart=6), (one.tip, other.tip)


def test_everything_lies_within_the_picture(graph):
    drawing = layout(graph)
    for box in (*drawing.cards, *drawing.labels):
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= drawing.width
        assert box.bottom <= drawing.height
    for x, y in (point for wire in drawing.wires for point in wire.points):
        assert 0 <= x <= drawing.width
        assert 0 <= y <= drawing.height


def test_texts_fit_into_their_boxes_and_do_not_overlap(graph):
    drawing = layout(graph)
    for box in (*drawing.cards, *drawing.labels):
        spans = []
        for text in box.texts:
            left = text.x - text.width if text.anchor == "end" else text.x
            assert left >= box.x + 6
            assert left + text.width <= box.x + box.width - 6
            assert box.y < text.y - text.size * 0.75
            assert text.y < box.bottom - text.size * 0.2
            spans.append((left, left + text.width, text.y - text.size * 0.8, text.y + text.size * 0.2))
        for (a, b, top, bottom), (c, d, other_top, other_bottom) in itertools.combinations(spans, 2):
            assert b <= c or d <= a or bottom <= other_top or other_bottom <= top, box.tip


def test_text_widths_are_those_of_the_font_they_are_drawn_in(ppo_graph):
    for box in (*layout(ppo_graph).cards, *layout(ppo_graph).labels):
        measure = sans_width if box.style == "card" else mono_width
        for text in box.texts:
            assert text.width == measure("".join(piece for piece, _ in text.pieces), text.size)


def test_lines_run_straight_down_or_across_and_through_no_box(graph):
    drawing = layout(graph)
    boxes = (*drawing.cards, *drawing.labels)
    for wire in drawing.wires:
        for piece in pieces(wire):
            (x1, y1), (x2, y2) = piece
            assert x1 == x2 or y1 == y2
            for box in boxes:
                assert not passes_through(piece, box), (piece, box.tip)


def test_lines_of_different_nets_never_run_along_each_other(graph):
    drawing = layout(graph)
    runs = [(wire.net, piece) for wire in drawing.wires for piece in pieces(wire)]
    for (net, ((a, b), (c, d))), (other, ((e, f), (g, h))) in itertools.combinations(runs, 2):
        if net == other:
            continue
        if a == c and e == g and abs(a - e) < 3:
            shared = min(max(b, d), max(f, h)) - max(min(b, d), min(f, h))
            assert shared <= 0.5, (net, other)
        if b == d and f == h and abs(b - f) < 3:
            shared = min(max(a, c), max(e, g)) - max(min(a, c), min(e, g))
            assert shared <= 0.5, (net, other)


def test_every_reader_gets_one_arrow(graph):
    drawing = layout(graph)
    bundles = {(stream.writer, stream.readers) for stream in graph.streams if stream.readers}
    kept = {(stream.writer, stream.readers) for stream in graph.handed_on}
    read = {key for part in graph.parts for key in part.inputs}
    loops = {(carry.source, carry.target) for carry in graph.carries if carry.key in read}
    assert sum(wire.arrow for wire in drawing.wires) == sum(len(readers) for _, readers in [*bundles, *kept]) + len(
        loops
    )
    tops = {(card.y) for card in drawing.cards}
    for wire in drawing.wires:
        if wire.arrow:
            x, y = wire.points[-1]
            assert y in tops
            assert any(card.y == y and card.x < x < card.x + card.width for card in drawing.cards)


def test_the_label_of_a_back_edge_keeps_off_the_lines_of_others(graph):
    drawing = layout(graph)
    for n, label in enumerate(drawing.labels):
        if not any(piece == "next step" for text in label.texts for piece, _ in text.pieces):
            continue
        across = [
            piece for wire in drawing.wires if wire.net != n for piece in pieces(wire) if piece[0][1] == piece[1][1]
        ]
        for (x1, y), (x2, _) in across:
            if min(x1, x2) < label.x + label.width and label.x < max(x1, x2):
                assert y <= label.y - 4 or y >= label.bottom + 4


@pytest.mark.parametrize(("line", "place"), [(128, 35), (129, 84)])
def test_a_label_goes_to_the_nearest_place_with_room_between_other_lines(line, place):
    # A label of height 41 in a lane from 0 to 200 would like to begin at (200 - 41) / 2 = 79.5. Between 80 and 129
    # there is just room for it with 4 on either side, 80 + 4 = 129 - 4 - 41 = 84; with a line at 128 there is not, and
    # of the rooms above, which ends at 80 - 4 - 41 = 35, and below, from 128 + 4 = 132 on, the upper one is nearer.
    router = _Router(plan_of(Graph(())))
    router.track_y = {(i, 0): y for i, y in enumerate((0, 80, line, 200))}
    assert router._free_place(0, 200, 41) == place


def test_a_state_of_the_step_before_goes_on_to_those_who_read_it_later():
    parts = (Part("GRU", "policy", ("h",), ("out", ("next", "h")), carries=("h",)), Part("Loss", "loss", ("out", "h")))
    graph = Graph(parts, tuple(Entry(k, Holding(), (), ()) for k in ("out", "h", ("next", "h"))), (Carry("h", 0, 0),))
    drawing = layout(graph)
    assert list(zip(drawing.keys, drawing.ends, [label.kind for label in drawing.labels], strict=True)) == [
        (("out",), (0, 1), "policy"),
        (("h",), (0, 1), "carry"),
        (("h", ("next", "h")), (0, 0), "carry"),
    ]
    assert [wire.net for wire in drawing.wires if wire.arrow] == [0, 1, 2]


def test_readers_stand_below_writers(graph):
    cards = layout(graph).cards
    for stream in graph.streams:
        for reader in stream.readers:
            assert cards[reader].y > cards[stream.writer].bottom


def test_the_main_line_of_ppo_is_straight_and_nothing_crosses_it(ppo_graph):
    drawing = layout(ppo_graph)
    assert len({card.centre for card in drawing.cards}) == 1
    # observation, logits, action, next, advantage and the losses stand on that line; sample_log_prob beside it
    centre = drawing.cards[0].centre
    assert [label.centre == centre for label in drawing.labels].count(False) == 2  # and the back edge


def test_a_long_name_is_cut_and_its_card_no_wider_than_the_widest():
    name = "A part with a name that is much too long for any card " * 3
    graph = Graph(
        (Part(name, description="and with as long a description " * 9, writes=tuple(f"key {i}" for i in range(50))),)
    )
    (card,) = layout(graph).cards
    assert card.width <= WIDEST_CARD
    assert card.height < 120
    texts = [text.pieces[0][0] for text in card.texts]
    assert texts[1].startswith("A part with a name")
    assert texts[1].endswith("…")
    assert texts[-1].startswith("unread: key 0, key 1")
    assert texts[-1].endswith(f"+{50 - texts[-1].count('key')}")
    assert name.strip() in card.tip


def test_a_chain_is_one_straight_line():
    parts = [Part("a", writes=("x",)), Part("b", reads=("x",), writes=("y",)), Part("c", reads=("y",))]
    entries = tuple(Entry(key, Holding(), (), ()) for key in ("x", "y"))
    drawing = layout(Graph(tuple(parts), entries))
    assert all(len(wire.points) == 2 for wire in drawing.wires)
    assert len({wire.points[0][0] for wire in drawing.wires}) == 1


def test_a_row_is_no_wider_than_a_page_even_with_many_parts_side_by_side():
    parts = [Part("a", writes=("x",)), *(Part(f"reader {i} of many", reads=("x",)) for i in range(40))]
    drawing = layout(Graph(tuple(parts), (Entry("x", Holding(), (), ()),)))
    assert drawing.width < 2000
    assert drawing.height < 4000


PROGRAM = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("pipelines", sys.argv[1])
pipelines = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pipelines)
from keywork.flow.picture import svg_of
sys.stdout.buffer.write(svg_of(pipelines.wide()).encode())
"""


def test_the_same_graph_gives_the_same_bytes_under_another_hash_seed(request, wide_graph):
    pipelines = str(request.path.parent.parent / "conftest.py")
    command = [sys.executable, "-c", PROGRAM, pipelines]
    done = subprocess.run(command, env={"PYTHONHASHSEED": "1"}, capture_output=True, check=True)
    assert done.stdout == svg_of(wide_graph).encode()
    assert svg_of(wide_graph) == svg_of(wide_graph)


@pytest.mark.parametrize("text", ["", "iiii", "WWWW", "CartPole-v1", "漢字", "…·→"])
def test_fixed_width_text_is_wider_than_any_usual_font_makes_it(text):
    # 0.602 em is DejaVu Sans Mono's width, the widest of the usual ones; East Asian characters take two places.
    places = sum(2 if char in "漢字" else 1 for char in text)
    assert mono_width(text, 10) >= 6.02 * places - 0.01
