"""The command in this process: its exit code, standard output and standard error."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from mdsens.cli import main
from tests.io.handmade import SIDE, write_inputs


class Told(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def _jax_is_configured():
    """The tests' own settings stay; what the command sets is tested in a process of its own."""
    patch = pytest.MonkeyPatch()
    patch.setattr("mdsens.cli.environment.configure_jax", lambda: None)
    yield
    patch.undo()


@pytest.fixture
def mdsens(capsys, tmp_path, monkeypatch):
    """`mdsens("run", "run.toml")` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str | Path) -> Told:
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        return Told(code, *capsys.readouterr())

    return command


@pytest.fixture
def refused(mdsens):
    """`refused(code, ...)`: the one line on stderr with which a command fails."""

    def sentence(code: int, *arguments: str | Path) -> str:
        told = mdsens(*arguments)
        assert told.code == code, told
        assert told.out == ""
        assert told.err.startswith("mdsens: error: ")
        assert told.err.count("\n") == 1
        return told.err.removeprefix("mdsens: error: ").rstrip("\n")

    return sentence


@pytest.fixture
def run_toml(tmp_path) -> str:
    write_inputs(tmp_path)
    return "run.toml"


@pytest.fixture
def shaken_rows() -> list[str]:
    """The square lattice off its saddle: it relaxes to a proper minimum."""
    rng = np.random.default_rng(3)
    return [
        f"X {x + u:.6f} {y + v:.6f} 0.0 {'AB'[(x + y) % 2]} {1.1 + 0.25 * ((x + y) % 2)}"
        for x in range(SIDE)
        for y in range(SIDE)
        for u, v in [0.2 * rng.normal(size=2)]
    ]
