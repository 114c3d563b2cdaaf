"""The free energy of one oscillator, quantum or classical, and the constants in it."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mdsens.errors import InputError
from mdsens.units import BOLTZMANN, PLANCK, THZ
from mdsens.vibrations.spectral import Function


class Constants(NamedTuple):
    """Boltzmann's and Planck's constants.

    Attributes:
        k: energy per unit of temperature.
        hbar: energy per sqrt(energy/mass)/length.
    """

    k: jax.Array
    hbar: jax.Array


def constants(units: str, hbar: float | None) -> Constants:
    """Of metal units (eV, K, angstrom, u), or k = 1 and `hbar` (1 if None) of reduced ones.

    Raises:
        InputError: hbar with metal units, or one that is not positive.
    """
    if units == "metal":
        if hbar is not None:
            raise InputError("hbar: known in metal units; leave it out, or say units='reduced'")
        # hbar omega = h nu, nu = THZ sqrt(energy/mass)/length.
        return Constants(jnp.asarray(BOLTZMANN), jnp.asarray(PLANCK * THZ))
    if hbar is not None and not hbar > 0.0:
        raise InputError(f"hbar = {hbar}; it must be positive")
    return Constants(jnp.ones(()), jnp.asarray(1.0 if hbar is None else float(hbar)))


def quantum(square: jax.Array, heat: jax.Array) -> jax.Array:
    """hbar omega/2 + k T ln(1 - exp(-hbar omega/k T)) of (hbar omega)^2 and k T."""
    level, warm = jnp.sqrt(square), heat > 0.0
    ratio = level / jnp.where(warm, heat, 1.0)
    return 0.5 * level + jnp.where(warm, heat * jnp.log(-jnp.expm1(-ratio)), 0.0)


def classical(square: jax.Array, heat: jax.Array) -> jax.Array:
    """k T ln(hbar omega/k T) of (hbar omega)^2 and k T; 0 at T = 0."""
    # Apart, so that what depends on omega is linear in T down to T = 0.
    return 0.5 * heat * jnp.log(square) - jax.scipy.special.xlogy(heat, heat)


STATISTICS: dict[str, Function] = {"quantum": quantum, "classical": classical}


def statistics_named(name: str) -> Function:
    """Raises:
    InputError: there is none of that name."""
    if name not in STATISTICS:
        raise InputError(f"statistics {name!r}; allowed: {', '.join(STATISTICS)}")
    return STATISTICS[name]
