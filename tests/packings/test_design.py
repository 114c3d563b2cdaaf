"""Parameters that give a packing a wanted response."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens.packings import design, random_spheres
from tests.examples import settled

POTENTIAL = ms.potentials.SoftSphere()


@pytest.fixture(scope="module")
def start():
    system = settled(random_spheres(np.where(np.arange(24) % 2, 1.4, 1.0), 2, 1.0, 7))
    return POTENTIAL.parameters(system, diameter="diameter"), system


def shear_stress(potential, params, state):
    """Squared distance from the wanted stress, on its own scale."""
    sigma = ms.stress(potential, params, state)
    return 1e4 * ((sigma[0, 0] - sigma[1, 1] - 0.01) ** 2 + 4.0 * sigma[0, 1] ** 2)


@pytest.fixture(scope="module")
def designed(start):
    params, system = start
    return design(
        POTENTIAL, params, system, shear_stress, bounds={"diameter": (0.8, 1.6)}, steps=30
    )


@pytest.mark.slow
def test_the_wanted_stress_is_met(designed):
    state = ms.relax(POTENTIAL, designed.params, designed.system)
    sigma = np.asarray(ms.stress(POTENTIAL, designed.params, state))
    assert sigma[0, 0] - sigma[1, 1] == pytest.approx(0.01, abs=1e-6)
    assert sigma[0, 1] == pytest.approx(0.0, abs=1e-6)
    assert designed.value == min(designed.history)
    assert designed.value < 1e-6 * designed.history[0]


def test_bounds_are_kept(start):
    params, system = start
    tight = design(
        POTENTIAL, params, system, shear_stress, bounds={"diameter": (0.99, 1.41)}, steps=5
    )
    sizes = np.asarray(tight.params["diameter"])
    assert sizes.min() >= 0.99
    assert sizes.max() <= 1.41
    assert tight.value < tight.history[0]


def test_refuses(start):
    params, system = start

    def vector(potential, params, state):
        return jnp.zeros(2)

    with pytest.raises(ms.InputError, match="scalar"):
        design(POTENTIAL, params, system, vector)
    with pytest.raises(ms.InputError, match="outside its bounds"):
        design(POTENTIAL, params, system, shear_stress, bounds={"diameter": (1.2, 1.6)})
    with pytest.raises(ms.InputError, match="not varied"):
        design(POTENTIAL, params, system, shear_stress, bounds={"epsilon": (0.5, 1.6)})
