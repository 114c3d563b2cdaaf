"""Observables and derivatives as rows, one for every number, and as comma-separated values. No JAX."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from typing import Any

import numpy as np

from mdsens.parameters import Table
from mdsens.result import Derivative, Result

COLUMNS = (
    "observable", "component", "parameter", "entry", "value", "units", "relative", "error", "mode",
)  # fmt: skip
Row = tuple[Any, ...]


def as_csv(result: Result) -> str:
    """Observables, with empty parameters, and derivatives; columns as of `mdsens.to_pandas`.

    Positions and their derivatives are left out.
    """
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_observable_rows(result))
    writer.writerows(derivative_rows(result))
    return stream.getvalue()


def derivative_rows(result: Result) -> Iterator[Row]:
    """Of every derivative but those of positions, in the order of `COLUMNS`."""
    for observable, by in result.sensitivity.items():
        if observable == "positions":
            continue
        for parameter, d in by.items():
            yield from _of_derivative(result, observable, parameter, d)


def _observable_rows(result: Result) -> Iterator[Row]:
    for name, value in result.observables.items():
        if name == "positions":
            continue
        error, units = result.observable_errors.get(name), result.observable_units[name]
        for place, number in np.ndenumerate(value):
            bar = "" if error is None else float(np.asarray(error)[place])
            yield name, _place(place), "", "", float(number), units, "", bar, ""


def _of_derivative(result: Result, observable: str, parameter: str, d: Derivative) -> Iterator[Row]:
    theta = result.parameters[parameter]
    number = np.asarray(theta, dtype=float)
    slope, inner = np.asarray(d.value), np.ndim(d.value) - number.ndim
    whole = np.asarray(result.observables.get(observable, np.full(slope.shape[:inner], np.nan)))
    for place in np.ndindex(slope.shape):
        component, entry = place[:inner], place[inner:]
        value, o = float(slope[place]), float(whole[component])
        relative = float(number[entry]) * value / o if o else np.nan
        error = abs(value) * d.derivative_error if d.error is None else float(d.error[place])
        yield (
            observable, _place(component), parameter, _entry(theta, entry), value, d.units,
            relative, error, d.mode,
        )  # fmt: skip


def _entry(theta: np.ndarray | Table, place: tuple[int, ...]) -> str:
    if isinstance(theta, Table):
        return " ".join([theta.keys[place[0]], *map(str, place[1:])])
    return _place(place)


def _place(place: tuple[int, ...]) -> str:
    return ",".join(map(str, place))
