"""Every bad input: one line, exit code 2, the same from `check` and `run`, and no output file."""

from __future__ import annotations

import pytest

from tests.io.handmade import HEADER, RUN_TOML, extxyz, write_inputs

LENNARD_JONES = RUN_TOML.replace("soft_sphere", "lennard_jones").replace(
    'diameter = "diameter"', "sigma = 1.0\nepsilon = 1.0\ncutoff = 2.5"
).replace('["diameter", "epsilon"]', "[]")  # fmt: skip
FREE = HEADER.replace("T T F", "F F F")


def toml(old: str, new: str) -> tuple[str, None]:
    changed = RUN_TOML.replace(old, new)
    assert changed != RUN_TOML
    return changed, None


def rows(*lines: str) -> tuple[str, str]:
    return RUN_TOML, extxyz(list(lines))


FIRST = "X 0 0 0 A 1.0"

BAD = {
    "unknown key": (*toml("wrt", "wrst"), "sensitivity.wrst: unknown key; allowed:"),
    "unknown potential": (*toml("soft_sphere", "hard_sphere"), "allowed: soft_sphere"),
    "unknown observable": (*toml('"energy"', '"enthalpy"'), "allowed: energy, pressure"),
    "unknown parameter": (*toml("diameter =", "size ="), "allowed: epsilon, alpha, diameter"),
    "unknown column": (*toml('= "diameter"', '= "size"'), 'no per-particle column "size"'),
    "missing parameter": (
        *toml('diameter = "diameter"', ""),
        "diameter: missing and has no default",
    ),
    "unknown species in a table": (
        *toml('diameter = "diameter"', "diameter = 1.0\nepsilon = {A-C = 1.0}"),
        '"A-C" names no species',
    ),
    "incomplete table": (
        *toml('diameter = "diameter"', "diameter = 1.0\nepsilon = {A-A = 1.0}"),
        "no entry for A-B, B-B",
    ),
    "wrong type": (*toml('"diameter"\n', "true\n"), "true is not a parameter"),
    "negative diameter": (*toml('"diameter"\n', "-1.0\n"), "value -1 must be finite and > 0"),
    "negative diameter of one": (*rows(FIRST, "X 1 1 0 A -1"), "value -1 of particle 1"),
    "syntax": (*toml("[potential]", "[potential"), "line 4, column"),
    "missing structure": (*toml("discs.extxyz", "none.extxyz"), "no such file"),
    "folder": (*toml("discs.extxyz", "."), "is a folder"),
    "frame": (*toml('.extxyz"', '.extxyz"\nindex = 7'), "no frame 7; the file has 1 frame"),
    "coincident": (*rows(FIRST, "X 1 1 0 A 1", FIRST), "particles 0 and 2: coincide (distance 0)"),
    "coincident images": (
        *rows("X 0 1 0 A 1", "X 4 -3 0 A 1"),
        "particles 0 and 1: coincide (distance 0)",
    ),
    "NaN": (*rows(FIRST, "X nan 1 0 A 1"), "particle 1: position [nan, 1.0] is not finite"),
    "infinite": (*rows("X inf 1 0 A 1"), "particle 0"),
    "NaN cell": (RUN_TOML, extxyz(header=HEADER.replace("4.0", "nan")), "is not finite"),
    "zero volume": (RUN_TOML, extxyz(header=HEADER.replace("4.0", "0.0")), "vector 0 is zero"),
    "left-handed": (RUN_TOML, extxyz(header=HEADER.replace("4.0", "-4.0", 1)), "left-handed"),
    "unknown species": (*rows("Qq 0 0 0 A 1"), "unknown species 'Qq'"),
    "empty": (RUN_TOML, "", "is empty"),
    "truncated": (RUN_TOML, extxyz(count=99), "the file ends after 16"),
    "binary": (RUN_TOML, "\0\1\2", "not a text file"),
    "absurd": (RUN_TOML, extxyz(count=999999999), "cannot hold them"),
    "pressure of a cluster": (RUN_TOML, extxyz(header=FREE), 'but pbc is "F F F"'),
    "contacts unknown": (
        LENNARD_JONES.replace('"energy"', '"coordination"'),
        None,
        "lennard_jones does not know",
    ),
    "free cell of a cluster": (
        RUN_TOML.replace(', "pressure"', "") + '[relax]\ncell = "full"\n',
        extxyz(header=FREE),
        "needs a cell that is periodic in every direction",
    ),
}


@pytest.fixture(autouse=True)
def _before_jax(monkeypatch):
    def too_late():
        raise AssertionError("JAX was reached")

    monkeypatch.setattr("mdsens.cli.environment.configure_jax", too_late)


@pytest.mark.parametrize("text, structure, telling", BAD.values(), ids=BAD)
def test_one_line(refused, tmp_path, text, structure, telling):
    write_inputs(tmp_path, text, structure)
    line = refused(2, "check", "run.toml")
    assert telling in line
    assert line.startswith(("run.toml: ", "discs.extxyz: ", "none.extxyz: ", ".: "))
    assert "; " in line
    assert refused(2, "run", "run.toml") == line
    assert refused(2, "verify", "run.toml") == line
    assert {path.name for path in tmp_path.iterdir()} == {"run.toml", "discs.extxyz"}


def test_run_file(refused, tmp_path):
    for name in ("none.toml", "."):
        assert refused(2, "run", name) == refused(2, "check", name)
    (tmp_path / "run.toml").write_bytes(b"\xff\xfe")
    assert "UTF-8" in refused(2, "run", "run.toml")


def test_overrides(refused, run_toml):
    line = refused(2, "run", run_toml, "--set", "relax.fmx=1")
    assert "did you mean fmax?" in line
    assert refused(2, "check", run_toml, "--set", "relax.fmx=1") == line
    assert "table.key=value" in refused(2, "run", run_toml, "--set", "relax")


def test_nothing_to_verify(refused, run_toml):
    assert "wrt" in refused(2, "verify", run_toml, "--set", "sensitivity.wrt=[]")


@pytest.mark.parametrize(
    "arguments, telling",
    [
        (("fly",), "No such command 'fly'"),
        (("run",), "Missing argument 'RUN.toml'"),
        (("run", "x.toml", "y.toml"), "unexpected extra argument"),
        (("run", "x.toml", "--fast"), "No such option: --fast"),
        (("run", "x.toml", "-o"), "requires an argument"),
        (("--fast",), "No such option: --fast"),
        (("list", "colours"), "'potentials', 'observables', 'minimizers'"),
        (("list",), "Missing argument"),
    ],
    ids=" ".join,
)
def test_options(refused, arguments, telling):
    line = refused(2, *arguments)
    assert telling in line
    assert line.endswith("--help`")


@pytest.mark.parametrize(
    "output, telling",
    [("none/out.h5", "no folder"), (".", "is a folder"), ("/proc/self/out.h5", "output: ")],
)
def test_output_is_checked_before_relaxing(refused, run_toml, output, telling):
    line = refused(5, "run", run_toml, "-o", output)
    assert line.startswith(f"{output}: output: ")
    assert telling in line


def test_traceback_on_demand(mdsens):
    from mdsens.errors import InputError

    for arguments in (("-T", "check", "none.toml"), ("check", "none.toml", "--traceback")):
        with pytest.raises(InputError):
            mdsens(*arguments)
