"""Stillinger-Weber silicon fitted to energies and forces from first principles (mlearn, PBE)."""

from __future__ import annotations

import numpy as np
import pytest

import mdsens as ms
from mdsens.fitting import ENERGY_SHIFT, Free, Labelled, fit
from mdsens.io.labelled import read_labelled
from mdsens.parameters import Table

# doi:10.1103/PhysRevB.31.5262
PUBLISHED = {
    "epsilon": 2.1683, "sigma": 2.0951, "a": 1.8, "lambda": 21.0, "gamma": 1.2, "costheta0": -1 / 3,
    "A": 7.049556277, "B": 0.6022245584, "p": 4.0, "q": 0.0,
}  # fmt: skip


def errors(target, potential, space, u):
    """rms of energies per atom about their mean error, and of force components."""
    off = target.values(potential, space, u) - target.wanted
    energies, forces = off[target.kinds == 0], off[target.kinds == 1]
    return np.std(energies), np.sqrt(np.mean(forces**2))


@pytest.mark.slow
def test_a_short_fit_is_better_on_structures_it_has_not_seen(shared_data):
    """Measured: energies from 0.35 to 0.05 eV per atom, forces from 1.75 to 0.32 eV/angstrom."""
    training, test = (
        Labelled(name, systems[::every], labels[::every], energy=0.01, forces=0.2)
        for name, every in (("training", 20), ("test", 3))
        for systems, labels in [read_labelled(shared_data(f"mlearn/Si/{name}.json"))]
    )
    potential = ms.potentials.StillingerWeber()
    params = potential.parameters(training.systems[0], **PUBLISHED)
    params[ENERGY_SHIFT] = Table(np.array([-1.3]), ("Si",))
    free = {name: Free(transform="log") for name in ("A", "B", "sigma", "lambda", "gamma")}
    found = fit(potential, params, [training], {**free, ENERGY_SHIFT: Free()}, max_iterations=8)
    before = errors(test, potential, found.space, found.first.u)
    after = errors(test, potential, found.space, found.best.u)
    assert after[0] < 0.5 * before[0]
    assert after[1] < 0.5 * before[1]
