"""The notebooks run from top to bottom, as for a reader; what they assert is what is tested."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import FOR_THIS_PROCESS

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
# Loops of a thousand steps run long enough for optimisation to pay.
OPTIMISED = {"08_implicit_against_unrolled"}
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture
def environment(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a kernel started by the test inherits."""
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(jax.config.jax_compilation_cache_dir))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    if path.stem not in OPTIMISED:
        monkeypatch.setenv("XLA_FLAGS", FOR_THIS_PROCESS["XLA_FLAGS"])
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


@each
@pytest.mark.usefixtures("environment")
def test_it_runs_without_a_warning(path: Path, tmp_path: Path):
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, kernel_name="python3", timeout=600, resources=place).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)


@each
def test_it_is_kept_without_outputs(path: Path):
    assert path.stat().st_size < 100_000
    notebook = json.loads(path.read_text())
    assert set(notebook["metadata"]) <= {"kernelspec", "language_info"}
    for cell in notebook["cells"]:
        assert not cell.get("outputs") and not cell.get("execution_count") and not cell["metadata"]


def test_there_are_notebooks():
    assert NOTEBOOKS
