"""Help, checks and the bare import answer without paying for JAX."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAVY = ("jax", "jax_md", "ase", "h5py", "scipy", "matplotlib", "pandas")

PROBE = """
import sys
try:
    {code}
except SystemExit as done:
    assert not done.code, done.code
finally:
    print("LOADED:", *({heavy!r} & sys.modules.keys()))
"""


def loaded_by(code: str, heavy: tuple[str, ...], cwd) -> tuple[str, float]:
    """Which of `heavy` a fresh interpreter has loaded after `code`, and the seconds it took."""
    probe = PROBE.format(code=code, heavy=set(heavy))
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", probe], cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.rpartition("LOADED:")[2].strip(), time.perf_counter() - start


def test_bare_import_is_light(tmp_path):
    heavy, seconds = loaded_by("import mdsens", (*HEAVY, "numpy"), tmp_path)
    assert heavy == ""
    assert seconds < 2.0  # 0.1 s on a quiet machine


def command(*arguments: str) -> str:
    return f"sys.argv = ['mdsens', *{arguments!r}]; from mdsens.cli import main; sys.exit(main())"


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("run", "--help"), ("list", "potentials"), ("list", "observables")],
    ids=" ".join,
)
def test_words_need_no_numerics(arguments, tmp_path):
    heavy, _ = loaded_by(command(*arguments), HEAVY, tmp_path)
    assert heavy == ""


def test_check_needs_no_jax(repository, tmp_path):
    runs = sorted((repository / "systems").glob("*/run.toml"))
    assert runs
    for path in (runs[0], repository / "systems/silicon_bulk/fit.toml"):
        heavy, _ = loaded_by(command("check", str(path)), ("jax", "jax_md"), tmp_path)
        assert heavy == ""


def test_every_public_name_exists():
    import mdsens

    assert set(mdsens.__all__) <= set(dir(mdsens))
    for name in mdsens.__all__:
        assert getattr(mdsens, name) is not None, name


def test_module_is_the_command(tmp_path):
    told = [
        subprocess.run([*start, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
        for start in (
            [sys.executable, "-m", "mdsens"],
            [str(Path(sys.executable).parent / "mdsens")],
        )
    ]
    assert told[0].stdout == told[1].stdout
