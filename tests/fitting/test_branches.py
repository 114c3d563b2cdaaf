"""A piecewise potential that starts on another branch than it ends on."""

from __future__ import annotations

import numpy as np

import mdsens as ms
from mdsens.fitting import Free, Labelled, Labels, fit
from tests.examples import make
from tests.potentials.crystals import FCC


def test_copper_from_another_branch_of_its_embedding_energy():
    """With r_e a tenth off, all densities are above rho_0, where F_2 has no effect."""
    potential = ms.potentials.EAMZhou()
    rng = np.random.default_rng(0)
    positions = 3.615 * FCC + 0.1 * rng.uniform(-1, 1, (4, 3))
    system = make(positions, 3.615 * np.eye(3), (True,) * 3, ["Cu"] * 4, units="metal")
    true = potential.parameters(system)
    atoms = ms.to_atoms(system)
    atoms.calc = ms.Calculator(potential, true)
    data = Labelled("data", [system], [Labels(atoms.get_potential_energy(), atoms.get_forces())])
    free = dict.fromkeys(("r_e", "F_2", "A"), Free())
    found = fit(potential, {**true, "r_e": 1.1 * true["r_e"]}, [data], free, tolerance=1e-14)
    assert not found.first.jacobian[:, found.space.labels.index("F_2[Cu]")].any()
    for name in free:
        np.testing.assert_allclose(found.params[name].values, true[name].values, rtol=1e-7)
