"""SWEEP.toml and plans: what varies, what is refused, and that a plan never changes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mdsens.errors import InputError
from mdsens.sweeps.axes import values_of
from mdsens.sweeps.plan import read_plan, write_plan
from mdsens.sweeps.planning import make_plan
from mdsens.sweeps.spec import load
from tests.io.handmade import extxyz

EPSILON, ALPHA = ("potential", "parameters", "epsilon"), ("potential", "parameters", "alpha")


@pytest.fixture
def told():
    def sentence(call) -> str:
        with pytest.raises(InputError) as caught:
            call()
        line = str(caught.value)
        assert "\n" not in line and "; " in line
        return line

    return sentence


@pytest.mark.parametrize(
    "given, expected",
    [
        ([1, 2.5], [1, 2.5]),
        ({"values": ["a"]}, ["a"]),
        ({"range": [1, 4]}, [1, 2, 3]),
        ({"range": [4, 0, -2]}, [4, 2]),
        ({"linspace": [0, 1, 3]}, [0.0, 0.5, 1.0]),
        ({"geomspace": [1, 100, 3]}, [1.0, 10.0, 100.0]),
    ],
    ids=str,
)
def test_forms(given, expected, tmp_path):
    assert values_of("relax.pressure", given, tmp_path) == pytest.approx(expected)


def test_random_values(tmp_path):
    def drawn(key="relax.pressure", **given):
        return np.array(values_of(key, {"count": 4000, "seed": 1, **given}, tmp_path))

    flat = drawn(uniform=[2, 4])
    assert flat.min() >= 2 and flat.max() <= 4 and abs(flat.mean() - 3) < 0.05
    bell = drawn(normal=[1, 0.5])
    assert abs(bell.mean() - 1) < 0.05 and abs(bell.std() - 0.5) < 0.05
    decades = np.log10(drawn(loguniform=[1e-4, 1e-2]))
    assert decades.min() >= -4 and decades.max() <= -2 and abs(decades.mean() + 3) < 0.05
    assert np.array_equal(flat, drawn(uniform=[2, 4]))
    assert not np.array_equal(flat, drawn(uniform=[2, 4], seed=2))
    # Two axes with one seed are not the same numbers twice.
    assert abs(np.corrcoef(flat, drawn("relax.fmax", uniform=[2, 4]))[0, 1]) < 0.1


def test_files(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.xyz").touch()
    found = values_of("system.structure", {"glob": "*.xyz"}, tmp_path)
    assert found == ["a.xyz", "b.xyz"]


@pytest.mark.parametrize(
    "given, telling",
    [
        ({}, "needs one of"),
        ({"linspace": [0, 1]}, "first, last, how many"),
        ({"linspace": [0, 1, 2.5]}, "first, last, how many"),
        ({"linspace": [0, 1, 3], "glob": "*"}, "needs one of"),
        ({"geomspace": [0, 1, 3]}, "one sign"),
        ({"range": [0, 1, 0]}, "start, stop"),
        ({"range": [0, 0]}, "no values"),
        ({"range": [0, 10**9]}, "at most"),
        ({"uniform": [0, 1], "count": 3}, "seed = an integer"),
        ({"uniform": [2, 1], "count": 3, "seed": 0}, "out of range"),
        ({"loguniform": [0, 1], "count": 3, "seed": 0}, "out of range"),
        ({"normal": [0, -1], "count": 3, "seed": 0}, "out of range"),
        ({"linspace": [0, 1, 3], "seed": 1}, "belong to"),
        ({"lispace": [0, 1, 3]}, "did you mean linspace?"),
        ({"glob": "*"}, "glob is for"),
        ([1, "a"], "different types"),
        ([True, 1], "different types"),
        ([], "no values"),
        (3, "write [3]"),
    ],
    ids=str,
)
def test_forms_that_are_none(given, telling, tmp_path, told):
    line = told(lambda: values_of("relax.pressure", given, tmp_path))
    assert line.startswith("axes.relax.pressure: ") and telling in line


@pytest.mark.parametrize(
    "text, telling",
    [
        ("base = 1", "base: 1 is not a string"),
        ('base = "run.toml"', "axes: missing"),
        ('base = "run.toml"\naxes = {}', "axes: empty"),
        ('base = "none.toml"\naxes.relax.fmax = [1.0]', "none.toml: run file: no such file"),
        ('base = "run.toml"\naxes.relax.fmax = [1.0]\nplan.batches = 3', "did you mean batch?"),
        ('base = "run.toml"\naxes.relax.fmax = [1.0]\nplan.batch = 0', "must be >= 1"),
        ('base = "run.toml"\naxes.relax.fmax = [1.0]\nplan.zip = [["x"]]', "plan.zip"),
        ('base = "run.toml"\naxes.relax.fmx = [1.0]', "did you mean fmax?"),
        ('base = "run.toml"\naxes.relax.fmax = [1.0, -1.0]', "axes.relax.fmax = -1.0: "),
        ('base = "run.toml"\naxes.relax.minimizer = ["fire", "fir"]', 'minimizer = "fir": '),
        ('base = "run.toml"\naxes.potential.parameters.alpha = [2.0, 0.5, 3.0]', "alpha = 0.5: "),
        ('base = "run.toml"\naxes.system.index = [0, 1]', "no frame 1"),
        ('base = "run.toml"\naxes.system.structure = ["discs.extxyz", "x.xyz"]', "x.xyz"),
        ('base = "run.toml"\naxes.system.structure = { glob = "*.cif" }', "no file"),
        ("base = [", "correct the TOML"),
    ],
)
def test_sweeps_that_are_wrong(planned, told, text, telling, tmp_path):
    line = told(lambda: planned(text + "\n"))
    assert telling in line and str(tmp_path) in line


def test_zipped_axes_of_unequal_length(planned, told):
    text = 'base = "run.toml"\n[axes]\nrelax.fmax = [1e-8]\nrelax.max_steps = [1, 2]\n'
    line = told(lambda: planned(text + '[plan]\nzip = [["relax.fmax", "relax.max_steps"]]\n'))
    assert "relax.fmax has 1, relax.max_steps has 2" in line


def test_items_are_numbered_as_arrays_are(planned):
    plan = planned()
    assert plan.shape == (5, 2) and plan.items == 10
    assert plan.values(0) == {EPSILON: 1.0, ALPHA: 2.0}
    assert plan.values(3) == {EPSILON: 1.25, ALPHA: 2.5}


def test_zipped_axes_advance_together(planned):
    plan = planned(
        'base = "run.toml"\n[axes]\nrelax.fmax = [1e-8, 1e-9]\n"potential.parameters.alpha" = [2.0, 2.5]\n'
        'relax.max_steps = [7]\n[plan]\nzip = [["potential.parameters.alpha", "relax.fmax"]]\n'
    )
    assert plan.shape == (2, 1)
    expected = {ALPHA: 2.5, ("relax", "fmax"): 1e-9, ("relax", "max_steps"): 7}
    assert plan.values(1) == expected


def test_batches_hold_what_is_alike(planned, tmp_path):
    rows = extxyz().splitlines()[2:]
    for name, count in (("a", 16), ("b", 8), ("c", 16)):
        (tmp_path / f"{name}.extxyz").write_text(extxyz(rows[:count]))
    plan = planned(
        'base = "run.toml"\n[axes]\npotential.parameters.alpha = [2.0, 2.5]\n'
        'system.structure = ["a.extxyz", "b.extxyz", "c.extxyz"]\n'
        'relax.minimizer = ["auto", "fire"]\n[plan]\nbatch = 3\n'
    )
    batches = plan.batches
    assert sorted(np.concatenate(batches)) == list(range(12))
    for batch in batches:
        assert len(batch) <= 3 and list(batch) == sorted(batch)
        kinds = {
            (plan.particles[k], plan.values(k)[("relax", "minimizer")]) for k in batch.tolist()
        }
        assert len(kinds) == 1
    # The exponent is a number like any other: four items of 16 particles for each minimizer.
    assert sorted(map(len, batches)) == [1, 1, 2, 2, 3, 3]


def test_a_plan_comes_back(planned, tmp_path):
    plan = planned()
    write_plan(plan, tmp_path / "x.plan")
    back = read_plan(tmp_path / "x.plan")
    assert back.hash == plan.hash
    assert back.dimensions == plan.dimensions and back.files == plan.files
    assert all(np.array_equal(a, b) for a, b in zip(back.batches, plan.batches, strict=True))


def test_the_hash_knows_everything(planned, tmp_path):
    text = 'base = "run.toml"\n[axes]\nrelax.pressure = [0.0]\n'
    hashes = {planned(text).hash, planned(text + "[plan]\nbatch = 2\n").hash}
    hashes.add(planned('base = "run.toml"\n[axes]\nrelax.fmax = [1e-9]\n').hash)
    (tmp_path / "run.toml").write_text((tmp_path / "run.toml").read_text() + "# more\n")
    hashes.add(planned(text).hash)
    (tmp_path / "discs.extxyz").write_text(extxyz().replace("1.05", "1.06"))
    hashes.add(planned(text).hash)
    assert len(hashes) == 5


def test_a_plan_is_never_changed(planned, tmp_path, told):
    path = tmp_path / "x.plan"
    write_plan(planned(), path)
    write_plan(planned(), path)
    other = planned('base = "run.toml"\naxes.relax.fmax = [1e-9]\n')
    assert "another plan is there" in told(lambda: write_plan(other, path))


def test_what_is_no_plan(planned, tmp_path, told):
    path = tmp_path / "x.plan"
    write_plan(planned(), path)
    content = json.loads(path.read_text())
    for text in ("", "[", "[1]", "{}", '{"format": "x"}', "[" * 100_000):
        path.write_text(text)
        told(lambda: read_plan(path))
    path.write_text(json.dumps({**content, "version": 99}))
    assert "plan again" in told(lambda: read_plan(path))
    path.write_text(json.dumps({**content, "batch": 5}))
    assert "not as it was written" in told(lambda: read_plan(path))


def test_the_shipped_example(repository, tmp_path):
    plan = make_plan(load(repository / "systems" / "packing_2d_64" / "sweep.toml"), tmp_path)
    assert plan.shape == (3, 2) and plan.particles.tolist() == [64] * 6
    write_plan(plan, tmp_path / "x.plan")
    assert (tmp_path / read_plan(tmp_path / "x.plan").base).resolve().is_file()
