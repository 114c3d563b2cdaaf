"""The dynamical matrix of a crystal at a wave vector, from the local terms of its Hessian.

    D_ia,jb(q) = (m_i m_j)^(-1/2) sum_S d2E/dx_ia(0) dx_jb(S) exp(2 pi i q . R),
    R = (x_j + S h - x_i) h^-1,    q in fractions of the reciprocal lattice vectors

The phase is that of where atoms stand, not of their cells: D does not depend on which images of the
atoms are the ones in the list, and is periodic in q only up to phases exp(2 pi i G . x_i h^-1), which
leave frequencies alone. A term of the Hessian says which images of its particles it binds, so no
supercell is made, whatever the cutoff is against the cell, and there is nothing to converge. Terms
do not change when all their particles move alike, so that the acoustic sum rule holds to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.errors import InputError
from mdsens.masses import standard_masses
from mdsens.observables.configuration import as_configuration
from mdsens.potentials import Blocks, LocalHessian, Potential, Squares
from mdsens.system import System
from mdsens.units import SYSTEMS, THZ

# Matrices made at once.
_BATCH = 16


class Crystal(NamedTuple):
    """What D(q) is a function of, besides q.

    Attributes:
        local: terms of the Hessian.
        fractional: (N, d) x h^-1.
        light: (N,) m^(-1/2); zero, as of an infinite mass, where a particle is fixed.
        cell: (d, d).
        stiffness: () the largest sum of an atom's own force constants over its mass, omega^2: what
            eigenvalues are small against.
    """

    local: LocalHessian
    fractional: jax.Array
    light: jax.Array
    cell: jax.Array
    stiffness: jax.Array


def dynamical_matrix(
    potential: Potential, params: Any, state: Any, q: Any, masses: Any = None
) -> jax.Array:
    """D(q), (..., N d, N d), complex, Hermitian, in energy/(length^2 mass).

    Differentiable in params, q and the state (implicitly through `relax`); for eigenvalues that meet
    see `degenerate_slopes`.

    Args:
        potential: any sum of potentials with local terms.
        state: relaxed (a Minimum), or a System that is taken as it stands.
        q: (..., d) wave vectors in fractions of the reciprocal lattice vectors: (1/2, 0, 0) is half
            of the first. Components along directions that are not periodic do not matter.
        masses: (N,), one number, or a mapping from species; if None the standard atomic weights
            where every species is a chemical symbol, else one.

    Raises:
        InputError: no local terms, or masses or q that do not fit.
    """
    return over(matrix_at, crystal(potential, params, state, masses), q)


def crystal(potential: Potential, params: Any, state: Any, masses: Any) -> Crystal:
    """Everything about the state that D(q) needs."""
    require_local(potential)
    s = as_configuration(potential, params, state)
    light = inverse_roots(masses, s)
    return crystal_at(potential, params, s.positions, s.cell, s.neighbors, light)


def require_local(potential: Potential) -> None:
    if not potential.is_local:
        raise InputError(
            f"phonons: the second derivatives of {potential.kind} are not known term by term; "
            "mdsens.vibrations.modes of a supercell does without"
        )


def over(f: Any, c: Crystal, q: Any) -> Any:
    """f(c, q) of each of the wave vectors (..., d)."""
    q = jnp.asarray(q, float)
    n, d = c.fractional.shape
    if q.ndim == 0 or q.shape[-1] != d:
        raise InputError(f"phonons: wave vectors of shape {q.shape}; the last axis must be {d}")
    found = _mapped(f, c, q.reshape(-1, d))
    return jax.tree.map(lambda x: x.reshape(q.shape[:-1] + x.shape[1:]), found)


def matrix_at(c: Crystal, q: jax.Array) -> jax.Array:
    """D(q) of one wave vector, (N d, N d)."""
    n, d = c.fractional.shape
    total = jnp.zeros((n, d, n, d), complex)
    for term in c.local:
        wave = jnp.exp(2j * jnp.pi * ((c.fractional[term.particles] + term.images) @ q))
        total = total + (
            _blocks(term, wave, n) if isinstance(term, Blocks) else _squares(term, wave, n)
        )
    light = c.light[:, None] * jnp.ones(d)[None]
    return (light[:, :, None, None] * total * light[None, None]).reshape(n * d, n * d)


def frequency_unit(units: str | None, state: Any) -> float:
    """What turns sqrt(energy/mass)/length into the unit of frequencies.

    Raises:
        InputError: unknown units.
    """
    return THZ if unit_system(units, state) == "metal" else 1.0


def unit_system(units: str | None, state: Any) -> str:
    """`units`; if None a System's own, and for other states "metal" where every species is a
    chemical symbol.

    Raises:
        InputError: unknown units.
    """
    if units is None:
        names = state.type_names if isinstance(state, System) else state.neighbors.type_names
        guess = "reduced" if standard_masses(names) is None else "metal"
        units = state.units if isinstance(state, System) else guess
    if units not in SYSTEMS:
        raise InputError(f"phonons: units {units!r}; allowed: {', '.join(SYSTEMS)}")
    return units


def inverse_roots(masses: Any, state: Any) -> jax.Array:
    """(N,) m^(-1/2) of a configuration; zero, as of an infinite mass, where a particle is fixed."""
    m = _masses(masses, state.neighbors.type_names, jnp.asarray(state.neighbors.types))
    return jnp.where(state.held, 0.0, m**-0.5)


def _masses(given: Any, names: tuple[str, ...], types: jax.Array) -> jax.Array:
    """(N,), positive."""
    if given is None:
        standard = standard_masses(names)
        given = jnp.asarray(np.ones(len(names)) if standard is None else standard)[types]
    elif isinstance(given, Mapping):
        missing = [name for name in names if name not in given]
        if missing:
            raise InputError(f"phonons: no mass for {', '.join(missing)}; give one per species")
        given = jnp.stack([jnp.asarray(given[name], float) for name in names])[types]
    if jnp.shape(given) not in ((), types.shape):
        raise InputError(
            f"phonons: masses of shape {jnp.shape(given)}; one number, one per particle "
            f"({len(types)},), or a mapping from species"
        )
    return jnp.broadcast_to(jnp.asarray(given, float), types.shape)


@partial(jax.jit, static_argnums=0)
def crystal_at(
    potential: Potential, params: Any, positions: Any, cell: Any, pairs: Any, light: jax.Array
) -> Crystal:
    """`crystal` of what a configuration is made of; `light` from `inverse_roots`."""
    local = potential.local_hessian(params, positions, cell, pairs)
    assert local is not None  # is_local says so
    fractional = positions @ jnp.linalg.inv(cell)
    own = jnp.sum(jnp.stack([_own(term, light.shape[0]) for term in local]), axis=0)
    stiffness = jax.lax.stop_gradient(jnp.max(own * light**2))
    return Crystal(local, fractional, light, cell, stiffness)


@partial(jax.jit, static_argnums=0)
def _mapped(f: Any, c: Crystal, q: jax.Array) -> Any:
    return jax.lax.map(partial(f, c), q, batch_size=min(_BATCH, max(len(q), 1)))


def _blocks(term: Blocks, wave: jax.Array, n: int) -> jax.Array:
    """(n, d, n, d) sum over terms of conj(wave_a) H_ab wave_b."""
    turned = jnp.conj(wave)[:, :, None, None, None] * term.blocks * wave[:, None, :, None, None]
    d = turned.shape[-1]
    i, j = term.particles[:, :, None], term.particles[:, None, :]
    return jnp.zeros((n, d, n, d), complex).at[i, :, j, :].add(turned)


def _squares(term: Squares, wave: jax.Array, n: int) -> jax.Array:
    """(n, d, n, d) sum over sites of F'' conj(g) g^T, g the sum of a site's rows times waves."""
    d = term.rows.shape[1]
    g = jnp.zeros((n, n, d), complex).at[term.sites, term.particles].add(wave[:, None] * term.rows)
    return jnp.einsum("s,sia,sjb->iajb", term.weights, jnp.conj(g), g)


def _own(term: Blocks | Squares, n: int) -> jax.Array:
    """(n,) absolute values of what a term gives to a particle's own force constants."""
    if isinstance(term, Blocks):
        given = jnp.abs(jnp.einsum("taabb->ta", term.blocks))
    else:
        given = jnp.abs(term.weights[term.sites]) * jnp.sum(term.rows**2, axis=1)
    return jnp.zeros(n).at[term.particles].add(given)
