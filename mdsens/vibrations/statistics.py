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


class Law(NamedTuple):
    """One oscillator, by functions of (hbar omega)^2 and k T, element by element.

    Attributes:
        free: f, its free energy.
        entropy: -df/d(k T), in units of k.
        heat: -k T d2f/d(k T)2, its heat capacity in units of k.
    """

    free: Function
    entropy: Function
    heat: Function


def _ratio(square: jax.Array, heat: jax.Array) -> jax.Array:
    """hbar omega/k T; at T = 0 some number."""
    return jnp.sqrt(square) / jnp.where(heat > 0.0, heat, 1.0)


def _quantum_free(square: jax.Array, heat: jax.Array) -> jax.Array:
    """hbar omega/2 + k T ln(1 - exp(-hbar omega/k T)); without the second term at T = 0."""
    warmed = heat * jnp.log(-jnp.expm1(-_ratio(square, heat)))
    return 0.5 * jnp.sqrt(square) + jnp.where(heat > 0.0, warmed, 0.0)


def _quantum_entropy(square: jax.Array, heat: jax.Array) -> jax.Array:
    """x/(e^x - 1) - ln(1 - e^-x)."""
    x = _ratio(square, heat)
    rest = -jnp.expm1(-x)
    return jnp.where(heat > 0.0, x * jnp.exp(-x) / rest - jnp.log(rest), 0.0)


def _quantum_heat(square: jax.Array, heat: jax.Array) -> jax.Array:
    """x^2 e^x/(e^x - 1)^2."""
    x = _ratio(square, heat)
    return jnp.where(heat > 0.0, x**2 * jnp.exp(-x) / jnp.expm1(-x) ** 2, 0.0)


def _classical_free(square: jax.Array, heat: jax.Array) -> jax.Array:
    """k T ln(hbar omega/k T); 0 at T = 0."""
    # Apart, so that what depends on omega is linear in T down to T = 0.
    return 0.5 * heat * jnp.log(square) - jax.scipy.special.xlogy(heat, heat)


def _classical_entropy(square: jax.Array, heat: jax.Array) -> jax.Array:
    """1 - ln(hbar omega/k T); minus infinity at T = 0."""
    return 1.0 - 0.5 * jnp.log(square) + jnp.log(heat)


def _classical_heat(square: jax.Array, heat: jax.Array) -> jax.Array:
    """1."""
    return jnp.ones(jnp.broadcast_shapes(jnp.shape(square), jnp.shape(heat)))


STATISTICS = {
    "quantum": Law(_quantum_free, _quantum_entropy, _quantum_heat),
    "classical": Law(_classical_free, _classical_entropy, _classical_heat),
}


def statistics_named(name: str) -> Law:
    """The law of that name.

    Raises:
        InputError: there is none.
    """
    if name not in STATISTICS:
        raise InputError(f"statistics {name!r}; allowed: {', '.join(STATISTICS)}")
    return STATISTICS[name]
