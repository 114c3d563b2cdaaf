"""A table of texts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Listing:
    """Columns with their names, rows of texts.

    Attributes:
        columns: names; those of a list of facts are empty.
        rows: as many texts each.
        numbers: names of the columns that hold numbers.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rows)


def facts(*rows: tuple[str, str]) -> Listing:
    """Names and what is said of them."""
    return Listing(("", ""), rows)
