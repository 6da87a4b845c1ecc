"""A graph as a page for a browser, and as a cell of a notebook."""

from keywork.flow.page._document import page_of
from keywork.flow.page._notebook import notebook_of

__all__ = ["notebook_of", "page_of"]
