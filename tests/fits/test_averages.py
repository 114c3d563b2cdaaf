"""[[average]]: averages of solid argon at a temperature as targets of a FIT.toml."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

import mdsens as ms
from mdsens import thermal
from mdsens.errors import InputError
from mdsens.fits.job import prepare
from mdsens.fits.run import run
from mdsens.fitting import Free, Wanted, averages, mean_reading, space
from mdsens.io.fits import read_fit
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


CURVE = (
    'curves = [{property = "pair_correlation", file = "gr.dat", sigma = 0.1, units = "angstrom"}]'
)


def with_curve(curve: str = CURVE, rows: str = "3.5 0.5\n3.6 2.0\n3.7 4.0\n") -> Path:
    Path("gr.dat").write_text(rows)
    path = Path("fit.toml")
    path.write_text(f"{HEAD}{curve}\n")
    return path


def test_curves_are_numbers_with_places(solid):
    (target,) = prepare(with_curve()).targets
    assert target.labels[1] == "g(r), r in angstrom at 3.6 of solid"
    np.testing.assert_array_equal(target.wanted, [0.5, 2.0, 4.0])
    assert prepare(with_curve()).identity != prepare(with_curve(rows="3.5 0.5\n3.6 2.1\n")).identity
    nano = CURVE.replace('"angstrom"', '"nm"')
    (same,) = prepare(with_curve(nano, "0.35 0.5\n0.36 2.0\n0.37 4.0\n")).targets
    params = prepare(with_curve()).params
    np.testing.assert_allclose(
        same.observable(None, params, solid), target.observable(None, params, solid), rtol=1e-10
    )
    waves = CURVE.replace("pair_correlation", "structure_factor").replace("angst", "1/angst")
    (target,) = prepare(with_curve(waves, "2.0 1.0\n2.1 1.2\n")).targets
    assert target.labels[0] == "S(k), k in 1/angstrom at 2 of solid"


@pytest.mark.parametrize(
    "old, new, rows, sentence",
    [
        ('"pair_correlation"', '"rdf"', "3 1\n4 1\n", "average.0.curves.0.property"),
        (
            '"angstrom"',
            '"1/nm"',
            "3 1\n4 1\n",
            "average.0.curves.0.units: .* is no unit of a length",
        ),
        (', units = "angstrom"', "", "3 1\n4 1\n", "average.0.curves.0.units: missing"),
        ("sigma = 0.1, ", "", "3 1\n4 1\n", "average.0.curves.0.sigma: missing"),
        ("sigma = 0.1", "sigma = 0.1", "3 1 1\n4 1 1\n", "leave one of the two out"),
        ("sigma", "pair = ['Ar', 'Kr'], sigma", "3 1\n4 1\n", "no particle is Kr"),
        ("sigma", "pair = ['Ar'], sigma", "3 1\n4 1\n", "average.0.curves.0.pair"),
        (
            "sigma",
            "width = 0.5, sigma",
            "3 1\n4.5 1\n",
            "eight widths reach 8.5, half the smallest",
        ),
        ("gr.dat", "rg.dat", "3 1\n4 1\n", "rg.dat: no columns of numbers"),
    ],
)
def test_bad_curves(solid, old, new, rows, sentence):
    assert old in CURVE
    with pytest.raises(InputError, match=sentence):
        prepare(with_curve(CURVE.replace(old, new, 1), rows))


@pytest.mark.slow
def test_a_fit_to_a_histogram_of_distances(solid, mdsens):
    """Parameters found again from counted distances of another simulation, and its pressure."""
    job = prepare(with_curve())
    params = job.potential.parameters(solid, **TRUE)
    ensemble = ensemble_of(job.spec.tables.average[0].ensemble.model_copy(update={"seed": 5}))
    trajectory = thermal.simulate(job.potential, params, solid, ensemble)
    edges = np.linspace(3.0, 7.0, 41)
    g = histogram(np.asarray(trajectory.positions), np.asarray(solid.cell), edges)
    told = thermal.thermal_sensitivity(job.potential, trajectory, observables=["pressure"])
    pressure = float(told.observables["pressure"].value) / UNITS["modulus"]["MPa"]
    rows = "\n".join(
        f"{r:.3f} {v:.6f}" for r, v in zip((edges[1:] + edges[:-1]) / 2, g, strict=True)
    )
    path = with_curve(f"{written({'pressure': pressure}).read_text()[len(HEAD) :]}{CURVE}", rows)
    code, out, _ = mdsens("fit", str(path), "-o", "fit.h5")
    assert code == 0 and "g(r), r in angstrom" in out
    record = read_fit(Path("fit.h5"))
    found, bars = record.free["value"], record.free["sigma"]
    assert np.all(np.abs(found - [0.0104, 3.4]) < 3.0 * bars)
    np.testing.assert_allclose(found, [0.0104, 3.4], rtol=0.02)
    (target,) = record.targets
    (mine,) = target.curves.values()
    assert len(mine) == 40 and target.single == [0]
    # Counted and smooth bins agree within noise: peaks are six high.
    assert np.sqrt(np.mean((target.value - target.wanted)[mine] ** 2)) < 0.02
    told = json.loads(mdsens("show", "--json", "fit.h5")[1])["targets"]["solid"]
    assert set(told) == {"pressure", "g(r), r in angstrom"}
    assert mdsens("plot", "fit.h5", "-o", "fit.png")[0] == 0


def histogram(positions: np.ndarray, cell: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """g(r) by counting, frames (..., N, 3) in a cube."""
    frames = positions.reshape(-1, *positions.shape[-2:])
    n, side = frames.shape[1], cell[0, 0]
    pairs, counts = np.triu_indices(n, 1), np.zeros(len(edges) - 1)
    for x in frames:
        apart = x[pairs[0]] - x[pairs[1]]
        apart -= side * np.round(apart / side)
        counts += np.histogram(np.linalg.norm(apart, axis=1), edges)[0]
    middle, step = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    return 2.0 * counts / len(frames) * side**3 / n**2 / (4.0 * np.pi * middle**2 * step)
