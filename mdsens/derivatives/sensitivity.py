"""`sensitivity`: relax, measure, differentiate, certify. The eager door."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mdsens.derivatives.bound import bound
from mdsens.derivatives.kernels import measured
from mdsens.derivatives.linearization import (
    ROUGH,
    Diagnosed,
    Linearization,
    linearize,
    newton_correction,
)
from mdsens.derivatives.record import (
    Derivatives,
    certificate,
    derivative_records,
    state_record,
    timed,
)
from mdsens.derivatives.request import Request, make_request, shape_of
from mdsens.derivatives.total import adjoint, envelope, forward, position_total, response
from mdsens.equilibrium import Progress, search
from mdsens.errors import DerivativeUndefined, NotConverged
from mdsens.observables.elasticity import WITH_DISPLACEMENTS
from mdsens.potentials import Potential
from mdsens.result import Result
from mdsens.system import System
from mdsens.timing import Clock


def sensitivity(
    potential: Potential,
    params: Any,
    system: System,
    *,
    observables: Sequence[str | Callable[..., Any]] = ("energy",),
    wrt: Sequence[str] = (),
    positions: bool = False,
    solver: str = "auto",
    rtol: float = 1e-10,
    progress: Progress | None = None,
    **relax_options: Any,
) -> Result:
    """Relax, then every d(observable)/d(parameter), total, with a certificate.

    Forward mode costs one linear solve per parameter component, adjoint mode one per observable
    component; whichever is cheaper is taken, and one factorisation serves all of it. The energy of
    a minimum needs no solve at all (envelope theorem).

    Args:
        potential, params, system: as for `relax`.
        observables: names from `mdsens list observables`, or functions
            f(potential, params, state) -> array, differentiable by JAX, known by `__name__`.
        wrt: parameter names ("diameter"; "morse.D0" for an addend of a sum). Empty: measure only.
        positions: also d(positions)/d(parameter), (parameter shape) + (N, d).
        solver: "auto", "dense", "sparse", "cg", "minres".
        rtol: relative residual required of iterative solves.
        progress: called as progress(stage, done, total, text).
        **relax_options: minimizer, fmax, max_steps, cell, pressure, polish as in `relax`.

    Returns:
        Result, with every derivative's own residual and error estimate.

    Raises:
        NotConverged, DerivativeUndefined: with state and certificate in a Result as `result`.
        InputError: unknown names or options.
    """
    request = make_request(
        potential, params, system.units, system.dimension, observables, wrt, positions
    )
    report = progress or (lambda *_: None)
    clock = Clock()
    found = search(potential, params, system, progress=progress, **relax_options)
    relax_seconds = clock.working
    rest = Clock()
    result = state_record(request, system, found, relax_options.get("minimizer", "auto"))
    if found.why:
        raise NotConverged(found.why, timed(result, clock, relax_seconds, 0.0))
    report("certify", 0, None, "spectrum of the Hessian")
    line = linearize(found.problem, found.setting, solver, rtol, found.factor)
    reason = why_undefined(line)
    if reason:
        # Neither is there an answer to strain.
        simple = {n: f for n, f in request.functions.items() if f not in WITH_DISPLACEMENTS}
        result = _measured(result, replace(request, functions=simple), line)
        result = replace(result, certificate=certificate(line, found, {}, reason))
        raise DerivativeUndefined(reason, timed(result, clock, relax_seconds, rest.working))
    try:
        result = _measured(result, request, line)
        derivatives = _differentiate(request, line, report)
    except DerivativeUndefined as error:
        result = replace(result, certificate=certificate(line, found, {}, str(error)))
        error.result = timed(result, clock, relax_seconds, rest.working)
        raise
    result = replace(
        result,
        sensitivity=derivative_records(request, derivatives),
        certificate=certificate(line, found, derivatives, praise(line)),
    )
    return timed(result, clock, relax_seconds, rest.working)


def why_undefined(line: Diagnosed) -> str:
    """The sentence that forbids derivatives at this state, or nothing."""
    lowest = float(np.min(line.lowest)) if line.lowest.size else np.inf
    if line.unexplained:
        return (
            f"certificate: the Hessian has a zero mode (eigenvalue {lowest:.3g}) that no rigid "
            "motion, fixed particle or rattler explains: a marginal state or several separate "
            "pieces; perturb or compress the start, or fix a particle in each piece"
        )
    if line.negative:
        return (
            f"certificate: saddle point with {line.negative} negative "
            f"mode{'s' if line.negative > 1 else ''}, lowest eigenvalue {lowest:.6g}; perturb the "
            "start along it and relax again"
        )
    if not line.sound:
        return (
            "certificate: particles with fewer than d + 1 contacts carry load, so they are no "
            "rattlers and the state is marginal; perturb or compress the start"
        )
    return ""


def praise(line: Diagnosed) -> str:
    """The outcome of a state that has derivatives."""
    removed = int(line.rattlers.sum())
    extra = f", {removed} rattler{'s' if removed != 1 else ''} removed" if removed else ""
    return f"stable minimum; {line.zero_modes} rigid zero modes{extra}"


def _measured(result: Result, request: Request, line: Linearization) -> Result:
    functions = {name: bound(line, f)[0] for name, f in request.functions.items()}
    values = measured(line.problem, functions, line.setting)
    return replace(
        result,
        observables={name: np.asarray(values[name]) for name in functions},
        observable_units={name: request.unit(name) for name in functions},
    )


def _differentiate(request: Request, line: Linearization, report: Progress) -> Derivatives:
    """(mode, Total, shape) by observable and parameter, each the cheaper way."""
    theta, wanted = request.theta, request.differentiable
    if not theta or not wanted:
        return {}
    shapes = {name: shape_of(line, bound(line, f)[0]) for name, f in wanted.items()}
    correction = newton_correction(line, ROUGH)
    out: Derivatives = {name: {} for name in wanted}

    def keep(name: str, parameter: str, mode: str, total: Any) -> None:
        out[name][parameter] = (mode, total, (*shapes[name], *theta[parameter].shape))

    by_envelope = {n for n in wanted if n == "energy" and _energy_is_minimised(line)}
    for name in by_envelope:
        for p, total in envelope(line, wanted[name], theta, correction).items():
            keep(name, p, "envelope", total)
    solved = {n: f for n, f in wanted.items() if n not in by_envelope and n != "positions"}
    components = sum(int(np.prod(shapes[n])) for n in solved)
    if "positions" in wanted or sum(v.size for v in theta.values()) <= components:
        n, d = line.setting.positions.shape
        for p in theta:
            found = response(line, p, theta, correction, lambda k, m, p=p: report("solve", k, m, p))
            if "positions" in wanted:
                total = position_total(line, found, theta[p], n * d)
                out["positions"][p] = ("forward", total, (*theta[p].shape, n, d))
            for name, f in solved.items():
                keep(name, p, "forward", forward(line, f, p, theta, correction, found))
        return out
    for k, (name, f) in enumerate(solved.items()):
        report("solve", k, len(solved), name)
        for p, total in adjoint(line, f, theta, correction).items():
            keep(name, p, "adjoint", total)
    return out


def _energy_is_minimised(line: Linearization) -> bool:
    """With a free cell under pressure it is the enthalpy that is stationary, not the energy."""
    return line.problem.cell_mode == "fixed" or float(line.setting.pressure) == 0.0
