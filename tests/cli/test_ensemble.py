"""[ensemble] in a RUN.toml: what is written, what is refused, and what a killed run leaves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from mdsens.io.results import read_result, write_result
from tests.io.handmade import RUN_TOML, write_inputs

ENSEMBLE = """
[ensemble]
kind = "nvt"
temperature = 1e-3
time_step = 0.05
equilibration = 1000
steps = 20000
stride = 50
"""
PERIODIC = 'pbc="T T F"'


@pytest.fixture
def ensemble_toml(tmp_path) -> Path:
    return write_inputs(tmp_path, RUN_TOML + ENSEMBLE)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("ensemble.temperature=0.0", "ensemble.temperature: 0.0 is out of range; must be > 0"),
        ("ensemble.kind=canonical", "allowed: nve, nvt, npt"),
        ("ensemble.kind=npt", "ensemble.pressure: missing"),
        ("ensemble.pressure=0.1", "ensemble.pressure: has no effect in nvt"),
        ("ensemble.kind=nve", "constant energy have no derivatives"),
        ("ensemble.thermostat=berendsen", "allowed: langevin, csvr, nose_hoover"),
        ("ensemble.steps=10", "leaves no sample"),
        ("ensemble.timestep=1.0", "did you mean time_step?"),
        ("relax.fmax=1e-8", "leave out [relax] or [ensemble]"),
        ("sensitivity.positions=true", "sensitivity.positions: has no meaning in an ensemble"),
        ('sensitivity.observables=["coordination"]', "allowed: energy, pressure"),
        ('sensitivity.observables=["compressibility"]', "measured in npt only"),
    ],
)
def test_refused(change, sentence, ensemble_toml, refused):
    for command in ("check", "run"):
        assert sentence in refused(2, command, ensemble_toml, "--set", change)


@pytest.mark.parametrize(
    ("pbc", "row", "change", "sentence"),
    [
        (PERIODIC, "1.0 F", "ensemble.kind=nvt", "all particles are fixed"),
        (PERIODIC, "-1.0 T", "ensemble.kind=nvt", "column mass: not one positive number"),
        ('pbc="F F F"', "1.0 T", "ensemble.thermostat=csvr", "keeps the angular momentum"),
    ],
)
def test_what_a_system_does_not_suit(pbc, row, change, sentence, ensemble_toml, refused):
    rows = [f"X {k % 4} {k // 4} 0.0 A 1.1 {row}" for k in range(16)]
    cell = 'Lattice="4 0 0 0 4 0 0 0 1" Properties=species:S:1:pos:R:3:type:S:1:diameter:R:1'
    head = f"{cell}:mass:R:1:move_mask:L:1 {pbc}"
    Path("discs.extxyz").write_text("\n".join(["16", head, *rows, ""]))
    nothing = 'sensitivity.observables=["energy"]'
    for command in ("check", "run"):
        told = refused(2, command, ensemble_toml, "--set", change, "--set", nothing)
        assert sentence in told


def test_one_particle_and_small_cells(ensemble_toml, refused):
    npt = ("--set", "ensemble.kind=npt", "--set", "ensemble.pressure=0.1")
    wide = ("--set", "potential.parameters.diameter=2.5")
    for command in ("check", "run"):
        assert "two cutoffs of 2.5, which npt" in refused(2, command, ensemble_toml, *npt, *wide)
    one = 'Lattice="4 0 0 0 4 0 0 0 1" Properties=species:S:1:pos:R:3:type:S:1:diameter:R:1 pbc="T T F"'
    Path("discs.extxyz").write_text(f"1\n{one}\nX 0.0 0.0 0.0 A 1.1\n")
    for command in ("check", "run"):
        told = refused(2, command, ensemble_toml, "--set", "ensemble.thermostat=csvr")
        assert "one particle alone" in told


def test_not_verified(ensemble_toml, refused):
    assert "verify relaxes again" in refused(2, "verify", ensemble_toml)


def test_check_says_it_is_fine(ensemble_toml, mdsens):
    told = mdsens("check", ensemble_toml)
    assert told.code == 0
    assert told.out.endswith("is fine\n")


def test_too_few_samples_leave_state_and_certificate(ensemble_toml, mdsens, refused):
    few = ("--set", "ensemble.steps=200", "--set", "ensemble.equilibration=0")
    told = refused(3, "run", ensemble_toml, *few)
    assert "independent samples (limit 20)" in told
    assert told.endswith("; state and certificate are in run.h5")
    result = read_result("run.h5")
    assert not result.observables and not result.sensitivity
    assert result.parameters["epsilon"] == 1.0
    c = result.certificate
    assert not c.converged and c.samples == 4 - c.discarded and c.outcome in told
    with h5py.File("run.trajectory/000000.h5") as chunk:
        np.testing.assert_array_equal(result.positions, chunk["samples/positions"][0, 3])
    shown = mdsens("show", "run.h5")
    assert shown.code == 0 and "nothing is averaged" in shown.out
    assert mdsens("report", "run.h5").code == 0
    assert mdsens("export", "run.h5", "--to", "h5md").code == 0


def test_no_samples_at_all(ensemble_toml, mdsens, refused):
    wild = ("--set", "ensemble.time_step=200.0", "--set", "ensemble.temperature=10.0")
    assert "lower time_step" in refused(3, "run", ensemble_toml, *wild)
    certificate = read_result("run.h5").certificate
    assert not certificate.converged and certificate.samples == 0
    shown = mdsens("show", "run.h5")
    assert shown.code == 0 and "temperature" not in shown.out
    assert "holds no samples" in refused(2, "export", "run.h5", "--to", "h5md")


def test_a_file_in_the_place_of_the_trajectory(ensemble_toml, refused):
    Path("run.trajectory").touch()
    wild = ("--set", "ensemble.time_step=200.0")  # would fail otherwise, if it were begun
    assert "run.trajectory: trajectory: is no folder" in refused(5, "run", ensemble_toml, *wild)


@pytest.mark.slow
def test_run(ensemble_toml, mdsens, refused, tmp_path):
    told = mdsens("run", ensemble_toml)
    assert told.code == 0, told.err
    assert "independent samples behind each number" in told.out
    result = read_result("run.h5")
    assert result.certificate.converged
    assert abs(result.certificate.temperature - 1.0) < 5.0 * result.certificate.temperature_error
    with h5py.File("run.h5") as file:
        assert file["observables/energy"].attrs["error"] > 0.0
        slope = file["sensitivity/pressure/diameter"]
        assert slope.shape == slope.attrs["error"].shape == (16,)
        assert slope.attrs["units"] == "reduced"
        assert file["certificate"].attrs["effective_samples"] > 20.0
    again = write_result(result, tmp_path / "again.h5")
    np.testing.assert_array_equal(
        read_result(again).sensitivity["pressure"]["diameter"].error,
        result.sensitivity["pressure"]["diameter"].error,
    )
    assert mdsens("export", "run.h5", "--to", "h5md").code == 0
    with h5py.File("run.h5md") as file:
        assert file["particles/trajectory/position/value"].shape == (400, 16, 3)
        assert file["particles/trajectory/position/step"][[0, -1]].tolist() == [1050, 21000]
        temperature = np.mean(file["observables/trajectory/temperature/value"])
        assert temperature == pytest.approx(1e-3 * result.certificate.temperature)
    shown = json.loads(mdsens("show", "run.h5", "--json").out)
    assert shown["observables"]["energy"]["error"] == result.observable_errors["energy"]
    # Other observables cost no simulation; another temperature is another trajectory.
    more = ("--set", 'sensitivity.observables=["heat_capacity"]', "--set", "sensitivity.wrt=[]")
    start = time.perf_counter()
    assert mdsens("run", ensemble_toml, *more).code == 0
    simulated = read_result("run.h5").provenance["wall_simulate_s"]
    assert simulated < 0.5 * (time.perf_counter() - start)
    assert mdsens("plot", "run.h5", "--what", "average").code == 2
    curve = (
        "--set",
        'sensitivity.observables=["pair_correlation", "structure_factor"]',
        "--set",
        'sensitivity.wrt=["epsilon"]',
    )
    told = mdsens("run", ensemble_toml, *curve)
    assert told.code == 0 and "r = " in told.out and "k = " in told.out
    result = read_result("run.h5")
    distances, g = (
        result.observable_along["pair_correlation"],
        result.observables["pair_correlation"],
    )
    assert (
        distances.shape == g.shape == result.sensitivity["pair_correlation"]["epsilon"].error.shape
    )
    waves, s = result.observable_along["structure_factor"], result.observables["structure_factor"]
    assert waves.shape == s.shape == (100,)
    # The first peak of S(k) belongs to layers a diameter apart, or nearly.
    assert abs(waves[np.argmax(s)] / (2.0 * np.pi) - 1.0) < 0.3
    # Particles that only just touch have their neighbours at one diameter.
    assert abs(distances[np.argmax(g)] - 1.0) < 0.15
    assert mdsens("plot", "run.h5", "--what", "average").code == 0
    assert mdsens("report", "run.h5").code == 0
    assert "mdsens verify" not in Path("run.html").read_text()
    hotter = ("--set", "ensemble.temperature=2e-3")
    assert "of another simulation" in refused(2, "run", ensemble_toml, *hotter)


@pytest.mark.slow
def test_killed_and_run_again(tmp_path):
    """The same trajectory and the same numbers, to the last bit."""
    files = []
    for name, kills in (("whole", 0), ("killed", 2)):
        folder = tmp_path / name
        folder.mkdir()
        write_inputs(folder, RUN_TOML + ENSEMBLE)
        command = [sys.executable, "-m", "mdsens", "run", "run.toml"]
        for count in range(1, kills + 1):
            process = subprocess.Popen(command, cwd=folder)
            deadline = time.monotonic() + 240.0
            while len(list(folder.glob("run.trajectory/*.h5"))) < 3 * count:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert not (folder / "run.h5").exists()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        files.append(folder)
    for chunk in sorted(files[0].glob("run.trajectory/*.h5")):
        with h5py.File(chunk) as a, h5py.File(files[1] / "run.trajectory" / chunk.name) as b:
            for place in ("samples", "state"):
                assert set(a[place]) == set(b[place])
                for key in a[place]:
                    np.testing.assert_array_equal(a[place][key], b[place][key])
    one, two = (read_result(folder / "run.h5") for folder in files)
    for observable, by in one.sensitivity.items():
        for parameter, slope in by.items():
            other = two.sensitivity[observable][parameter]
            np.testing.assert_array_equal(slope.value, other.value)
            np.testing.assert_array_equal(slope.error, other.error)
