"""Frequencies, eigenvectors and group velocities of phonons.

Units: `metal` (eV, angstrom, u) gives frequencies nu in THz and velocities in angstrom THz (100 m/s);
`reduced` gives angular frequencies omega in sqrt(energy/mass)/length and velocities in
sqrt(energy/mass). Frequencies are signed: -sqrt(-omega^2) of an unstable mode.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.potentials import Potential
from mdsens.vibrations.bloch import Crystal, crystal, frequency_unit, matrix_at, over
from mdsens.vibrations.degenerate import eigenvalues

# An omega^2 below this fraction of the stiffness is rounding.
NOTHING = 1e-12


class PhononModes(NamedTuple):
    """Phonons at some wave vectors, lowest first.

    Attributes:
        frequencies: (..., N d), signed.
        vectors: (..., N d, N, d) complex unit eigenvectors e_m of D(q): atom i in cell S moves along
            Re e_mi m_i^(-1/2) exp(2 pi i q . (x_i + S h) h^-1 - i omega t).
    """

    frequencies: np.ndarray
    vectors: np.ndarray


def phonon_frequencies(
    potential: Potential,
    params: Any,
    state: Any,
    q: Any,
    masses: Any = None,
    *,
    units: str | None = None,
) -> jax.Array:
    """Frequencies at wave vectors q, (..., N d), ascending: THz, or omega in reduced units.

    Signed: -sqrt(-omega^2) of an unstable mode.
    Those below 1e-6 of the stiffest motion's, as of the translations at q = 0, are rounding: they
    are zero and have derivative zero. Differentiable as `squared_frequencies` is.

    Args:
        potential, params, state, q, masses: as for `dynamical_matrix`.
        units: "metal" or "reduced"; if None a System's own, and for other states "metal" where every
            species is a chemical symbol.

    Raises:
        InputError: as for `dynamical_matrix`.
    """
    unit = frequency_unit(units, state)
    return unit * over(_frequencies, crystal(potential, params, state, masses), q)


def squared_frequencies(
    potential: Potential,
    params: Any,
    state: Any,
    q: Any,
    masses: Any = None,
    *,
    units: str | None = None,
) -> jax.Array:
    """The eigenvalues of D(q), (..., N d), ascending, in units of squared frequencies.

    Differentiable in params, masses, q and the state; q stays fixed in fractions of the reciprocal
    lattice while the cell relaxes. Members of a degenerate set each have the mean of the set's
    derivatives (see `mdsens.vibrations.degenerate`): sums over the set are right, and so is each
    one where symmetry keeps them together; where they split along a direction, `degenerate_slopes`
    says how. Arguments and errors as for `phonon_frequencies`.
    """
    unit = frequency_unit(units, state)
    return unit**2 * over(_eigenvalues, crystal(potential, params, state, masses), q)


def phonon_modes(
    potential: Potential,
    params: Any,
    state: Any,
    q: Any,
    masses: Any = None,
    *,
    units: str | None = None,
) -> PhononModes:
    """Frequencies and eigenvectors at wave vectors q, as NumPy arrays without derivatives.

    Arguments and errors as for `phonon_frequencies`.
    """
    unit = frequency_unit(units, state)
    c = crystal(potential, params, state, masses)
    values, vectors = over(_modes, c, q)
    n, d = c.fractional.shape
    vectors = np.moveaxis(np.asarray(vectors), -1, -2)
    return PhononModes(unit * np.asarray(values), vectors.reshape(*vectors.shape[:-1], n, d))


def group_velocities(
    potential: Potential,
    params: Any,
    state: Any,
    q: Any,
    masses: Any = None,
    *,
    units: str | None = None,
) -> jax.Array:
    """d(omega)/dk of every phonon, (..., N d, d), Cartesian: angstrom THz (100 m/s), or reduced.

    From d(omega^2)/dk = e^H (dD/dk) e; a degenerate set has the mean velocity of its members, and
    modes of frequency zero have velocity zero. The speed of sound is the limit for small q,
    off by about 5 q^2.

    Arguments and errors as for `phonon_frequencies`.
    """
    unit = frequency_unit(units, state)
    speeds = over(_velocities, crystal(potential, params, state, masses), q)
    # Frequencies in THz count cycles, k counts radians.
    return speeds * (unit if unit == 1.0 else 2.0 * jnp.pi * unit)


def _eigenvalues(c: Crystal, q: jax.Array) -> jax.Array:
    return eigenvalues(matrix_at(c, q), c.stiffness)


def _frequencies(c: Crystal, q: jax.Array) -> jax.Array:
    return _signed_root(_eigenvalues(c, q), c.stiffness)


def _modes(c: Crystal, q: jax.Array) -> tuple[jax.Array, jax.Array]:
    values, vectors = jnp.linalg.eigh(matrix_at(c, q))
    return _signed_root(values, c.stiffness), vectors


def _velocities(c: Crystal, q: jax.Array) -> jax.Array:
    """(N d, d) d(omega)/dk, k = 2 pi q h^-T."""
    slopes = jax.jacfwd(_frequencies, argnums=1)(c, q)
    return slopes @ c.cell / (2.0 * jnp.pi)


def _signed_root(squares: jax.Array, stiffness: jax.Array) -> jax.Array:
    moving = jnp.abs(squares) > NOTHING * stiffness
    root = jnp.sqrt(jnp.where(moving, jnp.abs(squares), 1.0))
    return jnp.where(moving, jnp.sign(squares) * root, 0.0)
