"""Cells that have no minimum."""

from __future__ import annotations

import numpy as np
import pytest

import mdsens as ms
from mdsens.errors import NotConverged
from tests.examples import make
from tests.neighbors.cells import FCC


def test_a_cell_that_is_pulled_apart_is_told_at_once():
    crystal = make(np.zeros((1, 3)), 1.55 * FCC, (True,) * 3)
    potential = ms.potentials.LennardJones()
    params = potential.parameters(crystal, epsilon=1.0, sigma=1.0, cutoff=2.5)
    with pytest.raises(NotConverged, match="the cell runs away: after") as caught:
        ms.relax(potential, params, crystal, cell="isotropic", pressure=-30.0)
    assert caught.value.result.report.swelling > 100.0


def test_a_cell_that_collapses_is_told_before_its_list_fills_the_memory():
    crystal = make(np.zeros((1, 3)), FCC, (True,) * 3)
    potential = ms.potentials.SoftSphere()
    params = potential.parameters(crystal, diameter=1.0, epsilon=1.0, alpha=2.0)
    with pytest.raises(NotConverged, match="the cell runs away: after") as caught:
        ms.relax(potential, params, crystal, cell="isotropic", pressure=1e5)
    assert caught.value.result.report.swelling < 0.01


def test_how_far_a_cell_may_go_can_be_said():
    crystal = make(np.zeros((1, 3)), 1.4 * 1.55 * FCC, (True,) * 3)
    potential = ms.potentials.LennardJones()
    params = potential.parameters(crystal, epsilon=1.0, sigma=1.0, cutoff=3.5)
    found = ms.relax(potential, params, crystal, cell="isotropic")
    ratio = float(np.linalg.det(np.asarray(found.cell)) / np.linalg.det(crystal.cell))
    assert 1 / 4 < ratio < 1 / 2
    with pytest.raises(NotConverged, match="the cell runs away"):
        ms.relax(potential, params, crystal, cell="isotropic", swelling=2.0)
