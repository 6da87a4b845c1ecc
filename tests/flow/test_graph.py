"""Streams: who reads which version of an entry."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keywork.flow import Part, Stream
from keywork.flow._graph import streams_of


def test_a_read_belongs_to_the_last_write_before_it():
    parts = [
        Part("actor", writes=("action",)),
        Part("noise", reads=("action",), writes=("action",)),
        Part("env", reads=("action",)),
        Part("loss", reads=("action",)),
    ]
    assert streams_of(parts) == (Stream("action", 0, (1,)), Stream("action", 1, (2, 3)))


def test_optional_reads_count_and_reads_of_nothing_do_not():
    parts = [Part("a", reads=("x",), writes=("y",)), Part("b", reads=("z",), optional=("y",))]
    assert streams_of(parts) == (Stream("y", 0, (1,)),)


keys = st.sampled_from(["a", "b", "c", ("next", "a")])
parts_of_anything = st.lists(
    st.builds(
        Part,
        name=st.just("p"),
        reads=st.lists(keys, unique=True, max_size=3).map(tuple),
        writes=st.lists(keys, unique=True, max_size=3).map(tuple),
    ),
    max_size=8,
)


@given(parts_of_anything)
def test_streams_tell_what_running_the_parts_would(parts):
    # Run them: every entry holds who wrote it last.
    held, seen = {}, []
    for index, part in enumerate(parts):
        seen += [(key, held[key], index) for key in part.reads if key in held]
        held |= dict.fromkeys(part.writes, index)
    told = [(stream.key, stream.writer, reader) for stream in streams_of(parts) for reader in stream.readers]
    assert sorted(told, key=str) == sorted(seen, key=str)
    assert sum(len(part.writes) for part in parts) == len(streams_of(parts))
