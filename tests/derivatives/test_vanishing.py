"""Derivatives of what is zero: their errors are told on the scale of what it could be."""

from __future__ import annotations

import numpy as np

import mdsens as ms
from mdsens.derivatives import verify
from mdsens.potentials import LennardJones
from tests.examples import make


def test_the_stress_of_a_relaxed_cell_is_judged_by_a_stiffness():
    cell = 1.56 * 0.5 * (1.0 - np.eye(3))
    system = make(np.zeros((1, 3)), cell, (True,) * 3)
    potential = LennardJones(smoothing="force_shift")
    params = potential.parameters(system, epsilon=1.3, sigma=1.0, cutoff=1.9)
    asked = {"observables": ["stress"], "wrt": ["epsilon", "sigma"], "cell": "isotropic"}
    found = ms.sensitivity(potential, params, system, **asked).sensitivity["stress"]
    for derivative in found.values():
        assert np.abs(derivative.value).max() < 1e-9
        assert derivative.derivative_error < 1e-9
    checks = verify(potential, params, system, **asked)
    assert len(checks) == 18 and all(c.agrees for c in checks)
    # Elastic constants are near 90: to a millionth of them nothing is claimed to be known better.
    assert 1e-12 < max(c.expected_error for c in checks) < 1e-4
