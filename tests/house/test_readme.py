"""The README runs: its Python is executed, the numbers it shows come out."""

from __future__ import annotations

import re

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser


@pytest.fixture
def readme(repository) -> str:
    return (repository / "README.md").read_text()


def test_python(readme, repository, monkeypatch, tmp_path):
    # The examples read files of the repository and may write into the current folder.
    (tmp_path / "systems").symlink_to(repository / "systems")
    monkeypatch.chdir(tmp_path)
    document = Sybil(parsers=[PythonCodeBlockParser()]).parse(repository / "README.md")
    examples = list(document.examples())
    assert examples
    for example in examples:
        example.evaluate()
    names = document.namespace
    result = names["result"]
    assert f"certificate  {result.certificate.outcome}" in readme
    assert f"pressure      {float(result.observables['pressure']):.10g} " in readme
    sensitivity = result.sensitivity["pressure"]["diameter"].value
    assert names["gradient"]["diameter"] == pytest.approx(sensitivity, rel=1e-8, abs=1e-12)
    assert f"norm {(sensitivity**2).sum() ** 0.5:.6g} " in readme


def test_names(readme):
    """What the table "What there is" lists is what exists."""
    from mdsens.catalogue import MINIMIZERS, OBSERVABLES, POTENTIALS

    catalogues = {"potentials": POTENTIALS, "observables": OBSERVABLES, "minimizers": MINIMIZERS}
    for row, catalogue in catalogues.items():
        cell = re.search(rf"^\| {row} \| (.*?) \|$", readme, re.MULTILINE)
        assert cell
        assert set(re.findall(r"`(\w+)`", cell[1])) == set(catalogue) - {"auto"}
