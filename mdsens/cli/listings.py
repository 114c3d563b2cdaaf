"""`mdsens list ...`: the catalogue in words."""

from __future__ import annotations

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mdsens.catalogue import (
    AVERAGES,
    MINIMIZERS,
    OBSERVABLES,
    POTENTIALS,
    Parameter,
    PotentialEntry,
)
from mdsens.cli.console import console, plain_table
from mdsens.units import NUMBER, Dimension, label


def print_potentials() -> None:
    """Every potential: equation, parameters with units and defaults, options, source."""
    out = console()
    for k, entry in enumerate(POTENTIALS.values()):
        if k:
            out.print()
        _print_potential(out, entry)


def print_observables() -> None:
    """Every observable: unit in metal units, shape, meaning."""
    table = plain_table("observable", "unit (3D)", "shape", "meaning")
    for entry in OBSERVABLES.values():
        note = "" if entry.differentiable else "; measured, not differentiable"
        unit = label("metal", entry.dimension(3))
        table.add_row(entry.name, unit, entry.shape, Text(entry.meaning + note))
    console().print(table)
    averages = plain_table("average, with [ensemble]", "unit (3D)", "shape", "meaning")
    for entry in AVERAGES.values():
        unit = label("metal", entry.dimension(3))
        averages.add_row(entry.name, unit, entry.shape, Text(entry.meaning))
    console().print()
    console().print(averages)


def print_minimizers() -> None:
    """Every minimizer and where it comes from."""
    table = plain_table("minimizer", "what it is", "source")
    for entry in MINIMIZERS.values():
        table.add_row(entry.name, Text(entry.meaning), Text(entry.source))
    console().print(table)


def _print_potential(out: Console, entry: PotentialEntry) -> None:
    table = plain_table("parameter", "unit", "default", "meaning")
    for parameter in entry.parameters:
        table.add_row(
            parameter.name,
            unit_of(parameter.dimension),
            default_of(parameter),
            Text(parameter.meaning),
        )
    parts: list[Text | Table] = [Text(entry.equation), table]
    parts += [Text(f"option {name}: {', '.join(allowed)}") for name, allowed in entry.options]
    parts.append(Text(entry.source, style="dim"))
    out.print(Text(entry.kind, style="bold"))
    out.print(Padding(Group(*parts), (0, 0, 0, 2)))


def unit_of(dimension: Dimension) -> str:
    return "1" if dimension == NUMBER else f"{label('metal', dimension)} or reduced"


def default_of(parameter: Parameter) -> str:
    if parameter.default is not None:
        return f"{parameter.default:g}"
    return parameter.default_rule or "required"
