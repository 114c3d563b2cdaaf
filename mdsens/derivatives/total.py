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

from mdsens.derivatives.kernels import (
    Kernels,
    Theta,
    force_response,
    hessian_columns,
    moved_positions,
)
from mdsens.derivatives.linearization import Linearization

# Right-hand sides solved together: enough to use the memory bandwidth, few enough to fit.
_BLOCK = 128
# Remainders below this fraction of their right-hand side are round-off.
_NOISE = 1e-13
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
    kernels = Kernels(line.problem, observable)
    z0 = np.zeros_like(correction)
    w0, residual = solve(line, kernels.gradient_z(z0, theta, line.setting))
    v1 = kernels.gradient_z(correction, theta, line.setting)
    w1 = w0 + change(line, correction, w0, v1)
    here = kernels.adjoint_total(z0, theta, line.setting, w0)
    there = kernels.adjoint_total(correction, theta, line.setting, w1)
    # What cancels between the direct part and the response loses relative accuracy.
    parts = kernels.partial_theta(z0, theta, line.setting)
    value = kernels.value(z0, theta, line.setting)
    return {
        n: _total(line, here[n], there[n], residual, _natural(value, theta[n]), parts[n])
        for n in theta
    }


def envelope(
    line: Linearization, observable: Callable[..., Any], theta: Theta, correction: np.ndarray
) -> dict[str, Total]:
    """Derivatives of the minimised function itself: the partial derivatives at the minimum."""
    kernels = Kernels(line.problem, observable)
    here = kernels.partial_theta(np.zeros_like(correction), theta, line.setting)
    there = kernels.partial_theta(correction, theta, line.setting)
    value = kernels.value(np.zeros_like(correction), theta, line.setting)
    floor = 4.0 * np.finfo(float).eps
    return {n: _difference(here[n], there[n], 0.0, _natural(value, theta[n]), floor) for n in theta}


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
        u0, residual = solve(line, force_response(line.problem, z0, theta, line.setting, t))
        b1 = force_response(line.problem, correction, theta, line.setting, t)
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
    kernels = Kernels(line.problem, observable)
    z0, start = np.zeros_like(correction), 0
    here, there = [], []
    for t in directions(theta, name):
        stop = start + len(t[name])
        u0, u1 = found.z[:, start:stop], found.refined[:, start:stop]
        here.append(np.asarray(kernels.forward_total(z0, theta, line.setting, u0, t)))
        there.append(np.asarray(kernels.forward_total(correction, theta, line.setting, u1, t)))
        start = stop
    shape = (-1, *theta[name].shape)
    a, b = np.hstack(here).reshape(shape), np.hstack(there).reshape(shape)
    value = kernels.value(z0, theta, line.setting)
    return _total(line, a, b, found.residual, _natural(value, theta[name]), a)


def position_total(line: Linearization, found: Response, parameter: Any, coordinates: int) -> Total:
    """The response itself as d(positions)/d(parameter), (p, N d); strains left out.

    With a free cell x = (x_ref + u)(1 + strain): the strain's share of dx is added.
    """
    here, there = (_moved(line, z, coordinates) for z in (found.z, found.refined))
    lengths = np.full(here.shape, line.length)
    return _total(line, here, there, found.residual, _natural(lengths, parameter), here)


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


def change(line: Linearization, z: np.ndarray, x: np.ndarray, rhs: Any) -> np.ndarray:
    """What x lacks of the solution at z: (P H P)^+ (rhs - H(z) x), with the factor at hand."""
    rhs = line.project(np.asarray(rhs))
    left = rhs - line.project(np.asarray(hessian_columns(line.problem, z, line.setting, x)))
    # A remainder at round-off has no direction worth solving for.
    left[:, np.linalg.norm(left, axis=0) <= _NOISE * np.linalg.norm(rhs, axis=0)] = 0.0
    return solve(line, line.project(left))[0]


def solve(line: Linearization, rhs: Any) -> tuple[np.ndarray, float]:
    """(P H P)^+ rhs; a right-hand side of zero has the solution zero, without a solve."""
    rhs = np.asarray(rhs)
    x = np.zeros_like(rhs)
    needed = np.abs(rhs).max(axis=0) > 0.0
    residual = 0.0
    if needed.any():
        x[:, needed], residual = line.solve(rhs[:, needed])
    return x, residual


def _total(
    line: Linearization, here: Any, there: Any, residual: float, scale: float, parts: Any
) -> Total:
    # Round-off of a solve grows with the condition number; cancellation between the direct part and
    # the response makes it larger still, relative to what is left.
    floor = np.finfo(float).eps * line.condition
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


def _natural(value: Any, theta: Any) -> float:
    """|o| / |theta|: the size of do/dtheta by dimensional analysis alone."""
    size = float(np.max(np.abs(theta), initial=0.0))
    return float(np.linalg.norm(value)) / size if size > 0.0 else 0.0
