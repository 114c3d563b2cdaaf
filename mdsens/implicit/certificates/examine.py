"""Everything a certificate says, measured at one point of an equation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from mdsens.implicit.certificates.constants import lipschitz, response_norm
from mdsens.implicit.certificates.derivative import Direction, change, product
from mdsens.implicit.certificates.distance import LARGEST_CONTRACTION, Distance, measure_distance
from mdsens.implicit.certificates.equation import Equation
from mdsens.implicit.certificates.inverse import Inverse, invert
from mdsens.implicit.certificates.null_modes import require_null
from mdsens.implicit.certificates.record import RootCertificate, Verdict
from mdsens.linear.accuracy import EPS

# Relative to |A|; the solvers call anything below it singular.
_SINGULAR = 1e-11
# Rounding in F may move the root further than an arbitrary vector of that size does.
_UNLUCKY = 10.0


def examine(
    equation: Equation, x: Any, direction: Direction, corrected: bool = False
) -> RootCertificate:
    """The certificate at x (n,), its derivative flat; eager.

    Raises:
        InputError, DerivativeUndefined: the null modes declared are none.
    """
    inverse = invert(equation, x)
    found = _linearised(equation, x, inverse, corrected)
    if not found.alpha > _SINGULAR * found.norm:
        return replace(found, verdict=Verdict.UNDEFINED, outcome=_singular(found))
    require_null(equation, x, found.norm, found.response_norm)
    distance = measure_distance(equation, x, inverse, found.response_norm)
    found = _located(found, equation, x, distance)
    if not distance.reached:
        return replace(found, verdict=Verdict.NOT_CONVERGED, outcome=_too_far(found))
    return _differentiated(found, equation, x, inverse, direction, distance)


def _linearised(equation: Equation, x: Any, inverse: Inverse, corrected: bool) -> RootCertificate:
    values = inverse.values
    return RootCertificate(
        verdict=Verdict.CERTIFIED,
        outcome="",
        residual=_size(equation.residual(x, equation.theta)),
        null_modes=equation.projector.basis.shape[1],
        corrected=corrected,
        alpha=values.smallest,
        alpha_accuracy=values.accuracy,
        alpha_method=values.method,
        norm=values.largest,
        response_norm=float(response_norm(equation, x)),
    )


def _located(
    found: RootCertificate, equation: Equation, x: Any, distance: Distance
) -> RootCertificate:
    gamma, beta = map(float, lipschitz(equation, x, distance.step, found.norm, found.response_norm))
    # A(x*) differs from A(x) by gamma |x - x*| at most, and so does its smallest singular value.
    alpha = found.alpha * (1 - found.alpha_accuracy)
    alpha_there = alpha - gamma * distance.estimate
    slope = (beta + gamma * found.response_norm / alpha) / alpha_there
    return replace(
        found,
        newton_step=_size(distance.step),
        contraction=distance.contraction,
        distance=distance.estimate,
        gamma=gamma,
        beta=beta,
        bound=slope * distance.estimate if alpha_there > 0 else float("inf"),
    )


def _differentiated(
    found: RootCertificate,
    equation: Equation,
    x: Any,
    inverse: Inverse,
    direction: Direction,
    distance: Distance,
) -> RootCertificate:
    here = product(direction, equation, x, inverse, jnp.zeros_like(x))
    if not here.settled:
        return replace(found, verdict=Verdict.UNDEFINED, outcome=_UNSOLVED)
    # Its error is of third order in |x - x*|, where that of D(x) is of first or, corrected, second.
    better = product(direction, equation, x + distance.further, inverse, here.unknown)
    if not better.settled:
        return replace(found, verdict=Verdict.NOT_CONVERGED, outcome=_UNSTEADY)
    value = here.value
    if found.corrected:
        value = value + change(direction, equation, x, inverse, here.unknown, distance.step)
    drift = change(direction, equation, x, inverse, here.unknown, distance.noise)
    gain = direction.gain(found.response_norm) / found.alpha
    found = replace(
        found,
        derivative=value,
        derivative_norm=_size(value),
        from_solution=distance.inflation * _size(better.value - value),
        from_solve=gain * (here.left + better.left),
        from_rounding=2 * EPS * found.norm * gain * _size(here.unknown) + _UNLUCKY * _size(drift),
    )
    return replace(found, outcome=_praise(found))


def _size(v: Any) -> float:
    return float(jnp.linalg.norm(v))


_UNSOLVED = (
    "the derivative is undefined: the linear solve with A = dF/dx failed though A is not singular; "
    "it is probably too badly conditioned, so give the unknowns comparable scales"
)
_UNSTEADY = (
    "not converged: A = dF/dx changes too much between x and the root for the derivative to be "
    "told; solve F = 0 further"
)


def _singular(found: RootCertificate) -> str:
    return (
        f"the derivative is undefined: A = dF/dx is singular (its smallest singular value is "
        f"{found.alpha:.1e}, its largest {found.norm:.1e}), as at a fold or a marginal state; "
        "motions that leave F unchanged must be declared by null_basis"
    )


def _too_far(found: RootCertificate) -> str:
    return (
        f"not converged: |F| = {found.residual:.1e}, and a second Newton step would be "
        f"{found.contraction:.2g} of the first ({found.newton_step:.1e}), more than "
        f"{LARGEST_CONTRACTION}, so no root can be told nearby; solve F = 0 further"
    )


def _praise(found: RootCertificate) -> str:
    parts = {
        "the distance to the solution": found.from_solution,
        "the linear solve": found.from_solve,
        "rounding": found.from_rounding,
    }
    error, size = found.derivative_error, found.derivative_norm
    relative = f" ({error / size:.1e} of its norm)" if size > 0 else ""
    return (
        f"the solution is {found.distance:.1e} from the root; the derivative has an estimated error "
        f"of {error:.1e}{relative}, mostly from {max(parts, key=lambda name: parts[name])}"
    )
