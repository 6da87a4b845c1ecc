"""Ring arithmetic, by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keywork.buffers._ring import Ring


def test_pieces_by_hand() -> None:
    ring = Ring(steps=4, num_envs=3)
    assert (ring.advance(3), ring.rows, ring.head, ring.oldest) == ([(0, 3, 0)], 9, 3, 0)
    assert (ring.advance(2), ring.rows, ring.head, ring.oldest) == ([(3, 4, 0), (0, 1, 1)], 12, 1, 1)
    # Of 6 steps the last 4 stay: step 2 of them goes where the 2 before it would have ended, to slot (1 + 2) % 4.
    assert (ring.advance(6), ring.head) == ([(3, 4, 2), (0, 3, 3)], 3)
    assert (ring.advance(0), ring.head) == ([], 3)
    assert (Ring(4, 1).advance(4), Ring(4, 1, head=2).advance(4)) == ([(0, 4, 0)], [(2, 4, 0), (0, 2, 2)])


@given(st.integers(1, 6), st.lists(st.integers(0, 15), max_size=12))
def test_pieces_are_those_of_one_step_after_the_other(steps: int, counts: list[int]) -> None:
    ring, slots, head, written = Ring(steps, 2), [-1] * steps, 0, 0
    expected = [-1] * steps
    for count in counts:
        for start, stop, source in ring.advance(count):
            assert 0 <= start < stop <= steps
            slots[start:stop] = range(written + source, written + source + stop - start)
        for _ in range(count):
            expected[head], head, written = written, (head + 1) % steps, written + 1
        assert slots == expected
        assert (ring.head, ring.filled) == (head, min(written, steps))
        assert ring.rows == 2 * ring.filled
        assert ring.oldest == (head if written >= steps else 0)
