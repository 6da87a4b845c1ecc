"""The cards of parts and the labels of keys: their texts, and the room that these take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

from keywork._keys import NEXT, Key, next_key, path_of
from keywork.flow._graph import Entry, Part
from keywork.flow.picture._text import mono_width, sans_width, shortened, wrapped

WIDEST_CARD = 276.0
_NARROWEST_CARD = 132.0
_PAD = 14.0
_ROW = 17.0
_TITLE, _SMALL, _MONO = 14.0, 11.0, 12.0
_MOST_KEYS = 8  # in one label; the rest is in its tooltip


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text: pieces of (text, style), the point where it begins (or ends), and its greatest width.

    In a label, ``row`` says which of its keys the line is about; elsewhere it is -1.
    """

    pieces: tuple[tuple[str, str], ...]
    x: float
    y: float
    width: float
    size: float
    anchor: str = "start"
    row: int = -1


@dataclass(frozen=True, slots=True)
class Box:
    """A card or a label, with its upper left corner at ``x, y``; its texts lie in the same coordinates."""

    x: float
    y: float
    width: float
    height: float
    style: str
    kind: str
    texts: tuple[Text, ...]
    tip: str

    @property
    def centre(self) -> float:
        """The middle, from left to right."""
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.y + self.height


def moved(box: Box, x: float, y: float) -> Box:
    """The box with its upper left corner elsewhere."""
    dx, dy = x - box.x, y - box.y
    texts = tuple(replace(text, x=text.x + dx, y=text.y + dy) for text in box.texts)
    return replace(box, x=x, y=y, texts=texts)


def dotted(key: Key) -> str:
    """``next.reward``."""
    return ".".join(path_of(key))


def card_of(part: Part, unread: Sequence[Key], ports: int) -> Box:
    """The card of a part; wide enough for ``ports`` lines on one side."""
    room = WIDEST_CARD - 2 * _PAD
    rows = [(part.kind.upper(), "kind", 9.5), (part.name, "title", _TITLE)]
    rows += [(line, "more", _SMALL) for line in wrapped(part.description, room, _SMALL, lines=2)]
    rows += [(_unread_line(unread, room), "more", _SMALL)] if unread else []
    texts, y = [], 8.0
    for text, style, size in rows:
        y += size + 4.5
        fitting = shortened(text, room, size)
        texts.append(Text(((fitting, style),), _PAD, y - 2, sans_width(fitting, size), size))
    width = max(_NARROWEST_CARD, 18.0 * (ports + 1), *(text.width + 2 * _PAD for text in texts))
    tip = [f"{part.name} ({part.kind})", *([part.description] if part.description else [])]
    for verb, keys in (("reads", part.reads), ("may read", part.optional), ("writes", part.writes)):
        tip += [f"{verb} {', '.join(map(dotted, keys))}"] if keys else []
    tip += [f"nobody reads {', '.join(map(dotted, unread))}"] if unread else []
    return Box(0, 0, _even(width), round(y + 9), "card", part.kind, tuple(texts), "\n".join(tip))


def label_of(entries: Sequence[Entry], kind: str) -> Box:
    """The label of the keys on one line: a row for each, with its shape (and its type, unless float32)."""
    shown = entries if len(entries) <= _MOST_KEYS else entries[: _MOST_KEYS - 1]
    names = [_name_pieces(entry.key) for entry in shown]
    holds = [_holds_text(entry) for entry in shown]
    if len(shown) < len(entries):
        names.append(((f"and {len(entries) - len(shown)} more", "dim"),))
        holds.append("")
    widths = [
        (mono_width("".join(text for text, _ in name), _MONO), mono_width(hold, _MONO))
        for name, hold in zip(names, holds, strict=True)
    ]
    width = _even(max(left + (right + 12 if right else 0) for left, right in widths) + 20)
    texts = []
    for row, (name, hold, (left, right)) in enumerate(zip(names, holds, widths, strict=True)):
        y = 4 + _ROW * row + 12.5
        texts.append(Text(name, 10, y, left, _MONO, row=row if row < len(shown) else -1))
        if hold:
            texts.append(Text(((hold, "dim"),), width - 10, y, right, _MONO, "end", row))
    tip = "\n".join(map(_tip_of, entries))
    return Box(0, 0, width, 7 + _ROW * len(names), "label", kind, tuple(texts), tip)


def carry_label_of(keys: Sequence[Key]) -> Box:
    """The label of a back edge: what the following step begins with."""
    more = f" +{len(keys) - 1}" if len(keys) > 1 else ""
    rows = [(("next step", "dim"),), ((dotted(keys[0]), "key"), (more, "dim"))]
    widths = [mono_width("".join(text for text, _ in row), _MONO) for row in rows]
    texts = [Text(row, 10, 4 + _ROW * i + 12.5, widths[i], _MONO) for i, row in enumerate(rows)]
    tip = "\n".join(f"{dotted(next_key(key))} is {dotted(key)} of the next step" for key in keys)
    return Box(0, 0, _even(max(widths) + 20), 7 + _ROW * len(rows), "label", "carry", tuple(texts), tip)


def _even(width: float) -> float:
    """Rounded up, so that the middle is at a whole pixel."""
    return 2.0 * ceil(width / 2)


def _unread_line(keys: Sequence[Key], room: float) -> str:
    """As many names as there is room for, and how many more there are."""
    names = [dotted(key) for key in keys]
    for shown in range(len(names), 0, -1):
        more = f" +{len(names) - shown}" if shown < len(names) else ""
        line = f"unread: {', '.join(names[:shown])}{more}"
        if sans_width(line, _SMALL) <= room:
            return line
    return f"unread: {len(names)} keys"


def _name_pieces(key: Key) -> tuple[tuple[str, str], ...]:
    path = path_of(key)
    if path[0] == NEXT and len(path) > 1:
        return ((f"{NEXT}.", "dim"), (".".join(path[1:]), "key"))
    return ((".".join(path), "key"),)


def _holds_text(entry: Entry) -> str:
    shape, dtype = entry.holds.shape_text, entry.holds.dtype
    return " ".join([shape] * (shape != "?") + [dtype] * (dtype not in ("", "float32")))


def _tip_of(entry: Entry) -> str:
    holds = entry.holds
    facts = [text for text in (holds.shape_text, holds.dtype, holds.domain) if text]
    writers, readers = ", ".join(entry.written_by) or "nobody", ", ".join(entry.read_by) or "nobody"
    return f"{dotted(entry.key)}: {', '.join(facts)}; written by {writers}; read by {readers}"
