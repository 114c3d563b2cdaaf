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
    if what == "property":
        lines[0] = f":{lines[0]}"  # else napoleon takes what stands before a colon for a type


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


def shorten(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Defaults such as <factory> are no Python, and no signature with one could be read."""
    return signature and re.sub(r"<[^<>]*>", "...", signature), returns


def is_left_out(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Fields of named tuples, which their class describes."""
    return True if (getattr(obj, "__doc__", "") or "").startswith("Alias for field") else None


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", translate, priority=100)  # before napoleon
    app.connect("autodoc-process-signature", shorten)
    app.connect("autodoc-skip-member", is_left_out)
    return {"parallel_read_safe": True}
