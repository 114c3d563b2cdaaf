"""RUN.toml: every fault is one sentence that says where and lists what is allowed."""

from __future__ import annotations

import pytest

from mdsens.errors import InputError
from mdsens.io import spec
from tests.io.handmade import RUN_TOML, write_inputs

HEAD = RUN_TOML.partition("[sensitivity]")[0]


@pytest.fixture
def refused(told, tmp_path):
    def sentence(text: str, *overrides: str) -> str:
        path = tmp_path / "run.toml"
        path.write_text(text)
        return told(InputError, lambda: spec.load(path, overrides)).removeprefix(f"{path}: ")

    return sentence


def test_defaults(tmp_path):
    loaded = spec.load(write_inputs(tmp_path, HEAD))
    relax, sensitivity = loaded.tables.relax, loaded.tables.sensitivity
    assert (relax.minimizer, relax.fmax, relax.max_steps) == ("auto", 1e-10, 100_000)
    assert (relax.cell, relax.pressure, relax.polish) == ("fixed", 0.0, True)
    assert (sensitivity.solver, sensitivity.rtol, sensitivity.wrt) == ("auto", 1e-10, [])
    assert loaded.structure == tmp_path / "discs.extxyz"
    assert loaded.text == HEAD


def test_order_of_tables_is_kept(tmp_path):
    text = HEAD + 'epsilon = {"B-B" = 1, "A-B" = 2.0, "A-A" = 3}\n'
    loaded = spec.load(write_inputs(tmp_path, text))
    assert list(loaded.tables.potential.parameters["epsilon"]) == ["B-B", "A-B", "A-A"]


def test_options_of_a_potential(tmp_path):
    text = HEAD.replace('"soft_sphere"', '"lennard_jones"\nsmoothing = "xplor"')
    loaded = spec.load(write_inputs(tmp_path, text + '[sensitivity]\nwrt = ["onset"]\n'))
    assert loaded.tables.potential.options == {"smoothing": "xplor"}


BAD = {
    "unknown table": (HEAD + "[relx]\n", "relx: unknown key; allowed: system, potential, relax"),
    "unknown key": (HEAD + "[relax]\nfmx = 1\n", "did you mean fmax?"),
    "unknown system key": (HEAD.replace("structure", "strcture"), "did you mean structure?"),
    "no structure": (HEAD.partition("[potential]")[2].join(("[system]\n[potential]", "")),
                     "system.structure: missing"),
    "no system": ("[potential]" + HEAD.partition("[potential]")[2], "system: missing"),
    "no kind": (HEAD.replace('kind = "soft_sphere"', ""), "potential.kind: missing"),
    "kind": (HEAD.replace("soft_sphere", "soft_spheres"), "did you mean soft_sphere?"),
    "option": (HEAD.replace('"soft_sphere"', '"soft_sphere"\nsmoothing = "x"'),
               "potential.smoothing: unknown key; allowed: kind, parameters"),
    "option value": (HEAD.replace('"soft_sphere"', '"wca"\n').replace("wca", "morse")
                     .replace('"morse"', '"morse"\nsmoothing = "fore_shift"'),
                     "did you mean force_shift?"),
    "table for text": ('system = 1\n[potential]\nkind = "wca"\n', "system: 1 is not a table"),
    "text for number": (HEAD + '[relax]\nfmax = "a"\n', 'relax.fmax: "a" is not a number'),
    "bool for number": (HEAD + "[relax]\nfmax = true\n", "relax.fmax: true is not a number"),
    "infinite": (HEAD + "[relax]\nfmax = inf\n", "relax.fmax: inf is not finite"),
    "negative": (HEAD + "[relax]\nfmax = -1e-3\n", "relax.fmax: -0.001 is out of range; must be > 0"),
    "no steps": (HEAD + "[relax]\nmax_steps = 0\n", "must be >= 1"),
    "half steps": (HEAD + "[relax]\nmax_steps = 1.5\n", "1.5 is not an integer"),
    "minimizer": (HEAD + '[relax]\nminimizer = "bfgs"\n', "did you mean lbfgs?"),
    "cell": (HEAD + '[relax]\ncell = "free"\n', "allowed: fixed, isotropic, full"),
    "pressure": (HEAD + "[relax]\npressure = 1.0\n", "has no effect while the cell is fixed"),
    "polish": (HEAD + '[relax]\npolish = "no"\n', '"no" is not true or false'),
    "rtol": (HEAD + "[sensitivity]\nrtol = 1\n", "must be < 1"),
    "solver": (HEAD + '[sensitivity]\nsolver = "lu"\n', "allowed: auto, dense, sparse, cg, minres"),
    "observables": (HEAD + '[sensitivity]\nobservables = "energy"\n', '"energy" is not a list'),
    "number in list": (HEAD + "[sensitivity]\nobservables = [1]\n", "observables.0: 1 is not a string"),
    "observable": (HEAD + '[sensitivity]\nobservables = ["presure"]\n', "did you mean pressure?"),
    "twice": (HEAD + '[sensitivity]\nwrt = ["alpha", "alpha"]\n', '"alpha" is there twice'),
    "wrt": (HEAD + '[sensitivity]\nwrt = ["sigma"]\n', "allowed: epsilon, alpha, diameter"),
    "inactive": (HEAD.replace("soft_sphere", "morse") + '[sensitivity]\nwrt = ["onset"]\n', "onset"),
    "positions": (HEAD + "[sensitivity]\npositions = true\n", "but wrt is empty"),
    "dimension": (HEAD.replace("[potential]", "dimension = 4\n[potential]", 1), "allowed: 2, 3"),
    "units": (HEAD.replace("[potential]", 'units = "real"\n[potential]', 1), "metal, reduced"),
    "parameter bool": (HEAD + "epsilon = true\n", "potential.parameters.epsilon: true"),
    "parameter list": (HEAD + "epsilon = [1]\n", "or the name of a column"),
    "parameter NaN": (HEAD + "epsilon = nan\n", "nan is not finite"),
    "table of text": (HEAD + 'epsilon = {A = "x"}\n', "potential.parameters.epsilon"),
    "huge integer": (HEAD + f"epsilon = 1{'0' * 400}\n", "potential.parameters.epsilon"),
    "syntax": (HEAD + "x = = 1\n", "line 10, column 5: "),
    "depth": ("a = " + "[" * 5000, "correct the TOML"),
    "control": ("\0", "line 1, column 1"),
}  # fmt: skip


@pytest.mark.parametrize("text, telling", BAD.values(), ids=BAD)
def test_faults(refused, text, telling):
    line = refused(text)
    assert telling in line
    assert len(line) < 400


def test_files_that_are_no_text(tmp_path, told):
    path = tmp_path / "run.toml"
    assert "no such file" in told(InputError, lambda: spec.load(path))
    assert "is a folder" in told(InputError, lambda: spec.load(tmp_path))
    path.touch()
    assert "empty" in told(InputError, lambda: spec.load(path))
    path.write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in told(InputError, lambda: spec.load(path))


def test_overrides(tmp_path):
    items = (
        "relax.cell=full",
        "relax.fmax = 1e-8",
        "sensitivity.positions=true",
        'sensitivity.wrt=["alpha"]',
        "potential.parameters.epsilon={A = 1.0, B = 2}",
        "potential.parameters.diameter=size",
        "system.structure=other-file_2.xyz",
    )
    loaded = spec.load(write_inputs(tmp_path), items)
    tables = loaded.tables
    assert (tables.relax.cell, tables.relax.fmax) == ("full", 1e-8)
    assert (tables.sensitivity.positions, tables.sensitivity.wrt) == (True, ["alpha"])
    assert tables.potential.parameters == {"epsilon": {"A": 1.0, "B": 2.0}, "diameter": "size"}
    assert loaded.structure.name == "other-file_2.xyz"
    assert loaded.overrides == items


@pytest.mark.parametrize(
    "item, telling",
    [
        ("relax.fmax", "table.key=value"),
        ("=1", "table.key=value"),
        ("a b=1", "table.key=value"),
        ("system.structure.x=1", "structure is not a table"),
        ("sensitivity.wrt=[diameter]", "quote it"),
        ("relax.cell=two words", "quote it"),
        ("relax.fmax=1\nrelax.cell=2", "quote it"),
        ("relax.fmx=1", "did you mean fmax?"),
        ("relax.fmax=big", "is not a number"),
        ("relaxation.fmax=1", "relaxation: unknown key"),
    ],
)
def test_bad_overrides(refused, item, telling):
    assert telling in refused(RUN_TOML, item)
