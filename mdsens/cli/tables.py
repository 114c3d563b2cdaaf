"""Results in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from mdsens.cli.console import console, plain_table
from mdsens.parameters import Table
from mdsens.result import Certificate, Derivative, EnsembleCertificate, Result
from mdsens.sweeps.status import Status
from mdsens.system import System

JSON_VALUES = 64  # larger arrays are told by their range; the file has them all


def print_input(system: System, kind: str, parameters: Mapping[str, np.ndarray | Table]) -> None:
    """What will be computed with."""
    _print_input(console(), system, kind, parameters)


def print_result(result: Result) -> None:
    """All of a result: input, observables, derivatives, certificate, wall times."""
    out = console()
    _print_input(out, result.system, result.potential, result.parameters)
    _print_observables(out, result)
    _print_sensitivity(out, result)
    _print_certificate(out, result)


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
    return json.dumps(_finite(told), indent=2, default=_as_list, allow_nan=False)


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


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity: they become null."""
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
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


def _print_input(
    out: Console, system: System, kind: str, parameters: Mapping[str, np.ndarray | Table]
) -> None:
    table = _rows()
    table.add_row("system", Text(_system_words(system)))
    table.add_row("potential", Text(kind))
    for name, value in parameters.items():
        table.add_row(Text(f"  {name}"), Text(_value_words(value)))
    out.print(table)


def _system_words(system: System) -> str:
    axes = [axis for axis, periodic in zip("xyz", system.pbc, strict=False) if periodic]
    held = f", {sum(system.fixed)} held fixed" if any(system.fixed) else ""
    where = f"periodic in {' '.join(axes)}" if axes else "free"
    kinds = ", ".join(system.type_names[:6]) + (", ..." if len(system.type_names) > 6 else "")
    return (
        f"{system.source}: {system.n_particles} particles in {system.dimension}D, {where}{held}; "
        f"species {kinds}; {system.units} units"
    )


def _value_words(value: np.ndarray | Table) -> str:
    array = np.asarray(value)
    if isinstance(value, Table) and array.ndim > 1:
        return f"{', '.join(value.keys)}: {array.shape[1]} knots"
    if isinstance(value, Table):
        return ", ".join(f"{k} {v:.10g}" for k, v in zip(value.keys, array, strict=True))
    if array.ndim == 0:
        return f"{float(array):.10g}"
    return f"{array.min():.10g} to {array.max():.10g} ({len(array)} particles)"


def _print_observables(out: Console, result: Result) -> None:
    if not result.observables:
        return
    told = ("error",) if result.observable_errors else ()
    table = plain_table("observable", "value", *told, "unit", numbers=("value", *told))
    for name, value in result.observables.items():
        if name == "positions":
            continue
        array = np.asarray(value)
        error = np.asarray(result.observable_errors.get(name, np.zeros_like(array)))
        whole = array.ndim < 2 or array.size > 36
        rows = [(array, error)] if whole else zip(array, error, strict=True)
        for k, (row, off) in enumerate(rows):
            unit = result.observable_units[name] if k == 0 else ""
            bars = (Text(_bars(off)),) if told else ()
            table.add_row(name if k == 0 else "", Text(_numbers(row)), *bars, unit)
    out.print()
    out.print(table)


def _numbers(array: np.ndarray) -> str:
    if array.size > 9:
        return f"{array.min():.10g} to {array.max():.10g}"
    digits = 10 if array.size <= 3 else 6
    return "  ".join(f"{x + 0.0:.{digits}g}" for x in np.atleast_1d(array))  # no -0


def _bars(errors: np.ndarray) -> str:
    if errors.size > 9:
        return f"{errors.min():.2g} to {errors.max():.2g}"
    return "  ".join(f"{x:.2g}" for x in np.atleast_1d(errors))


def _print_sensitivity(out: Console, result: Result) -> None:
    if not result.sensitivity:
        return
    columns = ("derivative", "value", "unit", "largest at", "mode", "error")
    table = plain_table(*columns, numbers=("value", "error"))
    for observable, derivatives in result.sensitivity.items():
        for name, derivative in derivatives.items():
            for row in _derivative_rows(f"d {observable} / d {name}", derivative):
                table.add_row(*map(Text, row))
    out.print()
    out.print(table)


def _derivative_rows(title: str, d: Derivative) -> list[tuple[str, ...]]:
    value = np.asarray(d.value)
    error = f"{d.derivative_error:.0e}" if d.error is None else _bars(d.error)
    if value.ndim == 0:
        return [(title, f"{float(value):.10g}", d.units, "", d.mode, error)]
    if d.keys is not None and value.ndim == 1:
        errors = [error] * len(value) if d.error is None else [_bars(e) for e in d.error]
        rows = zip(d.keys, value, errors, strict=True)
        return [(f"{title}[{k}]", f"{v:.10g}", d.units, "", d.mode, e) for k, v, e in rows]
    spread = f"{value.min():.4g} to {value.max():.4g}, norm {np.linalg.norm(value):.6g}"
    place = np.unravel_index(int(np.abs(value).argmax()), value.shape)
    return [(title, spread, d.units, _place_words(place, d), d.mode, error)]


def _place_words(place: tuple[Any, ...], d: Derivative) -> str:
    """Where in an array: the key of a table, else the indices."""
    if d.keys is None and len(place) == 1:
        return f"particle {place[0]}"
    keyed = [k for k, n in enumerate(d.value.shape) if d.keys and n == len(d.keys)]
    words = [d.keys[p] if d.keys and k in keyed[-1:] else str(p) for k, p in enumerate(place)]
    return f"[{', '.join(words)}]"


def _print_certificate(out: Console, result: Result) -> None:
    c, table = result.certificate, _rows()
    table.add_row("certificate", Text(c.outcome))
    if isinstance(c, EnsembleCertificate):
        _add_ensemble(table, c)
        table.add_row("wall time", Text(_wall_words(result.provenance)))
        out.print()
        out.print(table)
        return
    table.add_row("  minimum", Text(_minimum_words(c)))
    table.add_row("  removed", Text(_removed_words(c)))
    if result.sensitivity:
        worst = f"residual {c.solve_residual:.1e}, derivative error {c.derivative_error:.1e}"
        table.add_row("  solver", Text(f"{c.solver}; worst {worst}"))
    times = _wall_words(result.provenance)
    if times:
        table.add_row("wall time", Text(times))
    out.print()
    out.print(table)


def _add_ensemble(table: Any, c: EnsembleCertificate) -> None:
    told = f"{c.temperature:.4f} +- {c.temperature_error:.4f} of the target"
    table.add_row("  temperature", Text(told))
    drift = f"{c.drift:.1e} k_B T per step and degree of freedom"
    table.add_row("  drift", Text(drift))
    fewest = f"at least {c.effective_samples:.0f} independent samples behind each number"
    table.add_row("  errors", Text(f"one standard deviation; {fewest}; {c.discarded} discarded"))


def _minimum_words(c: Certificate) -> str:
    state = "converged" if c.converged else "NOT converged"
    negative = f"{c.negative_modes} negative modes" if c.negative_modes else "no negative modes"
    return f"{state}, fmax {c.fmax:.2e}; smallest eigenvalue {c.lambda_min:.6g}, {negative}"


def _removed_words(c: Certificate) -> str:
    return f"{c.zero_modes} rigid zero modes, {c.rattlers} rattlers"


def _wall_words(provenance: Mapping[str, Any]) -> str:
    names = ("relax", "simulate", "sensitivity", "compile", "total")
    times = [(n, provenance.get(f"wall_{n}_s")) for n in names]
    return ", ".join(f"{name} {float(t):.3g} s" for name, t in times if t is not None)


def print_status(status: Status, queued: Mapping[str, int]) -> None:
    """How far a sweep has come, and its tasks that Slurm knows, by state."""
    table = _rows()
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


def _rows() -> Any:
    table = plain_table("", "")
    table.show_header = False
    return table
