"""Elastic constants at zero temperature: particles relaxed or clamped, stressed or not.

    c_ijkl = (1/V) d2E/de_ij de_kl             (e: symmetric linear strain from the present state)
    C_ijkl = d(stress_ij)/d(e_kl)              (Birch's coefficients, from c and the stress)

Without stress both are the same. Under stress they differ by terms of the size of the stress, and C
is what a strained and relaxed simulation measures: C_iikk/d^2 is exactly -V dp/dV. Under a stress
that is not hydrostatic C is not symmetric in ij and kl. The strain acts on positions and cell alike;
relaxed, particles then find their minimum again with all strains held. Fixed particles follow the
strain. Rattlers are left out.

Derivatives hold between contact changes; for harmonic discs the moduli themselves jump there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.equilibrium.problem import Problem, Setting
from mdsens.observables import voigt
from mdsens.observables.basic import stress
from mdsens.observables.configuration import as_configuration, require_periodic
from mdsens.observables.nonaffine import Response, clamped_curvature, curvature, displacements
from mdsens.observables.response import respond, watched
from mdsens.potentials import Potential
from mdsens.state import Configuration

Observable = Callable[..., jax.Array]


def elastic_tensor(potential: Potential, params: Any, state: Any) -> jax.Array:
    """Stress-strain (Birch) coefficients d(stress_a)/d(strain_b), particles relaxed, (v, v).

    Voigt order xx, yy, zz, yz, xz, xy (2D: xx, yy, xy), v = d(d + 1)/2; rows are stresses, columns
    engineering strains. Energy per volume (area in 2D). Total derivatives through `relax` need no
    derivative of the nonaffine displacements (see `mdsens.observables.nonaffine`).

    Args:
        state: relaxed. A System is taken as it stands, and must be in equilibrium.

    Raises:
        InputError: the cell is not periodic in every direction, or the state is not relaxed.
        DerivativeUndefined: the state is no stable minimum. Under jit both are NaN.
    """
    return _relaxed(elastic_tensor, potential, params, state)


def elastic_tensor_energy(potential: Potential, params: Any, state: Any) -> jax.Array:
    """Second derivatives of the relaxed energy by linear strain, over V, (v, v), symmetric.

    The moduli of the literature on jammed packings, in which the energy per volume changes by
    stress_ij e_ij + c_ijkl e_ij e_kl / 2. Otherwise as `elastic_tensor`, which differs from it
    under stress.
    """
    return _relaxed(elastic_tensor_energy, potential, params, state)


def elastic_tensor_clamped(potential: Potential, params: Any, state: Any) -> jax.Array:
    """`elastic_tensor` with particles that follow the strain instead of relaxing, (v, v).

    Raises:
        InputError: the cell is not periodic in every direction.
    """
    problem, setting = _strainable("elastic_tensor_clamped", potential, params, state)
    return _clamped(problem, setting)


def bulk_modulus(potential: Potential, params: Any, state: Any) -> jax.Array:
    """B = -V dp/dV = C_iikk/d^2 at fixed shape of the cell, particles relaxed, ().

    The Voigt average, exact for any symmetry. Arguments and errors as for `elastic_tensor`.
    """
    return _relaxed(bulk_modulus, potential, params, state)


def shear_modulus(potential: Potential, params: Any, state: Any) -> jax.Array:
    """G = (C_ijij - C_iijj/d) / ((d - 1)(d + 2)), particles relaxed, ().

    The stiffness against shear, averaged over all directions (Voigt average); the same however the
    axes are turned. In 2D G = (C_xxxx + C_yyyy - C_xxyy - C_yyxx + 4 C_xyxy)/8. Under a pressure p
    it is p/2 less than the same average of `elastic_tensor_energy`. Arguments and errors as for
    `elastic_tensor`.
    """
    return _relaxed(shear_modulus, potential, params, state)


def poisson_ratio(potential: Potential, params: Any, state: Any) -> jax.Array:
    """nu = (d B - 2 G) / (d (d - 1) B + 2 G), particles relaxed, ().

    How much a stretched sample thins, averaged over directions: with B and G of `bulk_modulus` and
    `shear_modulus` it is that of the isotropic material with these moduli, between -1 (B = 0) and
    1/(d - 1) (G = 0). In 2D nu = (B - G)/(B + G). Negative (auxetic) where the sample widens.
    Arguments and errors as for `elastic_tensor`.
    """
    return _relaxed(poisson_ratio, potential, params, state)


def nonaffine_displacements(potential: Potential, params: Any, state: Any) -> jax.Array:
    """Displacements that restore equilibrium after a unit of each strain, (v, N, d).

    u_a = -(P H P)^+ d2E/dx de_a, a length per strain, on top of the affine displacement, with zero
    mean. Differentiable. Errors as for `elastic_tensor`.
    """
    problem, setting = _strainable("nonaffine_displacements", potential, params, state)
    response = respond(problem, setting, voigt.unit_strains(problem.dimension))
    u = watched(response, displacements(problem, response))
    return u.T.reshape(-1, *setting.positions.shape)


class _Recipe(NamedTuple):
    """What an observable takes.

    Attributes:
        strains: d -> (s, d, d), as few as will do: each costs a solve.
        formula: from c, the curvature of the energy per volume along them (s, s), and the stress
            (d, d).
    """

    strains: Callable[[int], np.ndarray]
    formula: Callable[[jax.Array, jax.Array], jax.Array]


@jax.jit
def _bulk(c: jax.Array, s: jax.Array) -> jax.Array:
    return c[0, 0] / len(s) ** 2 + voigt.bulk(_of_stress(s))


@jax.jit
def _shear(c: jax.Array, s: jax.Array) -> jax.Array:
    d = len(s)
    return jnp.trace(c) / ((d - 1) * (d + 2)) + voigt.shear(_of_stress(s))


@jax.jit
def _poisson(c: jax.Array, s: jax.Array) -> jax.Array:
    return voigt.poisson(voigt.stress_strain(c, s))


def _of_stress(s: jax.Array) -> jax.Array:
    """What the stress alone adds to Birch's coefficients, (v, v)."""
    return voigt.stress_strain(jnp.zeros(()), s)


_RECIPES: dict[Observable, _Recipe] = {
    elastic_tensor: _Recipe(voigt.unit_strains, jax.jit(voigt.stress_strain)),
    elastic_tensor_energy: _Recipe(voigt.unit_strains, lambda c, s: c),
    bulk_modulus: _Recipe(voigt.isotropic_strain, _bulk),
    shear_modulus: _Recipe(voigt.deviatoric_strains, _shear),
    poisson_ratio: _Recipe(voigt.unit_strains, _poisson),
}


def _relaxed(observable: Observable, potential: Potential, params: Any, state: Any) -> jax.Array:
    problem, setting = _strainable(observable.__name__, potential, params, state)
    response = respond(problem, setting, strains_of(observable, problem.dimension))
    return watched(response, _RECIPES[observable].formula(*_evaluated(problem, response)))


def _with_displacements(
    observable: Observable, displacements: Any, potential: Potential, params: Any, state: Any
) -> jax.Array:
    problem, setting = _strainable(observable.__name__, potential, params, state)
    known = Response(setting, strains_of(observable, problem.dimension), displacements, None)
    return _RECIPES[observable].formula(*_evaluated(problem, known))


def strains_of(observable: Observable, d: int) -> np.ndarray:
    """The strains (s, d, d) whose nonaffine displacements an observable with them needs."""
    return _RECIPES[observable].strains(d)


# The same observables with nonaffine displacements (N d, s) that somebody else has solved for, as
# their first argument, at states without the contacts of rattlers. First derivatives are exact with
# constant displacements; second ones are NaN.
WITH_DISPLACEMENTS: dict[Observable, Observable] = {
    observable: partial(_with_displacements, observable) for observable in _RECIPES
}


@partial(jax.jit, static_argnames="problem")
def _evaluated(problem: Problem, response: Response) -> tuple[jax.Array, jax.Array]:
    return _per_volume(problem, response.setting, curvature(problem, response))


@partial(jax.jit, static_argnames="problem")
def _clamped(problem: Problem, setting: Setting) -> jax.Array:
    energy = clamped_curvature(problem, setting, voigt.unit_strains(problem.dimension))
    return voigt.stress_strain(*_per_volume(problem, setting, energy))


def _strainable(
    name: str, potential: Potential, params: Any, state: Any
) -> tuple[Problem, Setting]:
    s = as_configuration(potential, params, state)
    require_periodic(s, name)
    # Without pressure: the curvature is that of the energy alone.
    setting = Setting(params, s.positions, s.cell, s.held, jnp.zeros(()), s.neighbors)
    return Problem(potential, s.pbc), setting


def _per_volume(problem: Problem, s: Setting, energy: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(c, stress): the curvature of the energy per volume (s, s), and the stress (d, d)."""
    state = Configuration(s.positions, s.cell, s.neighbors, problem.pbc)
    density = energy / jnp.abs(jnp.linalg.det(s.cell))
    return density, stress(problem.potential, s.params, state)
