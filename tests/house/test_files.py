"""What is tracked: small files, no trace of one machine, one version number."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

ALLOWED_TOP = {
    "mdsens", "systems", "scripts", "tests", "docs", "notebooks", ".ci", ".gitignore", "pyproject.toml",
    "LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md",
}  # fmt: skip
# Home and scratch folders of whoever wrote the file.
MACHINE_PATH = re.compile(rb"(?<![\w.~}$])/(?:root|home/\w|Users/\w|work/\w|tmp/\w|scratch/\w)")


@pytest.fixture(scope="module")
def tracked(repository) -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    paths = [repository / name for name in done.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_files_are_small(tracked):
    large = [path for path in tracked if path.stat().st_size >= 2**20]
    assert not large, large


def test_no_file_names_a_machine(tracked):
    named = [path for path in tracked if MACHINE_PATH.search(path.read_bytes())]
    assert not named, named


def test_the_top_folder_stays_tidy(tracked, repository):
    tops = {path.relative_to(repository).parts[0] for path in tracked}
    assert tops <= ALLOWED_TOP, tops - ALLOWED_TOP


def test_every_system_says_where_it_comes_from(repository):
    for folder in (repository / "systems").iterdir():
        assert (folder / "run.toml").is_file(), folder
        assert "licence" in (folder / "README.md").read_text().lower(), folder


def test_one_version(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"]
    newest = re.search(r"^## (\S+)", (repository / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest and newest[1] == project
    assert version("mdsens") == project
