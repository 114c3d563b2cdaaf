"""What became of items, and the same as columns: a row each, also for those that failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from mdsens.io.columns import Column, column
from mdsens.parameters import Table
from mdsens.result import Certificate, Result
from mdsens.system import System
from mdsens.units import LENGTH, NUMBER, label

REASONS = {
    -1: "missing",
    0: "done",
    1: "internal error",
    2: "bad input",
    3: "not converged",
    4: "derivative undefined",
}
_DIMENSIONS = {
    "fmax": (1, -1),
    "lambda_min": (1, -2),
    "solve_residual": NUMBER,
    "derivative_error": NUMBER,
}
_CERTIFICATE = tuple(f.name for f in fields(Certificate) if f.name != "rattler_indices")


@dataclass(frozen=True)
class Outcome:
    """How an item ended.

    Attributes:
        code: what `mdsens run` would have returned.
        sentence: the certificate's where there is a derivative, else why there is none.
        result: as far as it goes; None if there was nothing to compute.
        seconds: it took.
    """

    code: int
    sentence: str
    result: Result | None
    seconds: float


def columns_of(items: np.ndarray, outcomes: Sequence[Outcome]) -> dict[str, Column]:
    """Everything that is known of the items, by name.

    Only what is under "provenance" may differ when they are computed again.
    """
    told = {
        "items/item": column(items),
        "items/exit_code": column([o.code for o in outcomes]),
        "items/outcome": column([o.sentence for o in outcomes]),
        "provenance/wall_s": column([o.seconds for o in outcomes], "s"),
    }
    rows = [dict(_row(o.result)) if o.result else {} for o in outcomes]
    for name in dict.fromkeys(name for row in rows for name in row):
        values, units = zip(*(row.get(name, (None, None)) for row in rows), strict=True)
        told[name] = column(values, next(u for u in units if u is not None))
        if len({u for u in units if u is not None}) > 1:
            told[name] = Column(told[name].values, "see state/units")
    return told


def _row(result: Result) -> Iterator[tuple[str, tuple[Any, str]]]:
    """(name, (value, units)) of all that a result holds."""
    system, length = result.system, label(result.system.units, LENGTH)
    yield "items/particles", (system.n_particles, "")
    for name in ("steps", "newton_steps"):
        yield f"items/{name}", (result.provenance[name], "")
    yield "state/units", (system.units, "")
    yield "state/positions", (np.asarray(system.positions), length)
    yield "state/cell", (np.asarray(system.cell), length)
    yield "state/species", (np.array(system.species), "")
    yield "state/fixed", (np.array(system.fixed, dtype=bool), "")
    for name, value in result.parameters.items():
        yield f"parameters/{name}", (np.asarray(value, float), result.parameter_units[name])
        if isinstance(value, Table):
            yield f"keys/{name}", (np.array(value.keys), "")
    for name, value in result.observables.items():
        yield f"observables/{name}", (np.asarray(value, float), result.observable_units[name])
    for observable, derivatives in result.sensitivity.items():
        for name, derivative in derivatives.items():
            of = f"{observable}/{name}"
            yield f"sensitivity/{of}", (np.asarray(derivative.value, float), derivative.units)
            yield f"derivative_error/{of}", (float(derivative.derivative_error), "1")
            yield f"solve_residual/{of}", (float(derivative.solve_residual), "1")
            yield f"mode/{of}", (derivative.mode, "")
    assert isinstance(result.certificate, Certificate)
    yield from _certified(result.certificate, system)


def _certified(certificate: Certificate, system: System) -> Iterator[tuple[str, tuple[Any, str]]]:
    for name in _CERTIFICATE:
        dimension = _DIMENSIONS.get(name)
        units = "" if dimension is None else label(system.units, dimension)
        yield f"certificate/{name}", (getattr(certificate, name), units)
    rattler = np.zeros(system.n_particles, dtype=bool)
    rattler[certificate.rattler_indices] = True
    yield "certificate/is_rattler", (rattler, "")
