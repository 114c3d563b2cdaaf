"""How tables look."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mdsens.words.listing import Listing

PIPE_WIDTH = 110


def console() -> Console:
    """Standard output; of a fixed width where it is no terminal."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(width=width, highlight=False)


def plain_table(*columns: str, numbers: tuple[str, ...] = ()) -> Table:
    """A table without lines; the columns in `numbers` are aligned to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for k, name in enumerate(columns):
        table.add_column(name, justify="right" if name in numbers else "left", no_wrap=k == 0)
    return table


def listing(told: Listing) -> Table:
    """A table of texts as it is printed."""
    table = plain_table(*told.columns, numbers=told.numbers)
    table.show_header = any(told.columns)
    for row in told.rows:
        table.add_row(*map(Text, row))
    return table
