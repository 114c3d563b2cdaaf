"""Total derivatives at a linearised state, forward, adjoint, or by the envelope theorem.

    A u = -B t (forward, one solve per parameter)      do = o_theta t + o_z u
    A w = o_z  (adjoint, one solve per observable)     do/dtheta = o_theta - w^T B
    o = W      (envelope: o_z = 0 at a minimum)        do/dtheta = W_theta

Each is evaluated twice: at the state z, and one Newton step further with the solution refined by
one more solve. The change is what the finite accuracy of state and solve is worth, to first order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.tree_util import Partial

from mdsens.derivatives.bound import bound
from mdsens.derivatives.kernels import (
    Kernels,
    Theta,
    force_response,
    force_work,
    hessian_columns,
    moved_positions,
)
from mdsens.derivatives.linearization import ROUGH, Linearization
from mdsens.equilibrium.problem import Setting
from mdsens.observables.elasticity import WITH_DISPLACEMENTS

# Right-hand sides solved together: enough to use the memory bandwidth, few enough to fit.
_BLOCK = 128
# A derivative smaller than this fraction of its natural scale is zero but for round-off.
_VANISHING = 1e-10


@dataclass(frozen=True)
class Total:
    """One total derivative: value, relative residual of its solves, estimated relative error."""

    value: np.ndarray
    residual: float
    error: float


def adjoint(
    line: Linearization, observable: Callable[..., Any], theta: Theta, correction: np.ndarray
) -> dict[str, Total]:
    """d(observable)/d(parameter) for every parameter at once, (c, *shape) each."""
    z0 = np.zeros_like(correction)
    at_z0, at_z1, missed = _kernels(line, observable, correction)
    setting = _seen(line, observable)
    value, v0, parts0 = at_z0.slopes(z0, theta, setting)
    _, v1, parts1 = at_z1.slopes(correction, theta, setting)
    w0, residual = line.solve(v0)
    w1 = w0 + change(line, correction, w0, v1)
    work0 = force_work(line.problem, z0, theta, line.near, w0)
    work1 = force_work(line.problem, correction, theta, line.near, w1)
    residual = max(residual, missed)
    swing = line.length * float(np.linalg.norm(v0))
    return {
        n: total(
            line.condition, parts0[n] - work0[n], parts1[n] - work1[n], residual,
            natural(value, theta[n], swing),
            # What cancels between the direct part and the response loses relative accuracy.
            parts0[n],
        )
        for n in theta
    }  # fmt: skip


def envelope(
    line: Linearization, observable: Callable[..., Any], theta: Theta, correction: np.ndarray
) -> dict[str, Total]:
    """Derivatives of the minimised function itself: the partial derivatives at the minimum."""
    kernels = Kernels(line.problem, Partial(observable))
    value, _, here = kernels.slopes(np.zeros_like(correction), theta, line.setting)
    _, _, there = kernels.slopes(correction, theta, line.setting)
    return {n: minimised(here[n], there[n], natural(value, theta[n])) for n in theta}


def minimised(here: Any, there: Any, scale: float) -> Total:
    """A derivative of what is minimised, from its values at the state and one step further."""
    return _difference(here, there, 0.0, scale, 4.0 * np.finfo(float).eps)


@dataclass(frozen=True)
class Response:
    """dz/dtheta for one parameter: columns (n, p) at the state and one step further."""

    z: np.ndarray
    refined: np.ndarray
    residual: float


def response(
    line: Linearization,
    name: str,
    theta: Theta,
    correction: np.ndarray,
    report: Callable[[int, int], None],
) -> Response:
    """Forward solves for every component of one parameter."""
    z0 = np.zeros_like(correction)
    columns, refined, worst, done = [], [], 0.0, 0
    for t in directions(theta, name):
        u0, residual = line.solve(force_response(line.problem, z0, theta, line.near, t))
        b1 = force_response(line.problem, correction, theta, line.near, t)
        u1 = u0 + change(line, correction, u0, b1)
        # A u = -B t
        columns.append(-u0)
        refined.append(-u1)
        worst, done = max(worst, residual), done + u0.shape[1]
        report(done, theta[name].size)
    return Response(np.hstack(columns), np.hstack(refined), worst)


def forward(
    line: Linearization,
    observable: Callable[..., Any],
    name: str,
    theta: Theta,
    correction: np.ndarray,
    found: Response,
) -> Total:
    """d(observable)/d(one parameter) from its response, (c, *shape)."""
    at_z0, at_z1, missed = _kernels(line, observable, correction)
    setting, z0, start = _seen(line, observable), np.zeros_like(correction), 0
    here, there, value = [], [], np.zeros(0)
    for t in directions(theta, name):
        stop = start + len(t[name])
        u0, u1 = found.z[:, start:stop], found.refined[:, start:stop]
        value, along = at_z0.forward_total(z0, theta, setting, u0, t)
        here.append(np.asarray(along))
        there.append(np.asarray(at_z1.forward_total(correction, theta, setting, u1, t)[1]))
        start = stop
    shape = (-1, *theta[name].shape)
    a, b = np.hstack(here).reshape(shape), np.hstack(there).reshape(shape)
    residual = max(found.residual, missed)
    # Moduli do not vanish, and cost too much to be asked once more.
    moduli = observable in WITH_DISPLACEMENTS
    swing = 0.0 if moduli else swing_of(at_z0, theta, setting, line.length, len(z0))
    return total(line.condition, a, b, residual, natural(value, theta[name], swing), a)


def position_total(line: Linearization, found: Response, parameter: Any, coordinates: int) -> Total:
    """The response itself as d(positions)/d(parameter), (p, N d); strains left out.

    With a free cell x = (x_ref + u)(1 + strain): the strain's share of dx is added.
    """
    here, there = (_moved(line, z, coordinates) for z in (found.z, found.refined))
    lengths = np.full(here.shape, line.length)
    return total(line.condition, here, there, found.residual, natural(lengths, parameter), here)


def swing_of(kernels: Kernels, theta: Theta, setting: Setting, length: float, n: int) -> float:
    """|do/dz| times a length, for n unknowns: how far an observable swings with particles that move
    by so much at random. That of the stress is a stiffness, and does not vanish with the stress."""
    along = length * np.random.default_rng(0).normal(size=(n, 1))
    still = {name: np.zeros((1, *value.shape)) for name, value in theta.items()}
    return float(
        np.linalg.norm(kernels.forward_total(np.zeros(n), theta, setting, along, still)[1])
    )


def _moved(line: Linearization, dz: np.ndarray, coordinates: int) -> np.ndarray:
    if dz.shape[0] == coordinates:
        return dz.T
    return np.asarray(moved_positions(line.problem, line.setting, dz))


def directions(theta: Theta, name: str) -> Iterator[dict[str, Any]]:
    """Unit directions of one parameter in blocks: (k, *shape) for it, zero for the others."""
    size = theta[name].size
    for start in range(0, size, _BLOCK):
        stop = min(start + _BLOCK, size)
        unit = np.zeros((stop - start, size))
        unit[np.arange(stop - start), np.arange(start, stop)] = 1.0
        yield {
            key: unit.reshape(-1, *value.shape)
            if key == name
            else np.zeros((stop - start, *value.shape))
            for key, value in theta.items()
        }


def _kernels(
    line: Linearization, observable: Callable[..., Any], correction: np.ndarray
) -> tuple[Kernels, Kernels, float]:
    """Kernels for z = 0 and z = correction, and the residual of what was solved for them."""
    here, missed = bound(line, observable)
    there, _ = bound(line, observable, correction)
    return Kernels(line.problem, here), Kernels(line.problem, there), missed


def _seen(line: Linearization, observable: Callable[..., Any]) -> Setting:
    """The setting an observable is differentiated at: if nobody knows what it does with the list,
    with all of it."""
    return line.near if observable in WITH_DISPLACEMENTS else line.setting


def change(line: Linearization, z: np.ndarray, x: np.ndarray, rhs: Any) -> np.ndarray:
    """What x lacks of the solution at z, roughly: (P H P)^+ (rhs - H(z) x)."""
    product = hessian_columns(line.problem, z, line.near, x)
    return line.solve(line.remainder(rhs, product), ROUGH)[0]


def total(
    condition: float, here: Any, there: Any, residual: float, scale: float, parts: Any
) -> Total:
    """A derivative from its values at the state and one step further, of a solved response.

    Args:
        condition: of the Hessian.
        scale: the natural size of such a derivative.
        parts: what the response was added to.
    """
    # Round-off of a solve grows with the condition number; cancellation between the direct part and
    # the response makes it larger still, relative to what is left.
    floor = np.finfo(float).eps * condition
    size = float(np.linalg.norm(here))
    grown = max(1.0, float(np.linalg.norm(parts)) / size) if size > 0.0 else 1.0
    return _difference(here, there, residual, scale, floor * grown)


def _difference(here: Any, there: Any, residual: float, scale: float, floor: float) -> Total:
    """`scale`: the size a derivative of this kind has where it does not vanish by symmetry; an
    error relative to a value that is zero up to round-off would mean nothing."""
    here, there = np.asarray(here), np.asarray(there)
    size, change = float(np.linalg.norm(here)), float(np.linalg.norm(there - here))
    if size <= _VANISHING * scale:
        return Total(here, residual, (change + size) / scale if scale > 0.0 else 0.0)
    return Total(here, residual, floor + change / size)


def natural(value: Any, theta: Any, swing: float = 0.0) -> float:
    """max(|o|, swing) / |theta|: the size of do/dtheta by dimensional analysis, also where o is zero,
    as the stress of a relaxed cell."""
    size = float(np.max(np.abs(theta), initial=0.0))
    return max(float(np.linalg.norm(value)), swing) / size if size > 0.0 else 0.0
