"""Whether error bars of predictions are honest: silicon fitted again and again to noisy data."""

from __future__ import annotations

import numpy as np
import pytest

import mdsens as ms
from mdsens.fitting import Free, Labelled, Labels, Wanted, crystal, fit, reading, sampled
from tests.potentials.crystals import SW_SILICON, cubic, disordered

POTENTIAL = ms.potentials.StillingerWeber()
NAMES = ("A", "B", "sigma", "lambda", "gamma")
ENERGY, FORCE = 0.002, 0.05
REPEATS = 30


def held_out() -> tuple[object, np.ndarray]:
    """Properties of the crystal, none of which is in the data, and their true values."""
    system = cubic(5.431)
    names = ("a", "cohesive_energy", "C11", "C44_clamped")
    readings = [(reading(n, system), Wanted(n, 1.0, 1.0)) for n in names]
    target = crystal("diamond", system, readings, cell="isotropic")
    # References: a0, E, C11 and clamped C44 of this potential.
    known = np.array([5.43094978, 4.3365999999, 151.42449 / 160.2176634, 109.75649 / 160.2176634])
    return target, known


@pytest.mark.slow
def test_bars_of_held_out_properties_cover_the_truth():
    truth = POTENTIAL.parameters(cubic(5.431), **SW_SILICON)
    systems = [disordered(cubic(5.431), 0.15, seed) for seed in range(8)]
    exact = []
    for system in systems:
        atoms = ms.to_atoms(system)
        atoms.calc = ms.Calculator(POTENTIAL, truth)
        exact.append((atoms.get_potential_energy(), atoms.get_forces()))
    target, known = held_out()
    pulls, found = [], None
    for seed in range(REPEATS):
        rng = np.random.default_rng(seed)
        labels = [
            Labels(e + 8 * ENERGY * rng.standard_normal(), f + FORCE * rng.standard_normal(f.shape))
            for e, f in exact
        ]
        data = Labelled("data", systems, labels, energy=ENERGY, forces=FORCE)
        found = fit(POTENTIAL, truth, [data], dict.fromkeys(NAMES, Free()))
        values, bars = found.predict(target)
        pulls.append((values - known) / bars)
    pulls = np.array(pulls)
    inside = np.mean(np.abs(pulls) < 1.0, axis=0)
    # Thirty repeats know a share of 68 % to 8.5 %.
    assert np.all((inside > 0.5) & (inside < 0.9)), inside
    assert np.all(np.abs(pulls.mean(axis=0)) < 4.0 / np.sqrt(REPEATS))
    draws = sampled(POTENTIAL, found.posterior, target, 60)
    np.testing.assert_allclose(draws.std(axis=0), bars, rtol=0.35)
