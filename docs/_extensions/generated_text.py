"""What the program says of itself, in place of

    ```{generated} NAME
    ```

in a page: `command_line`, `potentials`, `observables`, `averages`, `minimizers`, `units`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from unittest.mock import patch

from sphinx.application import Sphinx

from mdsens.catalogue import (
    AVERAGES,
    MINIMIZERS,
    OBSERVABLES,
    POTENTIALS,
    ObservableEntry,
    PotentialEntry,
)
from mdsens.cli import main
from mdsens.cli.commands import app as commands
from mdsens.cli.listings import default_of, unit_of
from mdsens.units import PLANE_UNITS, UNITS

MARK = re.compile(r"^```\{generated\} (\w+)\n```$", re.MULTILINE)
DOI = re.compile(r"doi:(\S+[\w)])")


def command_line() -> str:
    """The help of every command."""
    return "\n".join(
        f"## `{command}`\n\n```text\n{_help(command.split()[1:])}\n```\n" for command in _commands()
    )


def potentials() -> str:
    return "\n".join(_potential(entry) for entry in POTENTIALS.values())


def observables() -> str:
    return _observables(OBSERVABLES)


def averages() -> str:
    return _observables(AVERAGES)


def minimizers() -> str:
    return _table(
        ("name", "what it is", "source"),
        ((f"`{e.name}`", e.meaning, linked(e.source)) for e in MINIMIZERS.values()),
    )


def units() -> str:
    """Those in which a number may be given, by quantity."""
    return _table(
        ("quantity", "units"),
        (
            (kind, ", ".join(f"`{name}`" for name in names))
            for kind, names in (UNITS | {f"{k} in 2D": v for k, v in PLANE_UNITS.items()}).items()
        ),
    )


def linked(source: str) -> str:
    """With links to what has a DOI."""
    return DOI.sub(r"[doi:\1](https://doi.org/\1)", source)


def _commands() -> Iterator[str]:
    groups = {g.name: g.typer_instance for g in commands.registered_groups}
    for command in commands.registered_commands:
        yield f"mdsens {command.name or _name(command.callback)}"
    for group, inner in groups.items():
        assert inner is not None
        for command in inner.registered_commands:
            yield f"mdsens {group} {command.name or _name(command.callback)}"


def _name(function: Callable[..., object] | None) -> str:
    assert function is not None
    return function.__name__


def _help(arguments: list[str]) -> str:
    told = io.StringIO()
    with patch.dict(os.environ, COLUMNS="100"), contextlib.redirect_stdout(told):
        assert main([*arguments, "--help"]) == 0
    return told.getvalue().strip()


def _potential(entry: PotentialEntry) -> str:
    rows = (
        (f"`{p.name}`", unit_of(p.dimension), default_of(p), p.meaning) for p in entry.parameters
    )
    options = "".join(
        f"Option `{name}`: {', '.join(f'`{v}`' for v in values)}; the first unless given.\n\n"
        for name, values in entry.options
    )
    file = f"Parameters may come from a LAMMPS file: `file = ...` ({entry.file}).\n\n"
    return (
        f"## {entry.kind}\n\n```text\n{entry.equation}\n```\n\n"
        f"In Python `mdsens.potentials.{entry.class_name}`.\n\n"
        + _table(("parameter", "unit", "default", "meaning"), rows)
        + f"\n{options}{file if entry.file else ''}Source: {linked(entry.source)}.\n"
    )


def _observables(entries: Mapping[str, ObservableEntry]) -> str:
    return _table(
        ("name", "unit in 3D", "shape", "meaning"),
        (
            (f"`{e.name}`", unit_of(e.dimension(3)), f"`{e.shape}`", e.meaning + _remarks(e))
            for e in entries.values()
        ),
    )


def _remarks(entry: ObservableEntry) -> str:
    remarks = {
        "measured, not differentiable": not entry.differentiable,
        "needs a cell that is periodic in every direction": entry.needs_volume,
        "needs a purely repulsive potential": entry.needs_contacts,
    }
    return "".join(f"; {text}" for text, holds in remarks.items() if holds)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


TEXTS: dict[str, Callable[[], str]] = {
    f.__name__: f for f in (command_line, potentials, observables, averages, minimizers, units)
}


def insert(app: Sphinx, page: str, text: list[str]) -> None:
    text[0] = MARK.sub(lambda m: TEXTS[m[1]](), text[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", insert)
    return {"parallel_read_safe": True}
