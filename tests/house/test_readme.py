"""The README runs: its Python is executed, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser


def test_python_of_the_readme(repository, monkeypatch, tmp_path):
    # The examples read files of the repository and may write into the current folder.
    (tmp_path / "systems").symlink_to(repository / "systems")
    monkeypatch.chdir(tmp_path)
    document = Sybil(parsers=[PythonCodeBlockParser()]).parse(repository / "README.md")
    examples = list(document.examples())
    assert examples
    for example in examples:
        example.evaluate()


def test_commands_of_the_readme_exist(repository):
    text = (repository / "README.md").read_text()
    scripts = set(re.findall(r"\bscripts/\w+", text))
    assert {"scripts/quickstart", "scripts/test"} <= scripts
    assert all(Path(repository, script).is_file() for script in scripts)
