"""Results as xarray datasets: arrays with named dimensions. Needs `pip install 'mdsens[frames]'`."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from mdsens.catalogue import CURVES
from mdsens.parameters import Table
from mdsens.result import VOIGT, Derivative, Result
from mdsens.sweep_record import SweepRecord
from mdsens.units import label


def to_xarray(told: Result | SweepRecord) -> xr.Dataset:
    """Observables and derivatives as variables of a dataset.

    Of a result: variables `pressure`, `d_pressure_d_diameter`, ... with attributes units, mode and
    derivative_error, or `..._error` variables for averages; dimensions particle, axis and axis2, voigt and
    voigt2, and the name of a parameter for the entries of its table.
    Of a sweep: scalars of every run along the axes of the sweep, the first key of each dimension naming it.

    Args:
        told: from `mdsens.sensitivity`, `mdsens.read_result` or `mdsens.read_sweep`.
    """
    return _of_sweep(told) if isinstance(told, SweepRecord) else _of_result(told)


def _of_result(result: Result) -> xr.Dataset:
    variables: dict[str, xr.DataArray] = {}
    for name, value in result.observables.items():
        dims = _dims(result, np.shape(value))
        attributes = {"units": result.observable_units[name]}
        variables[name] = xr.DataArray(np.asarray(value), dims=dims, attrs=attributes)
        if name in result.observable_along:
            along = CURVES[name]
            points = np.asarray(result.observable_along[name])
            units = {"units": label(result.system.units, along.dimension)}
            variables[f"{name}_{along.name}"] = xr.DataArray(points, dims=dims, attrs=units)
        if name in result.observable_errors:
            error = np.asarray(result.observable_errors[name])
            variables[f"{name}_error"] = xr.DataArray(error, dims=dims, attrs=attributes)
    for observable, by in result.sensitivity.items():
        for parameter, d in by.items():
            name = f"d_{observable}_d_{parameter}"
            dims = _derivative_dims(result, observable, parameter, d)
            attributes = {"units": d.units, "mode": d.mode}
            if d.error is None:
                attributes["derivative_error"] = d.derivative_error  # type: ignore[assignment]
            else:
                variables[f"{name}_error"] = xr.DataArray(
                    d.error, dims=dims, attrs={"units": d.units}
                )
            variables[name] = xr.DataArray(np.asarray(d.value), dims=dims, attrs=attributes)
    data = xr.Dataset(variables, attrs={"outcome": result.certificate.outcome})
    return data.assign_coords({k: v for k, v in _coordinates(result).items() if k in data.dims})


def _derivative_dims(
    result: Result, observable: str, parameter: str, d: Derivative
) -> tuple[str, ...]:
    theta = result.parameters[parameter]
    own: tuple[str, ...] = ()
    if isinstance(theta, Table):
        own = (parameter, f"{parameter}_knot")[: np.ndim(theta)]
    elif np.ndim(theta) == 1:
        own = ("particle",)
    if observable == "positions":
        return (*("moved_by" if name == "particle" else name for name in own), "particle", "axis")
    return (*_dims(result, np.shape(d.value)[: np.ndim(d.value) - len(own)]), *own)


def _dims(result: Result, shape: tuple[int, ...]) -> tuple[str, ...]:
    n, d = result.system.n_particles, result.system.dimension
    voigt = d * (d + 1) // 2
    if shape == (n, d) and n != d:
        return ("particle", "axis")
    if shape == (d, d):
        return ("axis", "axis2")
    if shape == (voigt, voigt):
        return ("voigt", "voigt2")
    return tuple(f"entry{k}_{length}" for k, length in enumerate(shape))


def _coordinates(result: Result) -> dict[str, Any]:
    d = result.system.dimension
    voigt = list(VOIGT[d * (d + 1) // 2])
    tables = {k: list(v.keys) for k, v in result.parameters.items() if isinstance(v, Table)}
    axes = list("xyz"[:d])
    return {"axis": axes, "axis2": axes, "voigt": voigt, "voigt2": voigt, **tables}


def _of_sweep(record: SweepRecord) -> xr.Dataset:
    dims = tuple(next(iter(along)) for along in record.axes)
    coordinates = {
        key: (dim, values)
        for dim, along in zip(dims, record.axes, strict=True)
        for key, values in along.items()
    }
    columns = {**record.observables, **record.derivatives}
    variables = {
        name: (dims, column.values.reshape(record.shape), {"units": column.units})
        for name, column in columns.items()
    }
    outcomes = np.array(record.outcomes).reshape(record.shape)
    told = {
        "exit_code": (dims, record.exit_codes.reshape(record.shape)),
        "outcome": (dims, outcomes),
    }
    return xr.Dataset({**variables, **told}, coords=coordinates)
