"""Averages and derivatives as comma-separated values. No JAX."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from typing import Any

import numpy as np

from mdsens.result import Derivative, Result

COLUMNS = (
    "observable", "component", "parameter", "entry", "value", "error", "derivative_error", "unit", "mode",
)  # fmt: skip
Row = tuple[Any, ...]


def derivative_table(result: Result) -> str:
    """One row per number: observables (without a parameter), then their derivatives.

    `component` and `entry` are places in the observable and in the parameter, "1 2", or the key of a
    table; `error` is one standard deviation of an average, `derivative_error` the estimated relative
    error of a derivative at rest. Positions and their derivatives are left out.
    """
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, value in result.observables.items():
        if name != "positions":
            error = result.observable_errors.get(name)
            writer.writerows(_observable_rows(name, value, error, result.observable_units[name]))
    for name, by in result.sensitivity.items():
        if name != "positions":
            ndim = np.ndim(result.observables[name])
            for parameter, d in by.items():
                writer.writerows(_derivative_rows(name, ndim, parameter, d))
    return stream.getvalue()


def _observable_rows(name: str, value: Any, error: Any, unit: str) -> Iterator[Row]:
    for place, number in np.ndenumerate(value):
        yield name, _words(place), "", "", float(number), _at(error, place), "", unit, ""


def _derivative_rows(name: str, ndim: int, parameter: str, d: Derivative) -> Iterator[Row]:
    relative = d.derivative_error if d.error is None else ""
    for place, number in np.ndenumerate(d.value):
        own, entry = place[:ndim], place[ndim:]
        words = _words((d.keys[entry[0]], *entry[1:]) if d.keys else entry)
        error = _at(d.error, place)
        yield name, _words(own), parameter, words, float(number), error, relative, d.units, d.mode


def _at(error: Any, place: tuple[int, ...]) -> float | str:
    return "" if error is None else float(np.asarray(error)[place])


def _words(place: tuple[int | str, ...]) -> str:
    return " ".join(map(str, place))
