"""docs/sweeps.md: its reading example runs on a merged file, which is laid out as it says."""

from __future__ import annotations

import re

import h5py
import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from mdsens.sweeps.merge import merge


def test_reading_example(shards, fake, work, tmp_path, repository, monkeypatch, capsys):
    pytest.importorskip("pandas")
    work(shards)
    merge(shards, tmp_path / "sweep.h5")
    monkeypatch.chdir(tmp_path)
    document = Sybil(parsers=[PythonCodeBlockParser()]).parse(repository / "docs" / "sweeps.md")
    examples = list(document.examples())
    assert len(examples) == 1
    examples[0].evaluate()
    table = document.namespace["table"]
    assert table.index.names == ["potential.parameters.epsilon", "potential.parameters.alpha"]
    with h5py.File("sweep.h5") as file:
        assert table["pressure"].loc[1.25, 2.5] == file["observables/pressure"][1, 1]
    assert "not converged" in table["outcome"].loc[1.25, 2.5]
    assert "potential.parameters.epsilon" in capsys.readouterr().out


def test_layout(shards, fake, work, tmp_path, repository):
    text = (repository / "docs" / "sweeps.md").read_text()
    told = text.partition("## The merged file\n```\n")[2].partition("```")[0]
    work(shards)
    merge(shards, tmp_path / "sweep.h5")
    with h5py.File(tmp_path / "sweep.h5") as file:
        for group, members in file.items():
            assert re.search(rf"/{group}\b", told), group
            if group in ("items", "state", "provenance"):
                missing = {name for name in members if not re.search(rf"\b{name}\b", told)}
                assert not missing, (group, missing)
        groups = set(re.findall(r"(?:^|, )/(\w+)", told, re.MULTILINE))
        assert groups == set(file)
