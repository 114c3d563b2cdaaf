"""The crystal at a temperature and pressure, from phonons that change with the cell.

    G(T, P) = min over strains e of  E(u(e), e) + F_vib(u(e), e; T) + P V(e),    dE/du (u(e), e) = 0

Ions sit at the minimum of the energy in each cell; the free energy chooses the cell (the zero static
internal stress approximation). How good the approximation is, and what it knows nothing of, is said
in docs/quasi_harmonic.md.

Allan, Barron, Bruno 1996, doi:10.1063/1.472684.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from mdsens.equilibrium import relax
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.errors import DerivativeUndefined, InputError, NotConverged
from mdsens.linear import require_float64
from mdsens.observables.configuration import as_configuration, is_traced
from mdsens.potentials import Potential
from mdsens.state import Configuration
from mdsens.system import System
from mdsens.vibrations.bloch import unit_system
from mdsens.vibrations.harmonic import Harmonic, medium_of, require_stable, require_temperature
from mdsens.vibrations.heated import (
    Heated,
    Root,
    Spot,
    Warmth,
    advanced,
    respond,
    solution,
    spot,
    unknowns,
)
from mdsens.vibrations.statistics import statistics_named

# Newton steps; from the static crystal six or seven will do.
_STEPS = 40


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class QuasiHarmonic:
    """A crystal in equilibrium at a temperature and pressure; of the whole cell.

    Attributes:
        state: positions, cell and neighbours, to be measured like any other state.
        volume: V, ().
        gibbs: G = F + P V, ().
        harmonic: free energy, entropy, heat capacity, ... in this cell.
        expansion: (d, d) strain per unit of temperature at constant pressure; its trace is alpha.
        bulk_modulus: B_T = -V (dP/dV)_T, ().
        heat_capacity: C_P = T (dS/dT)_P, ().
    """

    state: Configuration
    volume: jax.Array
    gibbs: jax.Array
    harmonic: Harmonic
    expansion: jax.Array
    bulk_modulus: jax.Array
    heat_capacity: jax.Array

    @property
    def thermal_expansion(self) -> jax.Array:
        """alpha = (1/V) (dV/dT)_P, (); three times that of the length of a cubic crystal."""
        return jnp.trace(self.expansion)

    @property
    def grueneisen(self) -> jax.Array:
        """V alpha B_T / C_V, (), of a cell whose shape is kept: the mean of the modes' parameters
        weighted by their heat capacities. NaN where C_V = 0."""
        stiff = self.volume * self.thermal_expansion * self.bulk_modulus
        return stiff / self.harmonic.heat_capacity


def quasi_harmonic(
    potential: Potential,
    params: Any,
    system: System,
    temperature: Any,
    mesh: tuple[int, ...] | None = None,
    masses: Any = None,
    *,
    pressure: Any = 0.0,
    cell: str = "isotropic",
    statistics: str = "quantum",
    units: str | None = None,
    hbar: float | None = None,
    fmax: float = 1e-10,
) -> QuasiHarmonic:
    """A crystal at a temperature and pressure in the quasi-harmonic approximation.

    Good up to about half the melting point. Composes with grad, jvp, jacfwd, jacrev, vmap and jit in
    params, temperature, pressure and masses, by the implicit function theorem: the state has two
    derivatives, expansion, modulus and heat capacity have one, and further ones are NaN.

    Args:
        potential, params, masses, units, hbar, statistics: as for `harmonic`. Expansion sees the
            third derivative of the potential, so a cutoff must be smooth ("force_shift" or "xplor"
            of pair potentials).
        system: the start; the static crystal is relaxed from it first.
        temperature: in K; energy (k = 1) in reduced units. At 0 the quantum crystal has its zero-point
            motion, and the classical one is the static crystal.
        mesh: of wave vectors, as for `harmonic`. For the expansion of a crystal with one or two atoms
            per cell 4 is good to a few percent, 8 to a plot.
        pressure: external; energy per volume.
        cell: "isotropic" (cubic crystals) or "full" (every symmetric strain).
        fmax: largest residual: force component, stress times V^(1/d), and the multiplier's force.

    Raises:
        InputError: as for `harmonic` and `relax`, or cell = "fixed".
        NotConverged: the static crystal does not relax, or no volume is in equilibrium.
        DerivativeUndefined: a phonon is unstable on the way, or the volume found is one of largest
            free energy. Under jit both are NaN.
    """
    require_float64(params, system.positions, system.cell, pressure)
    if cell == "fixed":
        raise InputError('quasi_harmonic: cell = "fixed"; use harmonic, or let the cell change')
    require_temperature(temperature)
    heated = Heated(Problem(potential, system.pbc, cell), statistics_named(statistics))
    pressure = jnp.asarray(pressure, float)
    known, start, target = jax.lax.stop_gradient((params, _arrays(system), pressure))
    system = replace(system, positions=start[0], cell=start[1])
    state = relax(potential, known, system, cell=cell, pressure=target, fmax=fmax)
    medium = medium_of(potential, state, mesh, masses, unit_system(units, system), hbar)
    warmth = Warmth(medium, jnp.asarray(temperature, float))
    first = Root.at(
        Setting(known, state.positions, state.cell, state.held, target, state.neighbors)
    )
    frozen = jax.lax.stop_gradient(warmth)
    listed = _lister(potential, system)
    search = _search_traced if is_traced((first, frozen)) else _search
    root, here = search(heated, first, frozen, listed, fmax)
    root = replace(root, setting=replace(root.setting, params=params, pressure=pressure))
    return _measured(heated, root, warmth, here)


def _arrays(system: System) -> tuple[jax.Array, jax.Array]:
    return jnp.asarray(system.positions), jnp.asarray(system.cell)


def _lister(potential: Potential, system: System) -> Callable[[Root], Root]:
    """A function that makes the neighbour list of a root's configuration anew."""

    def listed(root: Root) -> Root:
        s = root.setting
        here = replace(system, positions=s.positions, cell=s.cell)
        pairs = as_configuration(potential, s.params, here).neighbors
        return replace(root, setting=replace(s, neighbors=pairs))

    return listed


def _search(
    heated: Heated, root: Root, warmth: Warmth, listed: Callable[[Root], Root], fmax: float
) -> tuple[Root, Spot]:
    """Newton's method with concrete numbers, and what L is like where it ended."""
    residual = float("inf")
    for _ in range(_STEPS):
        root = listed(root)
        here = spot(heated, unknowns(heated.problem, root), root, warmth)
        require_stable("quasi_harmonic", warmth.medium, here.lowest)
        residual = float(here.residual)
        if residual <= fmax:
            return root, here
        root = advanced(heated, root, here)
    raise NotConverged(
        f"quasi_harmonic: no volume in equilibrium after {_STEPS} steps (residual "
        f"{residual:.2e}, fmax {fmax:.2e}): above some temperature the crystal expands "
        "without bound in this approximation; lower the temperature, or raise fmax or the pressure"
    )


def _search_traced(
    heated: Heated, root: Root, warmth: Warmth, listed: Callable[[Root], Root], fmax: float
) -> tuple[Root, Spot]:
    """The same under jit or vmap; positions are NaN where it fails."""

    def looked(root: Root) -> tuple[Root, Spot]:
        root = listed(root)
        return root, spot(heated, unknowns(heated.problem, root), root, warmth)

    def unfinished(carry: tuple) -> jax.Array:
        _, residual, steps = carry
        return (residual > fmax) & jnp.isfinite(residual) & (steps < _STEPS)

    def step(carry: tuple) -> tuple:
        root, _, steps = carry
        root, here = looked(root)
        after = advanced(heated, root, here)
        done = here.residual <= fmax
        root = jax.tree.map(lambda a, b: jnp.where(done, a, b), root, after)
        return root, here.residual, steps + 1

    start = (listed(root), jnp.asarray(jnp.finfo(float).max), jnp.asarray(0))
    root, residual, _ = jax.lax.while_loop(unfinished, step, start)
    x = jnp.where(residual <= fmax, root.setting.positions, jnp.nan)
    return looked(replace(root, setting=replace(root.setting, positions=x)))


def _measured(heated: Heated, root: Root, warmth: Warmth, known: Spot) -> QuasiHarmonic:
    y = solution(heated, root, warmth, known.curvature)
    # Again, as a function of y and all that is live.
    r = respond(heated, y, spot(heated, y, root, warmth), root, warmth)
    if not is_traced(r.stable) and not bool(jax.lax.stop_gradient(r.stable)):
        raise DerivativeUndefined(
            "quasi_harmonic: the free energy has no minimum at the cell that was found: it is not "
            "stable there against a strain of its own; lower the temperature, or begin elsewhere"
        )
    s = root.setting
    state = Configuration(r.positions, r.cell, s.neighbors, heated.problem.pbc, fixed=s.fixed)
    return QuasiHarmonic(
        state=state,
        volume=r.volume,
        gibbs=r.harmonic.free_energy + s.pressure * r.volume,
        harmonic=r.harmonic,
        expansion=r.expansion,
        bulk_modulus=r.bulk_modulus,
        heat_capacity=r.heat_capacity,
    )
