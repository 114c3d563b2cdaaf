"""From computed pieces to the plain data of a Result."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax
import numpy as np

from mdsens.derivatives.linearization import Diagnosed
from mdsens.derivatives.named import plain
from mdsens.derivatives.request import Request
from mdsens.derivatives.total import Total
from mdsens.equilibrium import Found
from mdsens.result import Certificate, Derivative, Result
from mdsens.system import System
from mdsens.timing import Clock

_PACKAGES = ("mdsens", "jax", "jaxlib", "jax-md", "numpy", "scipy", "ase", "h5py")

Derivatives = dict[str, dict[str, tuple[str, Total, tuple[int, ...]]]]


def state_record(request: Request, system: System, found: Found, minimizer: str) -> Result:
    """A Result that knows the state only."""
    setting = found.setting
    relaxed = replace(
        system, positions=np.asarray(setting.positions), cell=np.asarray(setting.cell)
    )
    parameters = plain(request.params)
    return Result(
        system=relaxed,
        potential=request.potential.kind,
        parameters=parameters,
        observables={},
        observable_units={},
        parameter_units={name: request.parameter_unit(name) for name in parameters},
        sensitivity={},
        certificate=_unsettled(found),
        provenance=_provenance(found, minimizer),
    )


def derivative_records(
    request: Request, derivatives: Derivatives
) -> dict[str, dict[str, Derivative]]:
    """Shapes, units and errors put to the numbers."""
    return {
        name: {
            p: Derivative(
                t.value.reshape(shape),
                mode,
                request.derivative_unit(name, p),
                request.keys(p),
                t.residual,
                t.error,
            )
            for p, (mode, t, shape) in by_parameter.items()
        }
        for name, by_parameter in derivatives.items()
    }


def certificate(
    line: Diagnosed, found: Found, derivatives: Derivatives, outcome: str
) -> Certificate:
    """The certificate of a converged state."""
    totals = [t for by in derivatives.values() for _, t, _ in by.values()]
    return replace(
        _unsettled(found),
        lambda_min=float(np.min(line.lowest)) if line.lowest.size else float("nan"),
        zero_modes=line.zero_modes,
        rattler_indices=np.flatnonzero(line.rattlers),
        negative_modes=line.negative,
        solve_residual=max((t.residual for t in totals), default=0.0),
        derivative_error=max((t.error for t in totals), default=0.0),
        solver=line.why,
        outcome=outcome,
    )


def timed(result: Result, clock: Clock, relax_seconds: float, rest_seconds: float) -> Result:
    """Wall times: relaxation and sensitivity without compilation, compilation, all."""
    times = {
        "wall_relax_s": relax_seconds,
        "wall_sensitivity_s": rest_seconds,
        "wall_compile_s": clock.compiling,
        "wall_total_s": clock.total,
    }
    return replace(result, provenance={**result.provenance, **times})


def _unsettled(found: Found) -> Certificate:
    report = found.report
    return Certificate(
        converged=bool(report.converged),
        fmax=float(report.residual),
        lambda_min=float("nan"),
        zero_modes=0,
        rattler_indices=np.zeros(0, dtype=np.int64),
        negative_modes=0,
        solve_residual=float("nan"),
        derivative_error=float("nan"),
        neighbors_valid=bool(report.neighbors_valid),
        dtype="float64",
        solver="none",
        outcome=found.why or "converged",
    )


def _provenance(found: Found, minimizer: str) -> dict[str, Any]:
    device = jax.devices()[0]
    return {
        "versions": {name: v for name in _PACKAGES if (v := _version(name))},
        "device": f"{device.platform}: {device.device_kind}",
        "minimizer": minimizer,
        "steps": int(found.report.steps),
        "newton_steps": int(found.report.newton_steps),
        # Nothing here draws random numbers that reach a result.
        "seed": 0,
    }


@cache  # reading it takes longer than differentiating a small system
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
