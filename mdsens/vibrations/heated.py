"""The condition that a heated crystal meets, as one root with a symmetric Jacobian.

The vibrations follow the ions as these follow the cell, so that what vanishes is a total derivative
of the free energy by strain. With a multiplier l for the condition on the ions it is a partial one:

    L(u, e, l) = E(u, e) + P V(e) + F_vib(u, e; T) + l . dE/du,    dL/du = dL/de = dL/dl = 0

At the root dG = dL, hence S = -dL/dT and V = dL/dP. With y = (u, e, l) and K = d2L/dy2

    dy/dT = -K^-1 d2L/dy dT,    C_P = C + T (d2L/dy dT) . K^-1 (d2L/dy dT)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdsens.equilibrium.linearized import backbone
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.implicit import Certified, Side, attach, guard
from mdsens.linear import Projector
from mdsens.vibrations.harmonic import (
    Harmonic,
    Medium,
    blamed,
    summed,
    thermodynamics,
    vibrations,
)
from mdsens.vibrations.statistics import Law

# The largest strain of one Newton step.
_STRIDE = 0.02
# Relative residual of a solve that is right to rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Heated:
    """What is static: the problem, and the law of one oscillator."""

    problem: Problem
    law: Law


class Warmth(NamedTuple):
    """What vibrates, and how warm it is, ()."""

    medium: Medium
    temperature: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Root:
    """A reference configuration (u = e = 0) and the multiplier l there, (N d,)."""

    setting: Setting
    multiplier: jax.Array

    @staticmethod
    def at(setting: Setting) -> Root:
        """Without vibrations."""
        return Root(setting, jnp.zeros(setting.positions.size))


class Spot(NamedTuple):
    """L around some y = (u, e, l).

    Attributes:
        slope: dL/dy, projected.
        curvature: d2L/dy2, projected, lifted where it is projected out.
        by_heat, by_pressure: d2L/dy dT and d2L/dy dP.
        residual: () the largest force, with dL/de as of a relaxation.
        lowest: (Q,) as `blamed` says.
    """

    slope: jax.Array
    curvature: jax.Array
    by_heat: jax.Array
    by_pressure: jax.Array
    residual: jax.Array
    lowest: jax.Array


class Answer(NamedTuple):
    """The heated crystal and its answers to T and P; shapes as in `QuasiHarmonic`.

    Attributes:
        stable: () the free energy is a minimum in the strains.
    """

    positions: jax.Array
    cell: jax.Array
    volume: jax.Array
    harmonic: Harmonic
    expansion: jax.Array
    bulk_modulus: jax.Array
    heat_capacity: jax.Array
    stable: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Known(Certified):
    """x = K^+ b of a matrix that is known already, refined once.

    Attributes:
        curvature: K, lifted where it is singular.
    """

    symmetric = True
    curvature: jax.Array

    def __call__(self, matvec: Any, b: jax.Array) -> jax.Array:
        x = jnp.linalg.solve(self.curvature, b)
        x = x + jnp.linalg.solve(self.curvature, b - self.curvature @ x)
        left = jnp.linalg.norm(b - self.curvature @ x)
        size = jnp.linalg.norm(self.curvature) * jnp.linalg.norm(x) + jnp.linalg.norm(b)
        return jnp.where(left <= _ROUNDING * size, x, jnp.nan)


# Compiled once for the search, for what is measured, and for the derivative of either.
@partial(jax.jit, static_argnames="heated")
def spot(heated: Heated, y: jax.Array, root: Root, warmth: Warmth) -> Spot:
    """Slope and curvature of L at y from a reference."""
    s, p = _taken(heated.problem, root.setting)

    def slopes(y: jax.Array, t: jax.Array, pressure: jax.Array) -> tuple[jax.Array, jax.Array]:
        here = (replace(s, pressure=pressure), p, Warmth(warmth.medium, t))
        slope = jax.grad(_lagrangian, argnums=1)(heated, y, *here)
        return slope, slope

    here = (y, warmth.temperature, s.pressure)
    (curvature, by_t, by_p), slope = jax.jacfwd(slopes, argnums=(0, 1, 2), has_aux=True)(*here)
    static = jnp.max(jnp.abs(slope[p.size :]), initial=0.0)
    residual = jnp.maximum(heated.problem.residual(slope[: p.size], s), static)
    lowest = blamed(vibrations(heated.problem, s, warmth.medium))
    return Spot(slope, _lifted(curvature, p), by_t, by_p, residual, lowest)


@partial(jax.jit, static_argnames="heated")
def advanced(heated: Heated, root: Root, here: Spot) -> Root:
    """After a step of Newton's, shortened where the strain would be large."""
    problem, s = heated.problem, root.setting
    size = problem.start(s).size
    step = -jnp.linalg.solve(here.curvature, here.slope)
    strain = jnp.max(jnp.abs(problem.strain(step[:size], s)))
    step = step * jnp.minimum(1.0, _STRIDE / jnp.maximum(strain, 1e-300))
    positions, cell = problem.configuration(step[:size], s)
    return Root(replace(s, positions=positions, cell=cell), root.multiplier + step[size:])


def solution(heated: Heated, root: Root, warmth: Warmth, curvature: jax.Array) -> jax.Array:
    """y at the root, zero but for the multiplier, as a function of everything live.

    Args:
        curvature: of `spot` there, without derivatives.

    Raises:
        DerivativeUndefined: in eager code, where the linear solve of a derivative fails.
    """
    live = (root.setting.params, root.setting.pressure, warmth)
    params, pressure, warmth = jax.tree.map(lambda x: guard(jnp.asarray(x), Side.INPUT), live)
    root = replace(root, setting=replace(root.setting, params=params, pressure=pressure))
    return guard(_solution(heated, root, warmth, curvature), Side.OUTPUT)


@partial(jax.jit, static_argnames="heated")
def _solution(heated: Heated, root: Root, warmth: Warmth, curvature: jax.Array) -> jax.Array:
    def stationary(y: jax.Array, setting: Setting, warmth: Warmth) -> jax.Array:
        s, p = _taken(heated.problem, setting)
        return jax.grad(_lagrangian, argnums=1)(heated, y, s, p, warmth)

    y = unknowns(heated.problem, root)
    return attach(stationary, y, (root.setting, warmth), solve=_Known(curvature))


@partial(jax.jit, static_argnames="heated")
def respond(heated: Heated, y: jax.Array, here: Spot, root: Root, warmth: Warmth) -> Answer:
    """What is measured at y, by the implicit function theorem written out."""
    problem = heated.problem
    s, p = _taken(problem, root.setting)

    def volume(z: jax.Array) -> jax.Array:
        return jnp.abs(jnp.linalg.det(problem.configuration(z, s)[1]))

    n, m = s.positions.size, p.size - s.positions.size
    strains = jnp.zeros((y.size, m)).at[n : n + m].set(jnp.eye(m))
    sides = jnp.concatenate([here.by_heat[:, None], here.by_pressure[:, None], strains], axis=1)
    found = jnp.linalg.solve(here.curvature, sides)
    warmer, pressed, compliance = -found[:, 0], -found[:, 1], found[n : n + m, 2:]
    z = y[: p.size]
    v, by_pressure = jax.jvp(volume, (z,), (pressed[: p.size],))
    positions, cell = problem.configuration(z, s)
    stretch = jnp.eye(len(cell)) + problem.strain(z, s)
    expansion = jnp.linalg.solve(stretch, problem.strain(warmer[: p.size], s))
    vibrating = vibrations(problem, replace(s, positions=positions, cell=cell), warmth.medium)
    static = problem.potential.energy(s.params, positions, cell, s.neighbors)
    harmonic = thermodynamics(vibrating, warmth.medium, heated.law, static, warmth.temperature)
    answer = Answer(
        positions=positions,
        cell=cell,
        volume=v,
        harmonic=harmonic,
        expansion=0.5 * (expansion + expansion.T),
        bulk_modulus=-v / by_pressure,
        heat_capacity=harmonic.heat_capacity - warmth.temperature * here.by_heat @ warmer,
        stable=jnp.linalg.eigvalsh(compliance)[0] > 0.0,
    )
    vouched = jnp.where(answer.stable & vibrating.stable, 1.0, jnp.nan)
    return jax.tree.map(lambda x: x if x.dtype == bool else vouched * x, answer)


def _lagrangian(
    heated: Heated, y: jax.Array, s: Setting, p: Projector, warmth: Warmth
) -> jax.Array:
    """L, (), with y projected first, so that derivatives are."""
    problem = heated.problem
    z, along = p(y[: p.size]), p(_with_strains(problem, y[p.size :]))
    static, pull = jax.jvp(lambda z: problem.objective(z, s), (z,), (along,))
    positions, cell = problem.configuration(z, s)
    found = vibrations(problem, replace(s, positions=positions, cell=cell), warmth.medium)
    return static + pull + summed(found, warmth.medium, heated.law.free, warmth.temperature)


def unknowns(problem: Problem, root: Root) -> jax.Array:
    """y at the reference, (2 N d + m,)."""
    return jnp.concatenate([problem.start(root.setting), root.multiplier])


def _with_strains(problem: Problem, forces: jax.Array) -> jax.Array:
    return jnp.concatenate([forces, jnp.zeros(len(problem.strain_basis()))])


def _taken(problem: Problem, setting: Setting) -> tuple[Setting, Projector]:
    """The setting without rattlers' contacts, and what is projected out of (u, e)."""
    here = backbone(problem, jax.lax.stop_gradient(setting))
    return replace(setting, neighbors=here.setting.neighbors), here.projector


def _lifted(curvature: jax.Array, p: Projector) -> jax.Array:
    """With its own size on what was projected out, (u as well as l), so that it can be inverted."""
    out = jnp.eye(p.size) - p(jnp.eye(p.size))
    forces = curvature.shape[0] - p.size
    both = jax.scipy.linalg.block_diag(out, out[:forces, :forces])
    return curvature + jax.lax.stop_gradient(jnp.max(jnp.abs(curvature))) * both
