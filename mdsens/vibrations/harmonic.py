"""Thermodynamics of harmonic vibrations: of a crystal by its phonons, or of all modes of a cell.

    F = E + sum_q w_q sum_m f(omega_qm),    S = -dF/dT,    U = F + T S,    C = -T d2F/dT2

    f = hbar omega/2 + k T ln(1 - exp(-hbar omega/k T))        quantum
    f = k T ln(hbar omega/k T)                                 classical

per cell, at fixed positions and cell. Rigid motions (the acoustic modes at q = 0), fixed particles
and rattlers do not vibrate and are left out.

Born, Huang, Dynamical Theory of Crystal Lattices (1954), section 16.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.equilibrium.linearized import backbone
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.errors import DerivativeUndefined, InputError
from mdsens.gauge import rigid_projector
from mdsens.observables.configuration import as_configuration, is_traced
from mdsens.potentials import Potential
from mdsens.units import THZ
from mdsens.vibrations.bloch import (
    crystal_at,
    inverse_roots,
    matrix_at,
    over,
    require_local,
    unit_system,
)
from mdsens.vibrations.phonons import NOTHING
from mdsens.vibrations.spectral import Function, spectral_sum
from mdsens.vibrations.statistics import Constants, Law, constants, statistics_named
from mdsens.vibrations.zone import half_zone


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Harmonic:
    """Harmonic thermodynamics of one configuration; of the whole cell, each ().

    Attributes:
        static: E, the potential energy.
        free_energy: F, E and the vibrations'.
        energy: U = F + T S.
        entropy: S, energy per unit of temperature; minus infinity of a classical crystal at T = 0.
        heat_capacity: C at fixed cell, energy per unit of temperature.
        modes: vibrations per cell that were counted: N d less the share of those left out.
    """

    static: jax.Array
    free_energy: jax.Array
    energy: jax.Array
    entropy: jax.Array
    heat_capacity: jax.Array
    modes: jax.Array


class Medium(NamedTuple):
    """What vibrations depend on besides the potential and where the particles are.

    Attributes:
        light: (N,) m^(-1/2), zero of fixed particles.
        q: (Q, d) wave vectors, fractions.  weights: (Q,).
        central: (Q,) 1 at q = 0, else 0.
        constants: k and hbar.
    """

    light: jax.Array
    q: jax.Array
    weights: jax.Array
    central: jax.Array
    constants: Constants


class Vibrations(NamedTuple):
    """Dynamical matrices with what does not vibrate lifted to one eigenvalue.

    Attributes:
        matrices: (Q, m, m), omega^2.
        top: () that eigenvalue.
        lifted: (Q,) how many have it.
        lowest: (Q,) the smallest omega^2 of each matrix, without derivative.
        stable: () all are above rounding.
    """

    matrices: jax.Array
    top: jax.Array
    lifted: jax.Array
    lowest: jax.Array
    stable: jax.Array


def harmonic(
    potential: Potential,
    params: Any,
    state: Any,
    temperature: Any,
    mesh: tuple[int, ...] | None = None,
    masses: Any = None,
    *,
    statistics: str = "quantum",
    units: str | None = None,
    hbar: float | None = None,
) -> Harmonic:
    """Free energy, energy, entropy and heat capacity of harmonic vibrations about a relaxed state.

    Differentiable in params, the state (implicitly through `relax`), masses and temperature, under
    grad, jvp, vmap and jit: first to third derivatives are exact for degenerate modes too, fourth
    ones by anything but the temperature are NaN.

    Args:
        potential, params, state, masses, units: as for `phonon_frequencies`.
        temperature: in K, or in units of energy (k = 1) of reduced systems; 0 is allowed.
        mesh: of wave vectors, as for `phonon_dos`; None for q = 0 alone, the modes of the cell as it
            is. Even numbers leave q = 0 out, which is the better choice at low temperatures; 8 for
            crystals with one or two atoms per cell. Where q = 0 is among them its rigid motions
            are left out (`modes` counts).
        statistics: "quantum" or "classical".
        hbar: in reduced units, sqrt(energy mass) length; 1 if None.

    Raises:
        InputError: a temperature below zero, unknown statistics, or as for `phonon_frequencies`.
        DerivativeUndefined: a mode is unstable or soft; NaN under jit.
    """
    s = as_configuration(potential, params, state)
    medium = medium_of(potential, s, mesh, masses, unit_system(units, state), hbar)
    require_temperature(temperature)
    law = statistics_named(statistics)
    here = Setting(params, s.positions, s.cell, s.held, jnp.zeros(()), s.neighbors)
    found, lowest = _measured(
        Problem(potential, s.pbc), here, medium, law, jnp.asarray(temperature, float)
    )
    require_stable("harmonic", medium, lowest)
    return found


def medium_of(
    potential: Potential,
    state: Any,
    mesh: tuple[int, ...] | None,
    masses: Any,
    units: str,
    hbar: float | None,
) -> Medium:
    """From arguments as of `harmonic`; `state` is a Configuration."""
    require_local(potential)
    d = len(state.pbc)
    mesh = (1,) * d if mesh is None else tuple(mesh)
    if len(mesh) != d or any(m != 1 and not p for m, p in zip(mesh, state.pbc, strict=True)):
        raise InputError(f"mesh {mesh}: {d} numbers, and 1 along directions that are not periodic")
    q, weights = half_zone(mesh)
    central = np.all(np.abs(q) < 1e-12, axis=1)
    light = inverse_roots(masses, state)
    here, share, still = (jnp.asarray(x, float) for x in (q, weights, central))
    return Medium(light, here, share, still, constants(units, hbar))


def require_temperature(temperature: Any) -> None:
    if jnp.ndim(temperature) != 0:
        raise InputError(
            f"temperature of shape {jnp.shape(temperature)}; one number, or jax.vmap over several"
        )
    value = jax.lax.stop_gradient(temperature)
    if not is_traced(value) and not float(value) >= 0.0:
        raise InputError(f"temperature = {float(value)}; it must be zero or positive")


def require_stable(name: str, medium: Medium, lowest: jax.Array) -> None:
    """Raise where concrete numbers say that a mode is unstable; `lowest` (Q,) is marked by NaN where
    all are sound."""
    if is_traced(lowest):
        return
    bad = np.flatnonzero(~np.isnan(lowest))
    if not len(bad):
        return
    worst = bad[np.argmin(np.asarray(lowest)[bad])]
    square = float(lowest[worst])
    q = ", ".join(f"{x:.4g}" for x in np.asarray(medium.q[worst]))
    unit = "THz" if float(medium.constants.k) != 1.0 else "reduced"
    nu = np.sign(square) * np.sqrt(abs(square)) * (THZ if unit == "THz" else 1.0)
    raise DerivativeUndefined(
        f"{name}: mode 1 (the lowest) at q = ({q}) has frequency {nu:.4g} {unit}: the state is no "
        f"minimum for this wave and has no harmonic free energy ({len(bad)} of {len(medium.q)} wave "
        "vectors have such a mode); relax a cell that holds the wave, or change volume or potential"
    )


def vibrations(problem: Problem, s: Setting, medium: Medium) -> Vibrations:
    """All dynamical matrices of a configuration."""
    here = backbone(problem, jax.lax.stop_gradient(s))
    c = crystal_at(
        problem.potential, s.params, s.positions, s.cell, here.setting.neighbors, medium.light
    )
    p = rigid_projector(s.positions, s.cell, problem.pbc, jnp.asarray(s.fixed), here.rattlers)
    rigid = _mass_weighted(p.basis, medium.light)
    count = jnp.sum(jnp.any(p.basis != 0.0, axis=0))
    still = jnp.diag(1.0 - p.mask)
    matrices = over(matrix_at, c, medium.q)
    lift = still[None] + medium.central[:, None, None] * rigid[None]
    # Rows of what is fixed, or loose, are zero as they are.
    matrices = matrices + c.stiffness * lift
    lowest = jnp.linalg.eigvalsh(jax.lax.stop_gradient(matrices))[:, 0]
    lifted = jnp.sum(1.0 - p.mask) + medium.central * count
    stable = here.sound & jnp.all(lowest > NOTHING * c.stiffness)
    return Vibrations(matrices, c.stiffness, lifted, lowest, stable)


def summed(found: Vibrations, medium: Medium, f: Function, temperature: jax.Array) -> jax.Array:
    """sum_q w_q sum_m f((hbar omega_qm)^2, k T), (); NaN where a mode is unstable."""
    heat, scale = medium.constants.k * temperature, medium.constants.hbar**2
    sums = spectral_sum(f, scale * found.matrices, heat)
    sums = sums - found.lifted * f(scale * found.top, heat)
    return jnp.where(found.stable, jnp.dot(medium.weights, sums), jnp.nan)


def _mass_weighted(basis: jax.Array, light: jax.Array) -> jax.Array:
    """(N d, N d) the projector onto m^(1/2) times the columns of a basis, which moves with it."""
    d = basis.shape[0] // light.shape[0]
    heavy = jnp.repeat(jnp.where(light > 0.0, 1.0 / jnp.where(light > 0.0, light, 1.0), 0.0), d)
    w = heavy[:, None] * basis
    absent = jnp.all(jax.lax.stop_gradient(w) == 0.0, axis=0)
    return w @ jnp.linalg.solve(w.T @ w + jnp.diag(absent.astype(float)), w.T)


@partial(jax.jit, static_argnames=("problem", "law"))
def _measured(
    problem: Problem, s: Setting, medium: Medium, law: Law, temperature: jax.Array
) -> tuple[Harmonic, jax.Array]:
    found = vibrations(problem, s, medium)
    static = problem.potential.energy(s.params, s.positions, s.cell, s.neighbors)
    return thermodynamics(found, medium, law, static, temperature), blamed(found)


def thermodynamics(
    found: Vibrations, medium: Medium, law: Law, static: jax.Array, temperature: jax.Array
) -> Harmonic:
    """Everything there is to say of these vibrations at a temperature."""
    k = medium.constants.k
    free, s, c = (summed(found, medium, f, temperature) for f in law)
    # T S is zero at T = 0, whatever S.
    bound = jnp.where(temperature > 0.0, k * temperature * s, 0.0)
    modes = found.matrices.shape[-1] - jnp.dot(medium.weights, found.lifted)
    return Harmonic(
        static=static,
        free_energy=static + free,
        energy=static + free + bound,
        entropy=k * s,
        heat_capacity=k * c,
        modes=modes,
    )


def blamed(found: Vibrations) -> jax.Array:
    """(Q,) the lowest omega^2 where it is not stable, else NaN."""
    return jnp.where(found.lowest > NOTHING * found.top, jnp.nan, found.lowest)
