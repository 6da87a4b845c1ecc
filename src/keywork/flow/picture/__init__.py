"""The picture of a graph: laid out in numbers, then drawn as SVG."""

from keywork.flow.picture._layout import Drawing, layout
from keywork.flow.picture._svg import escaped, palette, svg_of

__all__ = ["Drawing", "escaped", "layout", "palette", "svg_of"]
