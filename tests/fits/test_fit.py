"""`mdsens fit`: from a FIT.toml to a record, words and a figure; interrupted, resumed, refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

import mdsens as ms
from mdsens.errors import InputError
from mdsens.fits import run as runs
from mdsens.fits.job import prepare
from mdsens.io.fits import read_fit
from mdsens.io.labelled import read_labelled
from tests.fits.conftest import FIT, frames
from tests.potentials.crystals import SW_SILICON


def test_a_fit_from_file_to_file(mdsens, fit_toml, tmp_path):
    long = FIT + "#" * 70_000  # more than an HDF5 attribute holds
    (tmp_path / "fit.toml").write_text(long)
    told = mdsens("fit", fit_toml, "--set", "fit.ensemble=50")
    assert (told.code, told.err) == (0, "")
    assert "epsilon" in told.out and "converged" in told.out and "written to fit.h5" in told.out
    record = read_fit(tmp_path / "fit.h5")
    assert record.labels == ("epsilon", "sigma")
    np.testing.assert_allclose(record.free["value"], [0.0104, 3.4], rtol=1e-6)
    np.testing.assert_allclose(record.parameters["cutoff"], 6.0)
    off = (record.free["ensemble"] - record.free["value"]) / record.free["sigma"]
    assert off.shape == (50, 2) and 0.7 < off.std() < 1.3
    assert record.provenance["fit_toml"] == long
    assert not (tmp_path / "fit.evaluations").exists()
    shown = mdsens("show", "fit.h5")
    assert shown.code == 0 and "md: force" in shown.out
    facts = json.loads(mdsens("show", "fit.h5", "--json").out)
    assert facts["parameters"]["sigma"]["value"] == record.free["value"][1]
    assert facts["targets"]["md"]["energy"]["rms"] < 1e-7
    assert facts["targets"]["md"]["force"]["units"] == "eV/angstrom"
    assert mdsens("plot", "fit.h5", "-o", "fit.svg").code == 0
    assert mdsens("report", "fit.h5").code == 0
    assert (tmp_path / "fit.svg").read_text().count("<svg") == 1


@pytest.mark.slow
def test_an_ensemble_as_files_of_lammps(mdsens, tmp_path):
    numbers = {**SW_SILICON, "tol": 0.0}
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1)
    atoms.calc = ms.Calculator(ms.potentials.StillingerWeber(), SW_SILICON)
    forces = atoms.get_forces() + 0.05 * np.random.default_rng(0).standard_normal((8, 3))
    atoms.calc = SinglePointCalculator(atoms, forces=forces)
    write(tmp_path / "si.extxyz", atoms)
    values = "\n".join(f"{name} = {float(value)!r}" for name, value in numbers.items())
    (tmp_path / "si.toml").write_text(
        f'[potential]\nkind = "stillinger_weber"\n[potential.parameters]\n{values}\n'
        "[free]\nA = true\nlambda = true\n[fit]\nensemble = 3\n"
        '[[data]]\nfile = "si.extxyz"\nforces = 0.05\n'
    )
    told = mdsens("fit", "si.toml", "-p", "Si.sw")
    assert told.code == 0, told.err
    record, system = read_fit(tmp_path / "si.h5"), ms.read(tmp_path / "si.extxyz")
    read = ms.potentials.StillingerWeber().parameters
    assert len(list(tmp_path.glob("Si*.sw"))) == 4
    for k, row in enumerate(record.free["ensemble"]):
        params = read(system, file=tmp_path / f"Si-{k:03}.sw")
        np.testing.assert_allclose(
            [np.ravel(np.asarray(params[n]))[0] for n in ("A", "lambda")], row
        )


@pytest.mark.slow
def test_the_example(mdsens, repository, tmp_path):
    told = mdsens("fit", str(repository / "systems/silicon_bulk/fit.toml"))
    assert (told.code, told.err) == (0, "")
    target = read_fit(tmp_path / "fit.h5").targets[0]
    text = (repository / "systems/silicon_bulk/README.md").read_text()
    assert f"C44 comes out at {target.value[4]:.0f} of 80 GPa" in text
    assert f"the phonon at {target.value[5]:.1f} of 15.6 THz" in text


def test_not_converged_is_exit_3_with_a_record(mdsens, fit_toml, tmp_path):
    told = mdsens("fit", fit_toml, "--set", "fit.max_iterations=1")
    assert told.code == 3 and "not converged within 1 steps" in told.err
    assert "degrees of freedom; stopped: not converged" in told.out
    assert read_fit(tmp_path / "fit.h5").facts["why"]


def test_a_parameter_on_its_bound_is_named(mdsens, fit_toml):
    told = mdsens("fit", fit_toml, "--set", "free.sigma={upper=3.35}")
    assert told.code == 0 and "on a bound: sigma" in told.out


def test_validation_and_several_starts(mdsens, fit_toml, tmp_path):
    write(tmp_path / "md.extxyz", frames(6))
    told = mdsens("fit", fit_toml, "--set", "fit.validation=0.3", "--set", "fit.starts=3")
    assert told.code == 0, told.err
    record = read_fit(tmp_path / "fit.h5")
    assert "chi^2 of held-out data" in told.out
    assert len(record.history) == 3 and np.isfinite(record.history[0]["validation"]).all()
    assert record.targets[0].labels.count("energy") == 4
    np.testing.assert_allclose(record.free["value"], [0.0104, 3.4], rtol=1e-6)


def test_interrupted_anywhere_it_ends_at_the_same_bits(fit_toml, tmp_path, monkeypatch):
    """Killed between any two evaluations, and with one of its files damaged."""
    monkeypatch.chdir(tmp_path)
    whole = runs.run(prepare(fit_toml), Path("whole.h5"))
    kept = tmp_path / "kept"

    def keep(folder):
        shutil.copytree(folder, kept, dirs_exist_ok=True)

    monkeypatch.setattr(runs, "remove", keep)
    runs.run(prepare(fit_toml), Path("fit.h5"))
    files = sorted(kept.glob("*.npz"))
    assert len(files) > 4
    for count in (1, len(files) // 2, len(files)):
        shutil.rmtree("fit.evaluations")
        shutil.copytree(kept, "fit.evaluations")
        for file in files[count:]:
            (tmp_path / "fit.evaluations" / file.name).unlink()
        last = tmp_path / "fit.evaluations" / files[count - 1].name
        last.write_bytes(last.read_bytes()[:-40])
        again = runs.run(prepare(fit_toml), Path("fit.h5"))
        assert again.free["value"].tobytes() == whole.free["value"].tobytes()
        assert again.free["correlation"].tobytes() == whole.free["correlation"].tobytes()


@pytest.mark.slow
def test_killed_and_run_again(fit_toml, tmp_path):
    """kill -9 as soon as there is something to lose, again and again; then to the end."""
    command = [sys.executable, "-P", "-m", "mdsens", "fit", fit_toml]
    environment = {**os.environ, "MDSENS_CACHE_DIR": str(tmp_path / "cache")}
    subprocess.run([*command, "-o", "whole.h5"], cwd=tmp_path, env=environment, check=True)
    folder, kills = tmp_path / "fit.evaluations", 0
    for _ in range(4):
        known = len(list(folder.glob("*.npz")))
        process = subprocess.Popen(command, cwd=tmp_path, env=environment)
        while process.poll() is None and len(list(folder.glob("*.npz"))) <= known:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills > 1
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    whole, again = read_fit(tmp_path / "whole.h5"), read_fit(tmp_path / "fit.h5")
    assert again.free["value"].tobytes() == whole.free["value"].tobytes()


def test_evaluations_of_another_fit_are_refused(mdsens, fit_toml, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setattr(runs, "remove", lambda folder: None)
        runs.run(prepare(fit_toml), Path("fit.h5"))
    (tmp_path / "fit.toml").write_text(FIT.replace("0.001", "0.002"))
    told = mdsens("fit", fit_toml)
    assert told.code == 2 and "evaluations of another fit" in told.err
    assert mdsens("fit", fit_toml, "--restart").code == 0
    np.testing.assert_allclose(read_fit(tmp_path / "fit.h5").free["value"][1], 3.4, rtol=1e-6)


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ("lennard_jones", "lennard_johns", "did you mean lennard_jones?"),
        ("sigma = true", "sgma = true", "did you mean sigma?"),
        ("[free]\n", "[fre]\n", "unknown key"),
        ("md.extxyz", "nd.extxyz", "nd.extxyz"),
        ("energy = 0.001\nforces = 0.01", "", "nothing counts"),
        ("energy = 0.001", "energy = -1.0", "out of range"),
        ("[[data]]", "[fit]\nvalidation = 0.1\n[[data]]", "0.1 of the 3 structures"),
        ("[[data]]", '[fit]\noptimizer = "newton"\n[[data]]', "newton"),
        ("sigma = true", "sigma = {prior = [1.0]}", "has to be [mean, deviation]"),
        ("sigma = 3.3", 'sigma = "size"', "would be a column of one structure"),
        ("epsilon = {lower = 1e-3", "epsilon = {lower = 0.05", "not between its bounds"),
    ],
)
def test_bad_fit_files(refused, fit_toml, tmp_path, old, new, sentence):
    text = FIT.replace(old, new, 1)
    assert text != FIT
    (tmp_path / "fit.toml").write_text(text)
    assert sentence in refused(2, "fit", fit_toml)


def test_an_ensemble_of_more_parameters_than_have_bars_is_refused(
    refused, fit_toml, tmp_path, monkeypatch
):
    monkeypatch.setattr("mdsens.fits.job.MANY", 1)
    told = refused(2, "fit", fit_toml, "--set", "fit.ensemble=5")
    assert "fit.ensemble: 5 sets cannot be drawn of 2 free parameters" in told


def test_each_set_is_held_out_with_its_own_deviations(fit_toml, tmp_path):
    write(tmp_path / "md.extxyz", frames(5))
    more = '[[data]]\nname = "other"\nfile = "md.extxyz"\nenergy = 0.5\n'
    (tmp_path / "fit.toml").write_text(f"{FIT}\n{more}[fit]\nvalidation = 0.4\n")
    held = prepare(tmp_path / "fit.toml").validation
    assert [(t.name, t.energy, t.forces) for t in held] == [
        ("md", 1e-3, 0.01),
        ("other", 0.5, np.inf),
    ]
    assert [len(t.systems) for t in held] == [2, 2]


def test_energies_shift_by_what_their_compositions_tell(mdsens, fit_toml, tmp_path):
    """All frames are Ar2Kr2: one number; and xenon has no energies at all."""
    data, other = frames(3), bulk("Xe", "fcc", 5.2)
    for atoms in data:
        atoms.symbols[2:] = "Kr"
        atoms.calc.results["energy"] += 8.0
    write(tmp_path / "md.extxyz", data)
    write(tmp_path / "xe.extxyz", other)
    crystal = (
        '[fit]\nenergy_shift = true\n[[crystal]]\nstructure = "xe.extxyz"\ncell = "fixed"\n'
        'want = [{property = "pressure", value = 0.0, sigma = 1e6, units = "GPa"}]\n'
    )
    (tmp_path / "fit.toml").write_text(f"{FIT}\n{crystal}")
    told = mdsens("fit", fit_toml)
    assert told.code == 0, told.err
    record = read_fit(tmp_path / "fit.h5")
    assert record.labels == ("epsilon", "sigma", "energy_shift[Ar]")
    # Of every atom 2 eV, all of it carried by argon, which half of them are.
    np.testing.assert_allclose(record.free["value"][2], 4.0, atol=1e-3)


def test_check(mdsens, refused, fit_toml, tmp_path):
    told = mdsens("check", fit_toml)
    assert (told.code, told.out) == (0, "fit.toml is fine: 1 target, 2 of [free]\n")
    assert "free.sigma.lowr: unknown key" in refused(
        2, "check", fit_toml, "--set", "free.sigma={lowr=1}"
    )
    (tmp_path / "md.extxyz").unlink()
    assert "md.extxyz: labelled structures: no such file" in refused(2, "check", fit_toml)
    assert "md.extxyz" in refused(2, "fit", fit_toml)


@pytest.mark.parametrize(
    "rule, sentence",
    [
        (
            '{tied = "sigma", factor = 0.003, lower = 0.5}',
            "free.epsilon.lower: a tied parameter has no",
        ),
        ("{factor = 3.0}", "free.epsilon.factor: of nothing"),
        ("{lowr = 3.0}", "free.epsilon.lowr: unknown key"),
        ("{prior = [nan, 1.0]}", "free.epsilon.prior.0: nan is not finite"),
        ("false", "free.epsilon: false is not allowed"),
    ],
)
def test_rules_that_would_do_nothing_are_refused(refused, fit_toml, tmp_path, rule, sentence):
    start = FIT.index("epsilon = {")
    end = FIT.index("\n", start)
    (tmp_path / "fit.toml").write_text(f"{FIT[:start]}epsilon = {rule}{FIT[end:]}")
    assert sentence in refused(2, "fit", fit_toml)


def test_files_of_others_are_left_alone(mdsens, refused, fit_toml, tmp_path):
    notes = tmp_path / "fit.evaluations" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("precious")
    assert mdsens("fit", fit_toml).code == 0
    assert [p.name for p in notes.parent.iterdir()] == ["notes.txt"]
    before = (tmp_path / "fit.toml").read_text()
    for arguments in (("-o", "fit.toml"), ("-o", "md.extxyz"), ("-o", "x.h5", "-p", "fit.toml")):
        assert "a file that this run needs" in refused(5, "fit", fit_toml, *arguments)
    assert (tmp_path / "fit.toml").read_text() == before
    (tmp_path / "a.evaluations").write_text("")
    assert "a folder of this name" in refused(5, "fit", fit_toml, "-o", "a.h5")


def test_a_file_that_cannot_be_written_is_told_before_anything_is_fitted(
    refused, fit_toml, tmp_path
):
    assert "fit.toml: lennard_jones: LAMMPS has no file" in refused(
        2, "fit", fit_toml, "-p", "Ar.lj"
    )
    assert not (tmp_path / "fit.h5").exists() and not (tmp_path / "fit.evaluations").exists()


def test_what_fails_at_the_start_names_the_file(refused, fit_toml):
    told = refused(2, "fit", fit_toml, "--set", "free.sigma={upper=3.0}")
    assert "fit.toml: fit: sigma starts at" in told
    for key in ("optimizer", "loss"):
        assert f'fit.{key}: "newton" is not known' in refused(
            2, "fit", fit_toml, "--set", f"fit.{key}=newton"
        )


CONTACTS = """
[potential]
kind = "soft_sphere"
[potential.parameters]
epsilon = 1.0
alpha = 2.0
diameter = {"X-X" = 1.3, "X-Y" = 1.05, "Y-Y" = 0.5}
[free]
"diameter[X-X]" = true
"diameter[X-Y]" = true
[[data]]
file = "three.extxyz"
forces = 0.01
"""


def test_parameters_that_the_end_does_not_tell_are_named(mdsens, tmp_path):
    """The contact of X and Y opens, as its force is to vanish: how far, nothing tells."""
    atoms = ase.Atoms("X3", [[0, 0, 0], [1, 0, 0], [0, 1, 0]], cell=3 * [9])
    atoms.arrays["type"], atoms.info["units"] = np.array(["X", "X", "Y"]), "reduced"
    forces = np.array([[-0.1, 0, 0], [0.1, 0, 0], [0, 0, 0]])
    atoms.calc = SinglePointCalculator(atoms, forces=forces)
    write(tmp_path / "three.extxyz", atoms)
    (tmp_path / "fit.toml").write_text(CONTACTS)
    sentence = "the targets do not tell diameter[X-Y] where the fit ended; fix it"
    told = mdsens("fit", "fit.toml")
    assert (told.code, told.err) == (0, "")
    assert "unknown" in told.out and sentence in told.out
    facts = json.loads(mdsens("show", "fit.h5", "--json").out)
    # (1 - 1/s)/s = 0.1
    s = 0.5 * (10.0 - np.sqrt(60.0))
    np.testing.assert_allclose(facts["parameters"]["diameter[X-X]"]["value"], s, rtol=1e-6)
    assert facts["parameters"]["diameter[X-Y]"]["sigma"] is None and facts["freedom"] == 8
    (tmp_path / "fit.h5").unlink()
    told = mdsens("fit", "fit.toml", "--set", "fit.ensemble=3")
    assert told.code == 2 and sentence in told.err and "3 sets cannot be drawn" in told.err
    assert "ensemble" not in read_fit(tmp_path / "fit.h5").free


@pytest.mark.parametrize(
    "want, sentence",
    [
        ('{property = "C11", value = 1.0, sigma = 0.1}', "units: missing"),
        ('{property = "C11", value = 1.0, sigma = 0.1, units = "eV"}', "no unit of a modulus"),
        ('{property = "C77", value = 1.0, sigma = 0.1, units = "GPa"}', "no property"),
        ('{property = "C11", value = 1.0, sigma = 0.0, units = "GPa"}', "out of range"),
        ('{property = "C11", value = 1.0, units = "GPa"}', "standard deviation"),
    ],
)
def test_bad_wants(fit_toml, tmp_path, monkeypatch, want, sentence):
    monkeypatch.chdir(tmp_path)
    Path("fit.toml").write_text(
        f'{FIT}\n[[crystal]]\nname = "x"\nstructure = "md.extxyz"\nwant = [{want}]\n'
    )
    with pytest.raises(InputError, match=sentence):
        prepare(fit_toml)


def test_labels_of_pymatgen(tmp_path):
    """Fractional sites, kbar as a pressure, xx yy zz xy yz zx."""
    row = {
        "structure": {
            "lattice": {"matrix": [[4, 0, 0], [0, 5, 0], [0, 0, 6]]},
            "sites": [{"species": [{"element": "Si", "occu": 1}], "abc": [0.5, 0.5, 0.5]}],
        },
        "outputs": {
            "energy": -3.0, "forces": [[1.0, 2.0, 3.0]],
            "virial_stress": [10.0, 20.0, 30.0, 1.0, 2.0, 3.0],
        },
    }  # fmt: skip
    (tmp_path / "x.json").write_text(json.dumps([row]))
    (system,), (labels,) = read_labelled(tmp_path / "x.json")
    np.testing.assert_allclose(system.positions, [[2.0, 2.5, 3.0]])
    assert labels.energy == -3.0
    expected = -np.array([[10, 1, 3], [1, 20, 2], [3, 2, 30]]) * 0.1 / 160.2176634
    np.testing.assert_allclose(labels.stress, expected, rtol=1e-9)
    (tmp_path / "x.json").write_text(json.dumps([{"structure": row["structure"]}]))
    with pytest.raises(InputError, match="structure 0: lacks 'outputs'"):
        read_labelled(tmp_path / "x.json")


def test_structures_without_labels_are_named(tmp_path):
    write(tmp_path / "x.extxyz", [frames(1)[0], ase.Atoms("Ar", cell=np.eye(3), pbc=True)])
    with pytest.raises(InputError, match=r"x.extxyz\[1\]: neither energy, forces nor stress"):
        read_labelled(tmp_path / "x.extxyz")
