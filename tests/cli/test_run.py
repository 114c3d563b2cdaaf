"""The real thing, from files to files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mdsens.io.results import read_result
from tests.io.handmade import RUN_TOML, N, extxyz, write_inputs

POSITIONS = "sensitivity.positions=true"
SHIPPED = sorted((Path(__file__).resolve().parents[2] / "systems").glob("*/run.toml"))


@pytest.fixture
def shaken(tmp_path, shaken_rows):
    write_inputs(tmp_path, RUN_TOML, extxyz(shaken_rows))
    return "run.toml"


def test_run_and_show_and_plot(mdsens, shaken, tmp_path):
    told = mdsens("run", shaken, "--set", POSITIONS)
    assert (told.code, told.err) == (0, "")
    for word in ("d pressure / d diameter", "stable minimum", "wall time", "written to run.h5"):
        assert word in told.out
    result = read_result(tmp_path / "run.h5")
    assert result.certificate.converged
    assert result.sensitivity["pressure"]["diameter"].value.shape == (N,)
    assert result.sensitivity["positions"]["diameter"].value.shape == (N, N, 2)
    # E is linear in epsilon, and so is the pressure of a packing that does not move by it.
    for name in ("energy", "pressure"):
        total = result.sensitivity[name]["epsilon"].value
        assert np.allclose(total, result.observables[name], rtol=1e-10)
    assert {"wall_relax_s", "wall_sensitivity_s", "wall_compile_s", "wall_total_s"} <= set(
        result.provenance
    )
    assert "stable minimum" in mdsens("show", "run.h5").out
    assert mdsens("plot", "run.h5").code == 0


def test_shipped_systems_are_sound(mdsens):
    assert len(SHIPPED) >= 4
    for path in SHIPPED:
        told = mdsens("check", path)
        assert (told.code, told.err) == (0, ""), path


@pytest.mark.slow
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_shipped_systems_run(mdsens, path, tmp_path):
    """Certified, and no derivative that is not finite."""
    told = mdsens("run", path)
    assert (told.code, told.err) == (0, "")
    result = read_result(tmp_path / "run.h5")
    c = result.certificate
    assert c.converged
    assert c.negative_modes == 0
    assert c.derivative_error < 1e-8
    values = [s.value for by in result.sensitivity.values() for s in by.values()]
    assert values
    assert all(np.isfinite(v).all() for v in values)


def test_verify(mdsens, shaken):
    told = mdsens("verify", shaken, "--set", 'sensitivity.wrt=["epsilon"]')
    assert (told.code, told.err) == (0, "")
    assert told.out.count("agrees") == 2


def test_not_converged(refused, shaken, tmp_path):
    line = refused(3, "run", shaken, "--set", "relax.max_steps=1", "--set", "relax.polish=false")
    assert line.startswith("run.toml: relax: ")
    assert line.endswith("state and certificate are in run.h5")
    result = read_result(tmp_path / "run.h5")
    assert not result.certificate.converged
    assert result.sensitivity == {}


def test_saddle(refused, run_toml, tmp_path):
    line = refused(4, "run", run_toml)
    assert "saddle" in line
    result = read_result(tmp_path / "run.h5")
    assert result.certificate.negative_modes > 0
    assert result.sensitivity == {}


INTERRUPTED = """
import os, signal, sys
from mdsens import cli
from mdsens.cli.environment import configure_jax
configure_jax()  # as the command does, before JAX is there
from mdsens import derivatives
from tests.io import handmade

derivatives.sensitivity = lambda *_, **__: handmade.result()
replace = os.replace

def late(source, target):
    assert os.path.exists(source)
    try:
        os.kill(os.getpid(), signal.{name})
        for _ in range(1000): pass
    except BaseException:
        pass  # as code does that has no business catching it
    replace(source, target)

os.replace = late
sys.argv = ["mdsens", "run", sys.argv[1], "-o", sys.argv[2]]
sys.exit(cli.main())
"""


@pytest.mark.parametrize("name, code", [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_process_that_is_interrupted(run_toml, tmp_path, repository, name, code):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            INTERRUPTED.format(name=name),
            tmp_path / run_toml,
            tmp_path / "o.h5",
        ],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (code, "mdsens: error: interrupted; run it again\n")
    assert {p.name for p in tmp_path.iterdir()} == {"run.toml", "discs.extxyz"}


def test_unwritable_cache_is_a_warning(tmp_path):
    """The command in a process of its own: 64-bit floats, and one line about the cache."""
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "mdsens", "doctor"],
        cwd=tmp_path,
        env={**os.environ, "MDSENS_CACHE_DIR": str(tmp_path / "file" / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "not writable" in " ".join(done.stdout.split())  # long paths wrap
    assert done.stderr == ""
