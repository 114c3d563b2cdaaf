"""The documentation: every page is found, every link leads somewhere, and nothing public is left out."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

import mdsens
from mdsens.fits import spec as fit
from mdsens.io import spec as run
from mdsens.sweeps import spec as sweep

FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
TREE = re.compile(r"```\{toctree\}\n(?::[^\n]*\n)*\n(.*?)```", re.DOTALL)
DIRECTIVE = re.compile(r"^\.\. auto(\w+):: (\S+)((?:\n   :\S+:)*)", re.MULTILINE)

TABLES: dict[str, type[BaseModel]] = {
    "`[system]`": run.SystemTable,
    "`[potential]`": run.PotentialTable,
    "`[relax]`": run.RelaxTable,
    "`[sensitivity]`": run.SensitivityTable,
    "`[ensemble]`": run.EnsembleTable,
    "`[free]`": fit.FreeTable,
    "`[fit]`": fit.FitTable,
    "`[[data]]`": fit.DataTable,
    "`[[crystal]]`": fit.CrystalTable,
    "`want`": fit.PropertyTable,
    "`[[defect]]`": fit.DefectTable,
    "`[[surface]]`": fit.SurfaceTable,
    "`[[barrier]]`": fit.BarrierTable,
    "`[[average]]`": fit.AverageTable,
    "SWEEP.toml": sweep.SweepTables,
    "`[plan]`": sweep.PlanTable,
}


@pytest.fixture(scope="module")
def pages(repository: Path) -> dict[Path, str]:
    docs = sorted((repository / "docs").rglob("*.md"))
    tops = [repository / name for name in ("README.md", "CONTRIBUTING.md")]
    return {path: path.read_text() for path in (*docs, *tops)}


def anchors(text: str) -> set[str]:
    """What code hosts make of headings."""
    heads = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_links(pages):
    broken = []
    for path, text in pages.items():
        for link in LINK.findall(re.sub(r"`[^`]*`", "", FENCED.sub("", text))):
            file, _, anchor = link.partition("#")
            target = path if not file else (path.parent / file).resolve()
            if link.startswith("https://"):
                continue
            if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
                broken.append(f"{path.name}: {link}")
    assert not broken, broken


def test_every_page_is_found(pages, repository):
    docs = repository / "docs"

    def below(page: Path) -> Iterator[Path]:
        yield page
        for block in TREE.findall(pages[page]):
            for name in block.split():
                yield from below((page.parent / name).with_suffix(".md"))

    found = list(below(docs / "index.md"))
    assert sorted(found) == sorted(path for path in pages if docs in path.parents)


def documented(pages: dict[Path, str]) -> set[str]:
    """Full names in the reference, as far as directives tell."""
    names = set()
    for kind, name, options in DIRECTIVE.findall("".join(pages.values())):
        if kind != "module":
            names.add(name)
        elif ":members:" in options:
            module = import_module(name)
            names |= {name, *(f"{name}.{n}" for n in public(module))}
    return names


def public(module: ModuleType) -> list[str]:
    """Its `__all__`, or what it defines."""
    own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__]
    return getattr(module, "__all__", [n for n in own if not n.startswith("_")])


def test_every_public_name_is_documented(pages):
    known = documented(pages)
    missing = []
    for name in set(mdsens.__all__) - {"__version__"}:
        value = getattr(mdsens, name)
        home = "mdsens" if isinstance(value, ModuleType) else mdsens._NAMES[name]
        if not {f"mdsens.{name}", f"{home}.{name}"} & known:
            missing.append(name)
    assert not missing, sorted(missing)


def defaults(text: str) -> dict[str, str]:
    """The third column by key, of a table whose rows may name several keys."""
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    return {key: row[3].strip() for row in rows for key in re.findall(r"`(\w+)`", row[1])}


@pytest.mark.parametrize("heading", TABLES)
def test_keys_and_defaults_of_input_files(pages, repository, heading):
    text = pages[repository / "docs" / "input_files.md"]
    told = defaults(text.partition(f"# {heading}\n")[2].partition("\n#")[0])
    fields = TABLES[heading].model_fields
    assert told.keys() == fields.keys()
    for key, field in fields.items():
        if field.is_required():
            assert told[key] == "required"
        elif field.default is None or isinstance(field.default, BaseModel):
            assert told[key] == ""
        else:
            assert tomllib.loads(f"x = {told[key].strip('`')}")["x"] == field.default


@pytest.mark.slow
def test_it_builds_without_a_warning(repository, pages, tmp_path):
    pytest.importorskip("sphinx")
    from sphinx.util.inventory import InventoryFile

    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", "--keep-going", "docs", tmp_path]
    done = subprocess.run([*map(str, command)], cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    inventory = InventoryFile.loads((tmp_path / "objects.inv").read_bytes(), uri="")
    built = {
        name for kind, names in inventory.data.items() if kind.startswith("py:") for name in names
    }
    missing = {n for n in documented(pages) - built if n not in sys.modules}
    assert not missing, sorted(missing)
