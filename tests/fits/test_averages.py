"""[[average]]: averages of solid argon at a temperature as targets of a FIT.toml."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

import mdsens as ms
from mdsens.errors import InputError
from mdsens.fits.job import prepare
from mdsens.fits.run import run
from mdsens.fitting import Free, Wanted, averages, mean_reading, space
from mdsens.sampling import ensemble_of
from mdsens.units import UNITS

TRUE = {"epsilon": 0.0104, "sigma": 3.4, "cutoff": 6.0}
NAMES = {"energy_per_atom": ("energy", "meV", 0.2), "pressure": ("modulus", "MPa", 5.0)}
HEAD = """
[potential]
kind = "lennard_jones"
[potential.parameters]
epsilon = 0.0107
sigma = 3.39
cutoff = 6.0
[free]
epsilon = true
sigma = true
[fit]
tolerance = 1e-4
[[average]]
structure = "solid.extxyz"
ensemble = {kind = "nvt", temperature = 40.0, time_step = 4.0, steps = 6000, equilibration = 1500, \
stride = 20, walkers = 2, relaxation = 200.0}
"""


@pytest.fixture
def solid(tmp_path, monkeypatch) -> ms.System:
    monkeypatch.chdir(tmp_path)
    write("solid.extxyz", bulk("Ar", "fcc", 5.35, cubic=True) * (3, 3, 3))
    return ms.read("solid.extxyz")


def written(values: dict[str, float]) -> Path:
    rows = ", ".join(
        f'{{property = "{name}", value = {value!r}, sigma = {NAMES[name][2]}, units = "{NAMES[name][1]}"}}'
        for name, value in values.items()
    )
    path = Path("fit.toml")
    path.write_text(f"{HEAD}want = [{rows}]\n")
    return path


@pytest.mark.slow
def test_a_fit_to_averages_from_file_to_file(solid):
    """Found again from what another simulation says of the true parameters."""
    job = prepare(written(dict.fromkeys(NAMES, 0.0)))
    ensemble = ensemble_of(
        job.spec.tables.average[0].ensemble.model_copy(update={"seed": 5, "steps": 12_000})
    )
    wanted = [
        (mean_reading(n, solid), Wanted(n, 0.0, sigma, units, UNITS[kind][units]))
        for n, (kind, units, sigma) in NAMES.items()
    ]
    target = averages("true", solid, ensemble, wanted)
    params = job.potential.parameters(solid, **TRUE)
    true = target.values(job.potential, space(params, {"epsilon": Free()}), np.zeros(1))
    record = run(prepare(written(dict(zip(NAMES, map(float, true), strict=True)))), Path("fit.h5"))
    found, bars = record.free["value"], record.free["sigma"]
    assert np.all(np.abs(found - [0.0104, 3.4]) < 3.0 * bars)
    np.testing.assert_allclose(found[0], 0.0104, rtol=0.01)
    np.testing.assert_allclose(found[1], 3.4, rtol=0.001)
    (told,) = record.targets
    assert told.name == "solid" and told.units == ("meV", "MPa")


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ('"nvt"', '"nve"', "averages at constant energy cannot be fitted"),
        ('"nvt"', '"nvp"', "average.0.ensemble.kind"),
        ("steps = 6000", "steps = 6", "average.0.ensemble.stride: 20 is more than the 6 steps"),
        ("temperature = 40.0, ", "", "temperature"),
        ('"pressure"', '"C11"', "no average at a temperature; allowed: energy_per_atom"),
        (', units = "MPa"', "", "average.0.want.1.units: missing"),
    ],
)
def test_bad_tables(solid, old, new, sentence):
    path = written(dict.fromkeys(NAMES, 0.0))
    text = path.read_text().replace(old, new, 1)
    assert text != path.read_text()
    path.write_text(text)
    with pytest.raises(InputError, match=sentence):
        prepare(path)
