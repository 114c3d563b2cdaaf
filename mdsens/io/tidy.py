"""Results as pandas tables: a row for every number. Needs `pip install 'mdsens[frames]'`."""

from __future__ import annotations

import pandas as pd

from mdsens.io.derivative_table import COLUMNS, derivative_rows
from mdsens.result import Result
from mdsens.sweep_record import SweepRecord


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
    return pd.DataFrame(list(derivative_rows(told)), columns=list(COLUMNS))


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
