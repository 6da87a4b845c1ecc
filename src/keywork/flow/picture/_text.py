"""How wide a text is at the most, without knowing the font: pictures are laid out before anyone draws them."""

from __future__ import annotations

import unicodedata

# Upper bounds in em over the usual interface fonts, bold included; DejaVu Sans is the widest of them.
_NARROW, _SLIM, _USUAL, _UPPER, _WIDE = 0.40, 0.52, 0.72, 0.85, 1.11
_SANS = (
    dict.fromkeys("ijlI '|.,:;!`·", _NARROW) | dict.fromkeys('frt()[]-/\\"', _SLIM) | dict.fromkeys("mwMW@%…", _WIDE)
)
_SANS |= dict.fromkeys("+<>=~#^&→×", 0.88)
_MONO = 0.61


def sans_width(text: str, size: float) -> float:
    """The most that ``text`` can take in a sans-serif font of ``size`` pixels.

    >>> sans_width("ill", 10), sans_width("MLP", 10)
    (12.0, 28.1)
    """
    return round(sum(map(_sans_em, text)) * size, 2)


def mono_width(text: str, size: float) -> float:
    """The most that ``text`` can take in a fixed-width font of ``size`` pixels."""
    return round(sum(2 * _MONO if _is_wide(c) else _MONO for c in text) * size, 2)


def shortened(text: str, room: float, size: float) -> str:
    """The text, cut and ended by ``…`` where it would be wider than ``room`` in a sans-serif font.

    >>> shortened("CartPole-v1", 110, 14), shortened("CartPole-v1", 60, 14)
    ('CartPole-v1', 'Cart…')
    """
    if sans_width(text, size) <= room:
        return text
    while text and sans_width(text + "…", size) > room:
        text = text[:-1]
    return text.rstrip() + "…"


def wrapped(text: str, room: float, size: float, lines: int) -> list[str]:
    """The text in at most so many lines, broken at spaces; the last one is shortened.

    >>> wrapped("4 -> 64 -> 2, 4.6k parameters", 130, 11, lines=2)
    ['4 -> 64 -> 2, 4.6k', 'parameters']
    """
    rows: list[str] = []
    for word in text.split():
        joined = f"{rows[-1]} {word}" if rows else word
        if rows and (sans_width(joined, size) <= room or len(rows) == lines):
            rows[-1] = joined
        else:
            rows.append(word)
    return [shortened(row, room, size) for row in rows]


def _sans_em(char: str) -> float:
    known = _SANS.get(char)
    if known is not None:
        return known
    if _is_wide(char):
        return 1.11
    return _UPPER if char.isupper() else _USUAL


def _is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF"
