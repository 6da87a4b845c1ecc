"""Positions keep their gaps and are the best that do."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywork.flow.picture._order import crossings, ordered
from keywork.flow.picture._place import Block, Link, gaps_of, separate, settled


def block(width=10.0, first=0, layers=1, weight=1.0, margin=0.0):
    return Block(first, (width,) * layers, (margin,) * layers, weight)


blocks = st.lists(
    st.builds(
        block,
        width=st.floats(1, 50),
        first=st.integers(0, 3),
        layers=st.integers(1, 3),
        weight=st.floats(0.1, 5),
        margin=st.floats(0, 5),
    ),
    min_size=1,
    max_size=12,
)


@given(blocks, st.data())
def test_every_gap_is_kept(things, data):
    wishes = data.draw(st.lists(st.floats(-100, 100), min_size=len(things), max_size=len(things)))
    order = data.draw(st.permutations(range(len(things))))
    gaps = gaps_of(things, order)
    xs = separate(things, order, wishes, gaps)
    for left, right, gap in gaps:
        assert xs[right] - xs[left] >= gap - 1e-6


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(0.1, 4)), min_size=1, max_size=7))
def test_in_one_layer_positions_are_the_weighted_least_squares(pairs):
    things = [block(width=10, weight=weight) for _, weight in pairs]
    wishes = [wish for wish, _ in pairs]
    order = list(range(len(pairs)))
    xs = separate(things, order, wishes, gaps_of(things, order))
    # With y_i = x_i - 10 i this is isotonic regression: y_i = max over a <= i of min over b >= i of mean(a..b).
    shifted = [wish - 10 * i for i, wish in enumerate(wishes)]

    def mean(a, b):
        weights = [things[i].weight for i in range(a, b + 1)]
        return sum(w * shifted[i] for w, i in zip(weights, range(a, b + 1), strict=True)) / sum(weights)

    for i, x in enumerate(xs):
        expected = max(min(mean(a, b) for b in range(i, len(xs))) for a in range(i + 1))
        assert x - 10 * i == pytest.approx(expected, abs=1e-6)


def test_a_block_of_several_layers_keeps_apart_in_each_of_them():
    # trunk 1 stands in layers 0 to 2; 0 is wide in layer 0, 2 in layer 2
    things = [block(100, first=0), block(2, first=0, layers=3), block(60, first=2)]
    xs = separate(things, [0, 1, 2], [0, 0, 0], gaps_of(things, [0, 1, 2]))
    assert xs[1] - xs[0] == pytest.approx(51)  # (100 + 2) / 2
    assert xs[2] - xs[1] == pytest.approx(31)  # (2 + 60) / 2


def test_two_blocks_that_pull_at_each_other_do_not_carry_the_rest_away():
    # 0 is linked to 1 and 2, which cannot come nearer to it than their widths allow
    things = [block(4, first=0, layers=2), block(100, first=1), block(100, first=1)]
    links = [Link(0, 1, 0, 1.0), Link(0, 2, 0, 1.0)]
    xs = settled(things, links, [1, 2, 0])
    assert max(map(abs, xs)) < 200


def test_orders_are_hardly_worse_than_the_best_ones():
    rng = random.Random(0)
    excess = []
    for _ in range(40):
        things = [block(first=0)] * 4 + [block(first=1)] * 4
        pairs = rng.sample(list(itertools.product(range(4), range(4, 8))), rng.randrange(3, 11))
        links = [Link(above, below, 0, 1.0) for above, below in pairs]
        order = ordered(things, links)
        assert sorted(order) == list(range(8))
        halves = itertools.product(itertools.permutations(range(4)), itertools.permutations(range(4, 8)))
        excess.append(crossings(order, links) - min(crossings([*up, *down], links) for up, down in halves))
    # Finding the best order is NP-hard; this one is it nearly always, and never far off.
    assert excess.count(0) >= 38
    assert max(excess) <= 2


def test_an_order_without_crossings_is_found_where_there_is_one():
    # a tree drawn upside down: 0 -> 1, 2; 1 -> 3, 4; 2 -> 5, 6, listed so that the given order crosses
    things = [block(first=0), block(first=1), block(first=1), *(block(first=2) for _ in range(4))]
    links = [Link(0, 1, 0, 1), Link(0, 2, 0, 1), *(Link(1 + i % 2, 3 + i, 1, 1) for i in range(4))]
    assert crossings(range(7), links) > 0
    assert crossings(ordered(things, links), links) == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_crossings_are_those_of_counting_pairs(pairs):
    links = [Link(above, 6 + below, 0, 1.0) for above, below in pairs]
    order = [5, 3, 0, 1, 2, 4, 9, 6, 7, 11, 10, 8]
    rank = {b: i for i, b in enumerate(order)}
    expected = sum(
        (rank[a.above] - rank[b.above]) * (rank[a.below] - rank[b.below]) < 0
        for a, b in itertools.combinations(links, 2)
    )
    assert crossings(order, links) == expected
