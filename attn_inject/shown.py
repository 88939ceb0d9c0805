"""Results show themselves: `print` and notebooks give the page that the command line prints.

The pages are made in `display`, which knows the results; it registers them here.
"""

from __future__ import annotations

from functools import singledispatch
from html import escape


@singledispatch
def text_of(result: object) -> str:
    """The page of a result as plain text; `repr` where none is registered."""
    return repr(result)


@singledispatch
def html_of(result: object) -> str:
    """What a notebook shows of a result: its page as text, where nothing better is registered."""
    return f"<pre>{escape(text_of(result))}</pre>"


class Shown:
    """A result with `__str__` and a notebook's `_repr_html_`."""

    def __str__(self) -> str:
        return text_of(self).rstrip("\n")

    def _repr_html_(self) -> str:
        return html_of(self)
