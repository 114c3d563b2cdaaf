"""A result in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mdsens.catalogue import CURVES
from mdsens.parameters import Table
from mdsens.result import Certificate, Derivative, EnsembleCertificate, Result
from mdsens.system import System
from mdsens.words.listing import Listing, facts

ENTRIES = 36  # larger arrays are told by their range
ROUNDING = 1e-13


def inputs(system: System, kind: str, parameters: Mapping[str, np.ndarray | Table]) -> Listing:
    """What is computed with."""
    values = [(f"  {name}", _value(value)) for name, value in parameters.items()]
    return facts(("system", _system(system)), ("potential", kind), *values)


def observables(result: Result) -> Listing:
    """Values, errors where they are averages, units."""
    told = ("error",) if result.observable_errors else ()
    rows = []
    for name, value in result.observables.items():
        if name == "positions":
            continue
        for k, texts in enumerate(_lines(np.asarray(value), result.observable_errors.get(name))):
            unit = result.observable_units[name] if k == 0 else ""
            rows.append((name if k == 0 else "", *texts[: 1 + len(told)], unit))
    return Listing(("observable", "value", *told, "unit"), tuple(rows), ("value", *told))


def derivatives(result: Result) -> Listing:
    """Every derivative: its value, or its range and where it is largest."""
    rows = [
        row
        for observable, by in result.sensitivity.items()
        for name, d in by.items()
        for row in _derivative(f"d {observable} / d {name}", d, _along(result, observable))
    ]
    columns = ("derivative", "value", "unit", "largest at", "mode", "error")
    return Listing(columns, tuple(rows), ("value", "error"))


def certificate(result: Result) -> Listing:
    """Why it can be trusted, and how long it took."""
    c = result.certificate
    told = _ensemble(c) if isinstance(c, EnsembleCertificate) else _minimum(c, result)
    times = _wall_times(result.provenance)
    last = [("wall time", times)] if times else []
    return facts(("certificate", c.outcome), *told, *last)


def _wall_times(provenance: Mapping[str, Any]) -> str:
    names = ("relax", "simulate", "sensitivity", "compile", "total")
    times = [(n, provenance.get(f"wall_{n}_s")) for n in names]
    return ", ".join(f"{name} {float(t):.3g} s" for name, t in times if t is not None)


def _system(system: System) -> str:
    axes = [axis for axis, periodic in zip("xyz", system.pbc, strict=False) if periodic]
    held = f", {sum(system.fixed)} held fixed" if any(system.fixed) else ""
    where = f"periodic in {' '.join(axes)}" if axes else "free"
    kinds = ", ".join(system.type_names[:6]) + (", ..." if len(system.type_names) > 6 else "")
    return (
        f"{system.source}: {system.n_particles} particles in {system.dimension}D, {where}{held}; "
        f"species {kinds}; {system.units} units"
    )


def _value(value: np.ndarray | Table) -> str:
    array = np.asarray(value)
    if isinstance(value, Table) and array.ndim > 1:
        return f"{', '.join(value.keys)}: {array.shape[1]} knots"
    if isinstance(value, Table):
        return ", ".join(f"{k} {v:.10g}" for k, v in zip(value.keys, array, strict=True))
    if array.ndim == 0:
        return f"{float(array):.10g}"
    return f"{array.min():.10g} to {array.max():.10g} ({len(array)} particles)"


def _lines(array: np.ndarray, error: np.ndarray | None) -> list[tuple[str, str]]:
    """Value and error in one line; of a small matrix one for each row, in columns, errors in brackets."""
    if array.ndim < 2 or array.size > ENTRIES:
        return [(_numbers(array, error=error), "" if error is None else _numbers(error, 2))]
    clean = _without_rounding(array)
    if error is None:
        texts = [[f"{x:.6g}" for x in row] for row in clean]
    else:
        texts = [
            [_number(*both, 6, brackets=True) for both in zip(*rows, strict=True)]
            for rows in zip(clean, error, strict=True)
        ]
    width = max(len(text) for row in texts for text in row)
    lines = ["  ".join(text.rjust(width) for text in row) for row in texts]
    return [(line, "" if error is None else "(..)") for line in lines]


def _number(value: float, error: float, digits: int = 10, *, brackets: bool = False) -> str:
    """Up to the second digit of its error, 0.94; in brackets the error in these units, 0.94(31).

    Without an error so many digits.
    """
    if not (0.0 < error < math.inf and math.isfinite(value)):
        return f"{value:.{digits}g}"
    last = math.floor(math.log10(error)) - 1
    first = last + 1 if value == 0.0 else math.floor(math.log10(abs(value)))
    # Plain numbers as long as these are short.
    power = 0 if last >= -7 else max(first, last + 1)
    text = f"{value / 10.0**power:.{max(0, power - last)}f}"
    if brackets:
        text += f"({error / 10.0 ** min(last, 0):.0f})"
    return text if power == 0 else f"{text}e{power:03d}"


def _numbers(array: np.ndarray, digits: int = 10, error: np.ndarray | None = None) -> str:
    clean = _without_rounding(array)
    if array.size > 9:
        return f"{clean.min():.{digits}g} to {clean.max():.{digits}g}"
    digits = digits if array.size <= 3 else min(digits, 6)
    errors = np.zeros(clean.size) if error is None else np.atleast_1d(error)
    return "  ".join(
        _number(x, e, digits) for x, e in zip(np.atleast_1d(clean), errors, strict=True)
    )


def _without_rounding(array: np.ndarray) -> np.ndarray:
    """Zeros for what is rounding beside the largest entry; no -0."""
    scale = np.max(np.abs(array), initial=0.0)
    return np.where(np.abs(array) < ROUNDING * scale, 0.0, array) + 0.0


def _along(result: Result, observable: str) -> tuple[str, np.ndarray] | None:
    """Of a function what it is a function of, and where it is known."""
    points = result.observable_along.get(observable)
    return None if points is None else (CURVES[observable].symbol, points)


def _derivative(
    title: str, d: Derivative, along: tuple[str, np.ndarray] | None
) -> list[tuple[str, ...]]:
    value = np.asarray(d.value)
    error = f"{d.derivative_error:.0e}" if d.error is None else _numbers(d.error, 2)
    if value.ndim == 0:
        return [(title, _numbers(value, error=d.error), d.units, "", d.mode, error)]
    if d.keys is not None and value.ndim == 1 and along is None:
        known = np.zeros(len(value)) if d.error is None else d.error
        rows = [
            (f"{title}[{k}]", _number(v, e), d.units, "", d.mode, f"{e:.2g}" if e else error)
            for k, v, e in zip(d.keys, value, known, strict=True)
        ]
        return rows
    clean = _without_rounding(value)
    spread = f"{clean.min():.4g} to {clean.max():.4g}, norm {np.linalg.norm(value):.6g}"
    place = np.unravel_index(int(np.abs(value).argmax()), value.shape)
    return [(title, spread, d.units, _place(place, d, along), d.mode, error)]


def _place(place: tuple[Any, ...], d: Derivative, along: tuple[str, np.ndarray] | None) -> str:
    """Where in an array: the distance or wavenumber, the key of a table, else the indices."""
    if along is not None:
        symbol, points = along
        rest = "".join(f", {d.keys[p] if d.keys else p}" for p in place[1:])
        return f"{symbol} = {points[place[0]]:.4g}{rest}"
    if d.keys is None and len(place) == 1:
        return f"particle {place[0]}"
    keyed = [k for k, n in enumerate(d.value.shape) if d.keys and n == len(d.keys)]
    words = [d.keys[p] if d.keys and k in keyed[-1:] else str(p) for k, p in enumerate(place)]
    return f"[{', '.join(words)}]"


def _ensemble(c: EnsembleCertificate) -> Iterator[tuple[str, str]]:
    if not c.converged:
        yield (
            "  samples",
            f"NOT converged: {c.samples}, {c.discarded} discarded; nothing is averaged",
        )
    if c.samples:
        yield "  temperature", f"{c.temperature:.4f} +- {c.temperature_error:.4f} of the target"
        yield "  drift", f"{c.drift:.1e} k_B T per step and degree of freedom"
    if not c.converged:
        return
    fewest = f"at least {c.effective_samples:.0f} independent samples behind each number"
    yield "  errors", f"one standard deviation; {fewest}; {c.discarded} discarded"


def _minimum(c: Certificate, result: Result) -> Iterator[tuple[str, str]]:
    state = "converged" if c.converged else "NOT converged"
    negative = f"{c.negative_modes} negative modes" if c.negative_modes else "no negative modes"
    lowest = f"smallest eigenvalue {c.lambda_min:.6g}"
    yield "  minimum", f"{state}, fmax {c.fmax:.2e}; {lowest}, {negative}"
    yield "  removed", f"{c.zero_modes} rigid zero modes, {c.rattlers} rattlers"
    if result.sensitivity:
        worst = f"residual {c.solve_residual:.1e}, derivative error {c.derivative_error:.1e}"
        yield "  solver", f"{c.solver}; worst {worst}"
