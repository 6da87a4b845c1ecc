"""Ring arithmetic, by hand."""

from __future__ import annotations

from keywork.buffers._ring import Ring


def test_pieces_by_hand() -> None:
    ring = Ring(steps=4, num_envs=3)
    assert (ring.advance(3), ring.rows, ring.head, ring.oldest) == ([(0, 3, 0)], 9, 3, 0)
    assert (ring.advance(2), ring.rows, ring.head, ring.oldest) == ([(3, 4, 0), (0, 1, 1)], 12, 1, 1)
    # Of 6 steps the last 4 stay: step 2 of them goes where the 2 before it would have ended, to slot (1 + 2) % 4.
    assert (ring.advance(6), ring.head) == ([(3, 4, 2), (0, 3, 3)], 3)
    assert (ring.advance(0), ring.head) == ([], 3)
    assert (Ring(4, 1).advance(4), Ring(4, 1, head=2).advance(4)) == ([(0, 4, 0)], [(2, 4, 0), (0, 2, 2)])
