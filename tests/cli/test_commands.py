"""The commands that need no computation, on results made by hand; and how a run can end."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mdsens import derivatives
from mdsens.cli import environment, main, progress
from mdsens.cli.doctor import CANARY_TOLERANCE, canary
from mdsens.errors import DerivativeUndefined, NotConverged
from mdsens.io.results import read_result, write_result
from tests.io import handmade


@pytest.fixture
def out_h5(tmp_path):
    write_result(handmade.result(), tmp_path / "out.h5")
    return "out.h5"


def test_help_and_version(mdsens):
    assert mdsens("--help").out == mdsens().out
    assert mdsens("--version").out.startswith("mdsens ")
    for command in ("run", "check", "verify", "show", "plot", "list", "doctor"):
        told = mdsens(command, "--help")
        assert (told.code, told.err) == (0, "")


def test_check(mdsens, run_toml, tmp_path):
    told = mdsens("check", run_toml)
    assert (told.code, told.err) == (0, "")
    assert "16 particles in 2D, periodic in x y" in told.out
    assert "run.toml is fine" in told.out
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "what, telling",
    [
        ("potentials", ("soft_sphere", "diameter D of a particle", "angstrom or reduced", "doi:")),
        ("observables", ("eV/angstrom^3", "not differentiable")),
        ("minimizers", ("precon_fire", "doi:")),
    ],
)
def test_list(mdsens, what, telling):
    told = mdsens("list", what)
    assert told.code == 0
    assert all(word in told.out for word in telling)


def test_export(mdsens, refused, out_h5, tmp_path):
    for options, name in ((("--to", "lammps"), "out.data"), (("-o", "s.csv"), "s.csv")):
        told = mdsens("export", out_h5, *options)
        assert (told.code, told.out, told.err) == (0, f"written to {name}\n", "")
        assert (tmp_path / name).stat().st_size
    assert "give --to or -o" in refused(2, "export", out_h5)
    assert "no folder" in refused(5, "export", out_h5, "-o", "nowhere/s.csv")


def test_show(mdsens, out_h5):
    told = mdsens("show", out_h5)
    assert (told.code, told.err) == (0, "")
    for word in ("A-Bé 1.5", "d pressure / d epsilon[A-Bé]", "stable minimum", "1 rattler", "wall"):
        assert word in told.out


def test_show_json(mdsens, out_h5):
    told = json.loads(mdsens("show", out_h5, "--json").out)
    assert told["observables"]["energy"] == {"units": "reduced", "shape": [], "value": 0.5}
    assert told["sensitivity"]["pressure"]["epsilon"]["keys"] == ["A-A", "A-Bé", "Bé-Bé"]
    assert told["sensitivity"]["positions"]["diameter"]["shape"] == [16, 16, 2]
    assert told["certificate"]["rattler_indices"] == [3]


def test_json_has_no_nan(mdsens, tmp_path):
    from dataclasses import replace

    unknown = replace(handmade.result(), certificate=handmade.certificate(lambda_min=np.nan))
    write_result(unknown, tmp_path / "out.h5")
    told = json.loads(mdsens("show", "out.h5", "--json").out)
    assert told["certificate"]["lambda_min"] is None


def test_plot(mdsens, out_h5, tmp_path):
    assert mdsens("plot", out_h5).out == "written to out.png\n"
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert mdsens("plot", out_h5, "-o", "figure.svg").code == 0
    assert "</svg>" in (tmp_path / "figure.svg").read_text()


def test_report(mdsens, refused, out_h5, tmp_path):
    assert mdsens("report", out_h5).out == "written to out.html\n"
    assert "16 particles in 2D" in (tmp_path / "out.html").read_text()
    assert "no folder" in refused(5, "report", out_h5, "-o", "none/page.html")


def test_plot_into_nowhere(refused, out_h5, tmp_path):
    assert "allowed: .png, .svg, .pdf" in refused(2, "plot", out_h5, "-o", "figure.gif")
    assert "no folder" in refused(5, "plot", out_h5, "-o", "none/figure.png")
    assert {p.name for p in tmp_path.iterdir()} == {"out.h5"}


@pytest.mark.parametrize("command", ["show", "plot", "report"])
def test_results_that_are_none(refused, tmp_path, command):
    assert "no such file" in refused(2, command, "none.h5")
    (tmp_path / "x.h5").write_text("text")
    assert "not an HDF5 file" in refused(5, command, "x.h5")


def test_doctor(mdsens):
    told = mdsens("doctor")
    assert (told.code, told.err) == (0, "")
    for word in ("jax", "devices", "64-bit floats", "sound", "compilation cache", "writable"):
        assert word in told.out


def test_doctor_finds_wrong_numbers(mdsens, monkeypatch):
    monkeypatch.setattr("mdsens.cli.doctor.canary", lambda: 0.5)
    told = mdsens("doctor")
    assert told.code == 4
    assert "WRONG NUMBERS" in told.out
    assert told.err.startswith("mdsens: error: doctor: canary: ")


def test_canary_sings():
    assert canary() < CANARY_TOLERANCE


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("MDSENS_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert environment.cache_folder() == tmp_path / ".cache" / "mdsens"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert environment.cache_folder() == tmp_path / "xdg" / "mdsens"
    monkeypatch.setenv("MDSENS_CACHE_DIR", str(tmp_path / "mine"))
    assert environment.cache_folder() == tmp_path / "mine"
    assert environment.why_unwritable(tmp_path / "mine") is None
    (tmp_path / "file").touch()
    assert environment.why_unwritable(tmp_path / "file" / "cache")


# How a run can end. What would be computed is made by hand.


@pytest.fixture
def computed(monkeypatch):
    """`computed(outcome)`: the result of every computation, or the exception it raises."""

    def set_outcome(outcome):
        def sensitivity(*_, **__):
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr(derivatives, "sensitivity", sensitivity)

    return set_outcome


def test_run(mdsens, run_toml, computed, tmp_path):
    computed(handmade.result())
    told = mdsens("run", run_toml, "--set", "relax.fmax=1e-9")
    assert (told.code, told.err) == (0, "")
    assert told.out.endswith("written to run.h5\n")
    provenance = read_result(tmp_path / "run.h5").provenance
    assert provenance["run_toml"] == (tmp_path / "run.toml").read_text()
    assert provenance["overrides"] == "relax.fmax=1e-9"
    assert provenance["structure_hash"].startswith("sha256:")


@pytest.mark.parametrize("error, code", [(NotConverged, 3), (DerivativeUndefined, 4)])
def test_run_without_derivative(refused, run_toml, computed, tmp_path, error, code):
    from dataclasses import replace

    computed(error("relax: too few steps; allow more", replace(handmade.result(), sensitivity={})))
    line = refused(code, "run", run_toml, "-o", "out.h5")
    assert line == (
        "run.toml: relax: too few steps; allow more; state and certificate are in out.h5"
    )
    assert read_result(tmp_path / "out.h5").sensitivity == {}


def test_bugs_are_one_line_too(refused, run_toml, computed, tmp_path):
    computed(ZeroDivisionError("one\ntwo \x1b[31m"))
    line = refused(1, "run", run_toml)
    assert line == r"internal: ZeroDivisionError: one two \x1b[31m; run again with -T and report it"
    assert not (tmp_path / "run.h5").exists()


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_while_writing(
    refused, run_toml, computed, tmp_path, monkeypatch, number, code
):
    computed(handmade.result())
    before = signal.getsignal(signal.SIGTERM)
    sync, calls = os.fsync, []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) > 2:  # not yet while the folder is only tried
            os.kill(os.getpid(), number)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert "ted" in refused(code, "run", run_toml)
    assert {p.name for p in tmp_path.iterdir()} == {"run.toml", "discs.extxyz"}
    assert signal.getsignal(signal.SIGTERM) is before


def test_reader_that_leaves(run_toml, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)

    def gone(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr("mdsens.cli.tables.print_input", gone)
    stdout = sys.stdout
    try:
        assert main(["check", run_toml]) == 141
    finally:
        sys.stdout = stdout
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_only(monkeypatch):
    with progress.progress_bars() as report:
        assert report is None
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with progress.progress_bars() as report:
        assert report is not None
        report("relax", 10, 100, "fmax 1e-3")
        report("relax", 20, None, "fmax 1e-4")
        report("solve", 1, 2, "diameter")
    assert "relax" in screen.getvalue()


def test_quiet(mdsens, refused, run_toml, out_h5, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.silence(), progress.progress_bars() as report:
        assert report is None
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    for arguments in ("-q", "show", out_h5), ("plot", out_h5, "--quiet"), ("check", run_toml, "-q"):
        assert mdsens(*arguments) == (0, "", "")
    assert (tmp_path / "out.png").exists()
    assert "no such file" in refused(2, "show", "none.h5", "-q")


def test_completion():
    """What the shell asks for after `mdsens sweep s`."""
    asked = {"_MDSENS_COMPLETE": "complete_bash", "COMP_WORDS": "mdsens sweep s", "COMP_CWORD": "2"}
    told = subprocess.run(
        [Path(sys.executable).parent / "mdsens"], env={**os.environ, **asked},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.split() == ["submit", "status"]
