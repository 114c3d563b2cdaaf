"""Docstrings are plain text with `code` and indented equations; Sphinx expects reStructuredText."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sphinx.application import Sphinx

# What opens an indented part in Google's style.
SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields):$")
# Characters with a meaning in reStructuredText, unless within backticks.
SPECIAL = re.compile(r"(`[^`]*`)|([*|\\]|(?<=\w)_(?!\w))")


def translate(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Indented text becomes a literal block, and no character means more than itself."""
    lines[:] = _translated(lines)


def _translated(lines: list[str]) -> Iterator[str]:
    in_section = in_block = False
    for line in lines:
        indented = line.startswith(" ")
        if line and not indented:
            if in_block:
                yield ""
            in_section, in_block = bool(SECTION.match(line)), False
        if indented and not in_section:
            if not in_block:
                yield from ("", "::", "")
            in_block = True
            yield line
        else:
            yield SPECIAL.sub(lambda m: m[1] or "\\" + m[2], line)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", translate, priority=100)  # before napoleon
    return {"parallel_read_safe": True}
