"""Structures through ASE: what comes in, what is refused, and that it comes back."""

from __future__ import annotations

import time

import ase
import ase.build
import ase.io
import numpy as np
import pytest
from ase.constraints import FixAtoms, FixBondLength, FixCartesian

from mdsens.errors import InputError, OutputError
from mdsens.io.structures import Frames, particle_counts, read, to_atoms, write_extxyz
from tests.io.handmade import HEADER, N, extxyz

PAIR = ["X 0 0 0 A 1.0", "X 1 1 0 A 1.0"]


@pytest.fixture
def refused(told, tmp_path):
    """`refused(content, name, **options)`: the sentence about a file, without its folder."""

    def sentence(content: str | bytes, name: str = "s.extxyz", **options) -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        line = told(InputError, lambda: read(path, **options))
        assert line.startswith(f"{path}: ")
        assert "; " in line
        return line[len(f"{path}: ") :]

    return sentence


def test_two_dimensions_are_inferred(tmp_path):
    path = tmp_path / "s.extxyz"
    path.write_text(extxyz())
    system = read(path)
    assert (system.dimension, system.pbc, system.units) == (2, (True, True), "reduced")
    assert system.positions.shape == (N, 2)
    assert system.cell.tolist() == [[4.0, 0.0], [0.0, 4.0]]
    assert system.type_names == ("A", "B")
    assert set(system.columns) == {"diameter"}
    assert system.source == str(path)
    assert read(path, dimension=3).positions.shape == (N, 3)


def test_crystal_keeps_its_chemistry_and_columns():
    atoms = ase.build.bulk("Cu", cubic=True)
    atoms.set_masses([60.0] * 4)
    atoms.set_array("vectors", np.ones((4, 3)))
    atoms.set_array("words", np.array(["a"] * 4))
    system = read(atoms)
    assert (system.dimension, system.units, system.type_names) == (3, "metal", ("Cu",))
    assert set(system.columns) == {"masses", "vectors"}


def test_columns_that_ase_takes_for_results_stay_columns(tmp_path):
    header = HEADER.replace("diameter", "charges")
    (tmp_path / "s.extxyz").write_text(extxyz(PAIR, header))
    assert read(tmp_path / "s.extxyz").columns["charges"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("value, name", [("7", "7"), ("big", "big"), ("2.0", "2.0")])
def test_type_column_names_particles_without_chemistry(tmp_path, value, name):
    rows = [row.replace(" A ", f" {value} ") for row in PAIR]
    rows[1] = rows[1].replace("X", "Ar")
    (tmp_path / "s.extxyz").write_text(extxyz(rows))
    system = read(tmp_path / "s.extxyz")
    assert system.species == (name, "Ar")
    assert system.units == "metal"


def test_numbers_as_types_are_named_by_the_integer():
    atoms = ase.Atoms("X2", positions=np.eye(3)[:2])
    atoms.set_array("type", np.array([1.0, 2.5]))
    assert read(atoms).species == ("1", "2.5")


@pytest.mark.parametrize("pbc", [(1, 1, 0), (1, 0, 0), (0, 0, 0)], ids=["slab", "wire", "cluster"])
def test_missing_lattice_vectors_are_completed(pbc):
    atoms = ase.build.bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.pbc = pbc
    atoms.cell[[not p for p in pbc]] = 0.0
    system = read(atoms)
    assert system.pbc == tuple(map(bool, pbc))
    assert np.linalg.det(system.cell) > 0
    assert np.allclose(system.cell[list(system.pbc)], atoms.cell[list(system.pbc)])


def test_free_flat_cluster_may_be_two_dimensional():
    atoms = ase.Atoms("X2", positions=[[0, 0, 0], [1, 0, 0]])
    assert read(atoms).dimension == 3
    assert read(atoms, dimension=2).pbc == (False, False)


def test_units_from_file_and_argument(tmp_path):
    path = tmp_path / "s.extxyz"
    path.write_text(extxyz(PAIR, HEADER + " units=metal"))
    assert read(path).units == "metal"
    assert read(path, units="reduced").units == "reduced"


def test_fixed_atoms(tmp_path):
    atoms = ase.build.bulk("Cu", cubic=True)
    atoms.set_constraint([FixAtoms([1]), FixCartesian([2], mask=(True, True, True))])
    assert read(atoms).fixed == (False, True, True, False)
    atoms.set_constraint(FixAtoms([3]))
    ase.io.write(tmp_path / "s.extxyz", atoms)
    assert read(tmp_path / "s.extxyz").fixed == (False, False, False, True)


def test_constraints_beyond_fixing_are_refused(told):
    atoms = ase.build.bulk("Cu", cubic=True)
    atoms.set_constraint(FixBondLength(0, 1))
    assert "FixBondLength" in told(InputError, lambda: read(atoms))
    atoms.set_constraint(FixCartesian([2], mask=(True, False, False)))
    assert "particle 2" in told(InputError, lambda: read(atoms))


def test_frames(tmp_path, told):
    path = tmp_path / "s.extxyz"
    moved = [row.replace("X 0", "X 0.5") for row in PAIR]
    path.write_text(extxyz(PAIR) + extxyz(moved))
    assert read(path).positions[0, 0] == 0.5
    assert read(path, index=0).positions[0, 0] == 0.0
    for index in (2, -3):
        line = told(InputError, lambda index=index: read(path, index=index))
        assert "2 frames" in line and str(index) in line


def test_frames_of_other_formats(tmp_path, told):
    path = tmp_path / "s.traj"
    ase.io.write(path, [ase.build.bulk("Cu")] * 3)
    assert read(path, index=2).n_particles == 1
    assert "3 frames" in told(InputError, lambda: read(path, index=3))


@pytest.mark.parametrize("name", ["s.xyz.gz", "s@2.xyz", "POSCAR", "s.cif"])
def test_whatever_ase_reads(tmp_path, name):
    ase.io.write(tmp_path / "plain.xyz", ase.build.bulk("Cu", cubic=True))
    format = None if name in ("POSCAR", "s.cif") else "extxyz"
    ase.io.write(tmp_path / "other", ase.build.bulk("Cu", cubic=True), format=format or {
        "POSCAR": "vasp", "s.cif": "cif"}[name])  # fmt: skip
    if name.endswith(".gz"):
        import gzip

        (tmp_path / name).write_bytes(gzip.compress((tmp_path / "other").read_bytes()))
    else:
        (tmp_path / "other").rename(tmp_path / name)
    assert read(tmp_path / name).species == ("Cu",) * 4


def test_extxyz_comes_back_bit_for_bit(tmp_path, rng):
    atoms = ase.build.bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=3)
    atoms.set_array("size", rng.random(4))
    atoms.set_constraint(FixAtoms([1]))
    for start in (read(atoms), read(_discs(tmp_path, rng))):
        back = read(write_extxyz(start, tmp_path / "back.extxyz"))
        assert np.array_equal(back.positions, start.positions)
        assert np.array_equal(back.cell, start.cell)
        assert (back.species, back.pbc, back.fixed) == (start.species, start.pbc, start.fixed)
        assert back.units == start.units
        assert all(np.array_equal(back.columns[k], v) for k, v in start.columns.items())


def _discs(tmp_path, rng):
    rows = [f"X {x!r} {y!r} 0.0 A {d!r}" for x, y, d in rng.random((5, 3)).tolist()]
    (tmp_path / "discs.extxyz").write_text(extxyz(rows))
    return tmp_path / "discs.extxyz"


def test_atoms_come_back(tmp_path, rng):
    system = read(_discs(tmp_path, rng))
    atoms = to_atoms(system)
    assert atoms.pbc.tolist() == [True, True, False]
    assert read(atoms).species == system.species
    elsewhere = system.with_positions(system.positions + 0.1).with_cell(1.1 * system.cell)
    moved = read(to_atoms(system, elsewhere))
    np.testing.assert_array_equal(moved.positions, elsewhere.positions)
    np.testing.assert_array_equal(moved.cell, elsewhere.cell)


def test_writing_into_nowhere(tmp_path, told, rng):
    system = read(_discs(tmp_path, rng))
    assert "nowhere" in told(
        OutputError, lambda: write_extxyz(system, tmp_path / "nowhere" / "s.extxyz")
    )


def test_missing_file_and_folder(tmp_path, told):
    assert "no such file" in told(InputError, lambda: read(tmp_path / "none.extxyz"))
    assert "is a folder" in told(InputError, lambda: read(tmp_path))
    assert "regular file" in told(InputError, lambda: read("/dev/zero"))


BAD = {
    "empty": ("", "empty"),
    "blank": ("\n\n", "no particles"),
    "binary": (bytes(range(256)) * 20, "not a text file"),
    "latin-1": (extxyz(PAIR).replace("A", "é").encode("latin-1"), "not a text file"),
    "truncated": (extxyz(PAIR, count=3), "says 3 particles, but the file ends after 2"),
    "header only": ("5\n", "cannot hold them"),
    "absurdly many": (extxyz(PAIR, count=999999999), "cannot hold them"),
    "absurd in a later frame": (extxyz(PAIR) + extxyz(PAIR, count=10**17), "frame 1"),
    "negative count": (extxyz(PAIR, count=-2), "expected the number of particles"),
    "no count": (extxyz(PAIR, count="two"), "expected the number of particles"),
    "no particles": (extxyz([]), "no particles"),
    "long line": (extxyz(PAIR, header="x" * (2 << 20)), "longer than"),
    "unknown species": (extxyz(["Qq 0 0 0 A 1.0"]), "line 3: particle 0: unknown species 'Qq'"),
    "not a number": (extxyz([PAIR[0], "X 1 foo 0 A 1"]), "line 4: particle 1: 'foo'"),
    "short line": (extxyz([PAIR[0], "X 1 1"]), "line 4: particle 1: 3 words, needs 6"),
    "NaN position": (extxyz([PAIR[0], "X 1 nan 0 A 1"]), "particle 1: position [1.0, nan]"),
    "infinite position": (extxyz(["X inf 0 0 A 1"]), "particle 0: position [inf, 0.0]"),
    "NaN cell": (extxyz(PAIR, HEADER.replace("4.0 0.0", "nan 0.0", 1)), "is not finite"),
    "zero volume": (extxyz(PAIR, HEADER.replace("0.0 4.0 0.0", "4.0 0.0 0.0")), "zero volume"),
    "zero vector": (extxyz(PAIR, HEADER.replace("4.0", "0.0")), "vector 0 is zero"),
    "left-handed": (
        extxyz(PAIR, HEADER.replace("4.0 0.0 0.0 0.0 4.0", "0.0 4.0 0.0 4.0 0.0")),
        "left-handed",
    ),
    "tilted": (extxyz(PAIR, HEADER.replace("4.0 0.0 0.0", "4.0 0.0 0.1", 1)), "leaves the plane"),
    "units": (extxyz(PAIR, HEADER + " units=furlong"), "allowed: metal, reduced"),
}


@pytest.mark.parametrize("content, telling", BAD.values(), ids=BAD)
def test_bad_files(refused, content, telling):
    start = time.perf_counter()
    assert telling in refused(content)
    assert time.perf_counter() - start < 5


OTHER = {
    "lammps-data": ("x\n\n999999999 atoms\n", "s.lmp", {"format": "lammps-data"}, "999999999"),
    "vasp": ("x\n1\n1 0 0\n0 1 0\n0 0 1\nSi\n999999999\nDirect\n", "POSCAR", {}, "999999999"),
    "unknown": ("hello\n", "s.foo", {}, "no 'foo' files"),
    "no format": (extxyz(PAIR), "s.extxyz", {"format": "extxzy"}, "no format 'extxzy'"),
    "cif": ("data_x\n", "s.cif", {}, "no particles"),
    "gzip": ("junk", "s.xyz.gz", {}, "Not a gzipped file"),
    "traj": (b"- of UlmASE-Trajectory" + bytes(99), "s.traj", {}, "cannot be parsed"),
    "flat": (extxyz([PAIR[0], "X 1 1 0.5 A 1"]), "s.extxyz", {"dimension": 2}, "particle 1 has z"),
    "dimension": (extxyz(PAIR), "s.extxyz", {"dimension": 4}, "allowed: 2, 3"),
}


@pytest.mark.parametrize("content, name, options, telling", OTHER.values(), ids=OTHER)
def test_bad_files_of_other_formats(refused, content, name, options, telling):
    assert telling in refused(content, name, **options)


def test_frames_are_the_ones_that_are_read(tmp_path):
    rows = extxyz().splitlines()[2:]
    frames = [extxyz(rows[:n]) for n in (16, 3, 8)]
    path = tmp_path / "many.extxyz"
    path.write_text("".join(frames))
    assert particle_counts(path) == [16, 3, 8]
    many = Frames(path)
    for index in (0, 1, 2, -1, -3):
        one, other = many.read(index), read(path, index)
        assert np.array_equal(one.positions, other.positions)
        assert np.array_equal(one.columns["diameter"], other.columns["diameter"])
        assert (one.pbc, one.species, one.source) == (other.pbc, other.species, other.source)
    for index in (3, -4):
        with pytest.raises(InputError, match=f"no frame {index}"):
            many.read(index)


def test_a_bad_frame_among_good_ones(tmp_path):
    path = tmp_path / "many.extxyz"
    path.write_text(extxyz() + extxyz().replace("1.05", "one"))
    many = Frames(path)
    assert many.read(0).n_particles == 16
    with pytest.raises(InputError, match="could not convert"):
        many.read(1)


def test_particles_of_other_formats(tmp_path):
    atoms = ase.build.bulk("Ar", "fcc", a=5.3, cubic=True)
    ase.io.write(tmp_path / "x.cif", atoms)
    assert particle_counts(tmp_path / "x.cif") == [4]
