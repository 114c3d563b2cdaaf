"""Results as pandas tables: a row for every number. Needs `pip install 'mdsens[frames]'`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mdsens.parameters import Table
from mdsens.result import Derivative, Result
from mdsens.sweep_record import SweepRecord

COLUMNS = (
    "observable", "component", "parameter", "entry", "value", "units", "relative", "error", "mode",
)  # fmt: skip


def to_pandas(told: Result | SweepRecord) -> pd.DataFrame:
    """Derivatives of a result, or all scalars of a merged sweep, as a table.

    Of a result a row for each d(component of an observable)/d(entry of a parameter), but for those of
    positions, which are arrays (`to_xarray`): `component` and `entry` are indices or keys, empty for
    scalars; `relative` is d ln o / d ln theta; `error` is one standard deviation of an average, else the
    estimated error of the derivative, absolute.
    Of a sweep a row for each run: its axes are the index, columns are observables, derivatives ("d o /
    d p", of arrays their norms, "|...|"), exit_code and outcome.

    Args:
        told: from `mdsens.sensitivity`, `mdsens.read_result` or `mdsens.read_sweep`.
    """
    if isinstance(told, SweepRecord):
        return _of_sweep(told)
    return pd.DataFrame(list(_rows(told)), columns=list(COLUMNS))


def _rows(result: Result) -> Iterator[tuple[Any, ...]]:
    for observable, by in result.sensitivity.items():
        if observable == "positions":
            continue
        for parameter, d in by.items():
            yield from _of_derivative(result, observable, parameter, d)


def _of_derivative(
    result: Result, observable: str, parameter: str, d: Derivative
) -> Iterator[tuple[Any, ...]]:
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


def _of_sweep(record: SweepRecord) -> pd.DataFrame:
    columns = {**record.observables, **record.derivatives}
    axes = {
        key: record.along(dimension, key)
        for dimension, along in enumerate(record.axes)
        for key in along
    }
    index = pd.MultiIndex.from_arrays(list(axes.values()), names=list(axes))
    data = {name: column.values for name, column in columns.items()}
    told = {"exit_code": record.exit_codes, "outcome": list(record.outcomes)}
    return pd.DataFrame({**data, **told}, index=index)
