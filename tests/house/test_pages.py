"""The pages run: their Python as it stands, from top to bottom, and the commands of the tutorial."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from sybil import Sybil
from sybil.example import Example
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from mdsens.cli import main
from mdsens.cli.commands import app

slow = pytest.mark.slow
# Where a page with Python that is not in PAGES is run.
ELSEWHERE = {"README", "implicit", "sweeps"}
# Pages in one line share a folder.
PAGES = [
    "add_condition",
    "add_observable",
    "add_potential",
    pytest.param("ase", marks=slow),
    pytest.param("figures", marks=slow),
    pytest.param("jax_md", marks=slow),
    pytest.param("thermal", marks=slow),
    pytest.param("tutorial output_files", marks=slow),
]


@pytest.fixture
def folder(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one but for the systems, and commands that leave JAX as it is."""
    (tmp_path / "systems").symlink_to(repository / "systems")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mdsens.cli.environment.configure_jax", lambda: None)
    return tmp_path


def commands(text: str) -> Iterator[list[str]]:
    """Calls of mdsens in a shell block, word by word."""
    lines = (shlex.split(line, comments=True) for line in text.splitlines())
    return (words[1:] for words in lines if words[:1] == ["mdsens"])


def call(example: Example) -> None:
    for arguments in commands(example.parsed):
        assert main(arguments) == 0, arguments


@pytest.mark.parametrize("pages", PAGES)
def test_pages(pages, repository, folder):
    parsers = [PythonCodeBlockParser()]
    if "tutorial" in pages:
        parsers.append(CodeBlockParser(language="bash", evaluator=call))
    # jax-md leans on broadcasting.
    with jax.numpy_rank_promotion("allow" if pages == "jax_md" else "raise"):
        for page in pages.split():
            document = Sybil(parsers=parsers).parse(repository / "docs" / f"{page}.md")
            for example in document.examples():
                example.evaluate()


def test_every_page_with_python_is_run(repository):
    """Blocks that are not meant to be are fenced as `python notest`."""
    run = {name for pages in PAGES for name in getattr(pages, "values", (pages,))[0].split()}
    found = [*(repository / "docs").rglob("*.md"), repository / "README.md"]
    assert {path.stem for path in found if "```python\n" in path.read_text()} <= run | ELSEWHERE


def test_commands_exist(repository):
    known = {c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    for path in [*(repository / "docs").rglob("*.md"), repository / "README.md"]:
        for block in path.read_text().split("```bash\n")[1:]:
            shell = block.partition("```")[0]
            for arguments in commands(shell):
                assert arguments[0] in known, (path.name, arguments)
            for file in re.findall(r"(?:^|\s)((?:systems|scripts)/\S+)", shell):
                assert (repository / file).is_file(), (path.name, file)
