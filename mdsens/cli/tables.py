"""Results, printed or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
from rich.text import Text

from mdsens.cli.console import console, listing, plain_table
from mdsens.parameters import Table
from mdsens.result import Certificate, Derivative, Result
from mdsens.sweeps.status import Status
from mdsens.system import System
from mdsens.words import results as words

JSON_VALUES = 64  # larger arrays are told by their range; the file has them all


def print_input(system: System, kind: str, parameters: Mapping[str, np.ndarray | Table]) -> None:
    """What will be computed with."""
    console().print(listing(words.inputs(system, kind, parameters)))


def print_result(result: Result) -> None:
    """All of a result: input, observables, derivatives, certificate, wall times."""
    out = console()
    out.print(listing(words.inputs(result.system, result.potential, result.parameters)))
    for rows in (words.observables(result), words.derivatives(result), words.certificate(result)):
        if rows:
            out.print()
            out.print(listing(rows))


def print_verification(rows: Sequence[Any]) -> None:
    """Implicit derivatives beside finite differences."""
    numbers = ("implicit", "finite difference", "difference", "expected error")
    table = plain_table("derivative", *numbers, "", numbers=numbers)
    for row in rows:
        component = f" {row.component}" if row.component else ""
        table.add_row(
            Text(f"d {row.observable} / d {row.parameter}{component}"),
            f"{float(row.implicit):.10g}",
            f"{float(row.finite_difference):.10g}",
            f"{float(row.difference):.1e}",
            f"{float(row.expected_error):.1e}",
            "agrees" if row.agrees else "DISAGREES",
        )
    console().print(table)


def as_json(result: Result) -> str:
    """A result as JSON; arrays of more than a few entries by their range."""
    certificate = dict(vars(result.certificate))
    if isinstance(result.certificate, Certificate):
        certificate["rattlers"] = result.certificate.rattlers
    errors = result.observable_errors
    told = {
        "potential": result.potential,
        "particles": result.system.n_particles,
        "dimension": result.system.dimension,
        "parameters": {
            name: _summary(value, result.parameter_units[name])
            for name, value in result.parameters.items()
        },
        "observables": {
            name: _summary(value, result.observable_units[name]) | _error(errors.get(name))
            for name, value in result.observables.items()
        },
        "sensitivity": {
            observable: {
                name: {
                    **_summary(d.value, d.units, d.keys),
                    "mode": d.mode,
                    **_accuracy(d),
                }
                for name, d in derivatives.items()
            }
            for observable, derivatives in result.sensitivity.items()
        },
        "certificate": certificate,
        "provenance": result.provenance,
    }
    return json.dumps(finite(told), indent=2, default=_as_list, allow_nan=False)


def _accuracy(d: Derivative) -> dict[str, Any]:
    if d.error is not None:
        return _error(d.error)
    return {"solve_residual": d.solve_residual, "derivative_error": d.derivative_error}


def _error(error: np.ndarray | None) -> dict[str, Any]:
    """One standard deviation; of a large array the largest."""
    if error is None:
        return {}
    small = np.size(error) <= JSON_VALUES
    return {"error": np.asarray(error).tolist() if small else float(np.max(error))}


def finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity: they become null."""
    if isinstance(value, Mapping):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _as_list(value: Any) -> Any:
    return np.asarray(value).tolist()


def _summary(value: Any, units: str, keys: tuple[str, ...] | None = None) -> dict[str, Any]:
    array = np.asarray(value)
    keys = value.keys if isinstance(value, Table) else keys
    told: dict[str, Any] = {"units": units, "shape": list(array.shape)}
    if keys is not None:
        told["keys"] = list(keys)
    if array.size <= JSON_VALUES:
        return {**told, "value": array.tolist()}
    norm = float(np.linalg.norm(array))
    return {**told, "min": float(array.min()), "max": float(array.max()), "norm": norm}


def print_status(status: Status, queued: Mapping[str, int]) -> None:
    """How far a sweep has come, and its tasks that Slurm knows, by state."""
    table = plain_table("", "")
    table.show_header = False
    table.add_row("done", f"{status.done} of {status.items} items")
    for reason, count in status.failed.items():
        table.add_row("failed", f"{count} {reason}")
    batches = f"{status.batches_done} of {status.batches} finished, {status.claimed} under way"
    table.add_row("batches", batches)
    for state, count in queued.items():
        table.add_row("slurm", f"{count} {state.lower()}")
    if status.rate and status.seconds_left is not None:
        left = timedelta(seconds=round(status.seconds_left))
        table.add_row("rate", f"{status.rate:.3g} items per second, {left} left")
    console().print(table)
