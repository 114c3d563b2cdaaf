"""Results in the hands of other programs: ASE, LAMMPS' data format, H5MD and MDAnalysis, csv."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest

from mdsens.errors import InputError
from mdsens.io.ase_results import result_atoms
from mdsens.io.export import ENDINGS, export, format_for
from mdsens.io.h5md import write_h5md
from mdsens.io.lammps_data import lammps_data
from mdsens.io.results import write_result
from mdsens.io.trajectories import TrajectoryFolder
from mdsens.result import EnsembleCertificate
from mdsens.system import System
from mdsens.thermal import Chunk
from mdsens.units import BOLTZMANN
from tests.io import handmade

RESULT = handmade.result()
SLOPE = RESULT.sensitivity["pressure"]["diameter"].value
FRAMES, WALKERS, N = 5, 2, 3


@pytest.fixture
def exported(tmp_path, monkeypatch):
    """`exported("csv")`: the result in that format."""
    monkeypatch.chdir(tmp_path)

    def written(form: str) -> Path:
        path = Path(f"out{ENDINGS[form][0]}")
        export(write_result(RESULT, "r.h5"), path, form)
        return path

    return written


@pytest.fixture
def sampled(tmp_path):
    """An ensemble of two walkers of three argon atoms, its trajectory in three chunks, by hand."""
    rng = np.random.default_rng(0)
    places = 4.0 * rng.random((WALKERS, FRAMES, N, 3))
    cells = np.broadcast_to([[9.0, 0, 0], [1.0, 8.0, 0], [0, 0, 7.0]], (WALKERS, FRAMES, 3, 3))
    series = {
        name: rng.random((WALKERS, FRAMES)) for name in ("energies", "temperatures", "conserved")
    }
    system = System(
        places[0, -1], cells[0, 0], (True,) * 3, ("Ar",) * N, (False,) * N, units="metal"
    )
    kept = TrajectoryFolder(tmp_path / "run.trajectory", "this one", "metal")
    taken = {"positions": places, "cells": np.array(cells), **series}
    kept.record(Chunk({}, (np.zeros(2),), (1, 0, 0, -1)))  # the equilibration
    for part in (slice(0, 3), slice(3, FRAMES)):
        samples = {name: values[:, part] for name, values in taken.items()}
        kept.record(Chunk(samples, (np.zeros(2),), (1, 0, 0, -1)))
    certificate = EnsembleCertificate(
        True, WALKERS * (FRAMES - 1), 1, 30.0, 1.0, 0.01, 0.0, "float64", "by hand"
    )
    facts = {"trajectory": "this one", "equilibration": 100, "stride": 20, "time_step": 2.0}
    result = replace(
        RESULT, system=system, certificate=certificate, provenance=facts, sensitivity={},
        observable_errors={name: 0.1 * np.ones_like(v) for name, v in RESULT.observables.items()},
    )  # fmt: skip
    return result, taken


def test_endings():
    assert format_for(Path("a.h5md")) == "h5md"
    assert format_for(Path("a.LMP")) == "lammps"
    with pytest.raises(InputError, match="extxyz, h5md, lammps, csv"):
        format_for(Path("a.pdb"))


def test_extxyz(exported):
    atoms = ase.io.read(exported("extxyz"))
    np.testing.assert_array_equal(atoms.positions[:, :2], RESULT.positions)
    np.testing.assert_array_equal(atoms.arrays["d_pressure_d_diameter"], SLOPE)
    vectors = RESULT.sensitivity["positions"]["alpha"].value
    np.testing.assert_array_equal(atoms.arrays["d_positions_d_alpha"], vectors)
    assert atoms.info["pressure"] == 0.1 and atoms.get_potential_energy() == 0.5
    assert atoms.constraints[0].index.tolist() == [0]


def test_csv(exported):
    with exported("csv").open() as file:
        rows = list(csv.DictReader(file))
    mine = [r for r in rows if (r["observable"], r["parameter"]) == ("pressure", "diameter")]
    assert [float(r["value"]) for r in mine] == SLOPE.tolist()
    assert [r["entry"] for r in mine] == [str(k) for k in range(handmade.N)]
    keyed = [r["entry"] for r in rows if r["parameter"] == "epsilon"]
    assert keyed == ["A-A", "A-Bé", "Bé-Bé"]
    shears = [r for r in rows if r["observable"] == "stress" and r["component"] == "0,1"]
    alpha = RESULT.sensitivity["stress"]["alpha"].value[0, 1]
    assert [float(r["value"]) for r in shears] == [0.0, alpha]
    assert [float(r["error"]) for r in mine] == (1e-12 * SLOPE).tolist()
    assert not [r for r in rows if r["observable"] == "positions"]


def test_lammps_data(exported):
    path = exported("lammps")
    atoms = ase.io.read(path, format="lammps-data", atom_style="atomic")
    np.testing.assert_array_equal(atoms.positions[:, :2], RESULT.positions)
    types = RESULT.system.types + 1
    np.testing.assert_array_equal(atoms.arrays["type"], types)
    assert "1 1.0 # A\n2 1.0 # Bé\n" in path.read_text()


def test_lammps_data_of_a_wire_and_of_unlike_masses():
    mass = np.array([4.0, 4.0, 6.0])
    wire = System(
        np.array([[-9.0, 0, 5.0], [1.0, 2.0, 3.0], [0, 7.0, 8.0]]), np.diag([1.0, 1.0, 9.0]),
        (False, False, True), ("A", "A", "B"), (False,) * 3, columns={"mass": mass},
    )  # fmt: skip
    text = lammps_data(wire)
    assert "1 4.0 # A\n2 6.0 # B\n" in text
    sides = [float(line.split()[1]) for line in text.splitlines() if line.endswith("hi")]
    assert sides == [12.0, 9.0, 9.0]
    x = np.array([line.split()[2:] for line in text.splitlines()[-3:]], dtype=float)
    np.testing.assert_allclose(x - x[0], wire.positions - wire.positions[0], atol=1e-14)
    assert x[:, 0].min() == x[:, 1].min() == 1.0
    with pytest.raises(InputError, match="one species differ in mass"):
        lammps_data(replace(wire, species=("A",) * 3))


def test_one_frame_of_discs(exported):
    with h5py.File(exported("h5md")) as file:
        box, position = (file[f"particles/trajectory/{name}"] for name in ("box", "position"))
        assert box.attrs["boundary"].tolist() == [b"periodic", b"periodic", b"none"]
        np.testing.assert_array_equal(box["edges/value"][0], np.diag([4.0, 4.0, 1.0]))
        np.testing.assert_array_equal(position["value"][0, :, :2], RESULT.positions)
        assert "unit" not in position["value"].attrs and "modules" not in file["h5md"]
        assert "observables" not in file


def test_trajectory_keeps_to_the_standard(sampled, tmp_path):
    """H5MD 1.1: groups, attributes, shapes, and steps that elements share."""
    result, taken = sampled
    write_h5md(result, tmp_path / "run.h5", tmp_path / "run.h5md")
    with h5py.File(tmp_path / "run.h5md") as file:
        root = file["h5md"]
        assert root.attrs["version"].tolist() == [1, 1]
        assert root["author"].attrs["name"] and root["creator"].attrs["name"] == "mdsens"
        assert root["creator"].attrs["version"] and root["modules/units"].attrs["system"] == "SI"
        for walker, name in enumerate(("trajectory", "trajectory_2")):
            group, series = file[f"particles/{name}"], file[f"observables/{name}"]
            box, position = group["box"], group["position"]
            assert box.attrs["dimension"] == 3 and len(box.attrs["boundary"]) == 3
            assert position["step"][:].tolist() == [120, 140, 160, 180, 200]
            assert position["time"][:].tolist() == [240.0, 280.0, 320.0, 360.0, 400.0]
            assert position["time"].attrs["unit"] == "fs"
            assert box["edges/step"] == position["step"] == series["temperature/step"]
            np.testing.assert_array_equal(position["value"], taken["positions"][walker])
            np.testing.assert_array_equal(box["edges/value"], taken["cells"][walker])
            energies = series["potential_energy/value"]
            assert energies.attrs["unit"] == "eV"
            np.testing.assert_array_equal(energies, taken["energies"][walker])
            kelvin = taken["temperatures"][walker] / BOLTZMANN
            np.testing.assert_array_equal(series["temperature/value"], kelvin)
            kinds = h5py.check_enum_dtype(group["species"].dtype)
            assert kinds == {"Ar": 0} and group["mass"][0] == pytest.approx(39.948, abs=0.01)


def test_trajectory_in_mdanalysis(sampled, tmp_path):
    mda = pytest.importorskip("MDAnalysis")
    result, taken = sampled
    write_h5md(result, tmp_path / "run.h5", tmp_path / "run.h5md")
    universe = mda.Universe(str(tmp_path / "run.h5md"), to_guess=())
    assert universe.trajectory.n_frames == FRAMES
    for k, frame in enumerate(universe.trajectory):
        np.testing.assert_allclose(frame.positions, taken["positions"][0, k], rtol=1e-6)
        assert frame.time == pytest.approx(2e-3 * (120 + 20 * k))  # ps
    lengths = np.linalg.norm(taken["cells"][0, 0], axis=1)
    np.testing.assert_allclose(universe.dimensions[:3], lengths, rtol=1e-6)
    universe.trajectory.close()


def test_trajectories_that_are_not_the_results(sampled, tmp_path):
    result, _ = sampled
    source, path = tmp_path / "run.h5", tmp_path / "run.h5md"
    for change, sentence in (
        ({"trajectory": "another"}, "of another simulation"),
        ({"trajectory": None}, "run it again"),
    ):
        facts = {k: v for k, v in (result.provenance | change).items() if v is not None}
        with pytest.raises(InputError, match=sentence):
            write_h5md(replace(result, provenance=facts), source, path)
    (tmp_path / "run.trajectory" / "000002.h5").unlink()
    with pytest.raises(InputError, match="holds 3 of 5 samples"):
        write_h5md(result, source, path)
    assert not list(tmp_path.glob("*.h5md*")) and not list(tmp_path.glob(".*"))


def test_ase_reads_results_by_their_content(tmp_path):
    write_result(RESULT, tmp_path / "odd.name")
    for options in ({}, {"format": "mdsens"}):
        atoms = ase.io.read(tmp_path / "odd.name", **options)
        np.testing.assert_array_equal(atoms.arrays["d_pressure_d_diameter"], SLOPE)
        assert atoms.get_potential_energy() == 0.5 and atoms.info["pressure"] == 0.1
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["format"] = "another"
    with pytest.raises(ase.io.formats.UnknownFileTypeError):
        ase.io.read(tmp_path / "other.h5")


def test_averages_are_no_energies_of_the_last_frame(sampled):
    atoms = result_atoms(sampled[0])
    assert atoms.calc is None
    assert atoms.info["mean_energy"] == 0.5 and atoms.info["mean_energy_error"] == 0.1
