"""The source as a whole: style, types, and which module may import what."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Heavy or replaceable packages enter through one door each.
DOORS = {
    "jax_md": {"_jaxmd.py"},
    "ase": {
        "io/structures.py",
        "io/calculator.py",
        "io/labelled.py",
        "io/lammps_data.py",
        "io/ase_format.py",
        "io/ase_results.py",
        "masses.py",
    },
    "h5py": {
        "io/hdf5.py",
        "io/results.py",
        "io/columns.py",
        "io/fits.py",
        "io/grid.py",
        "io/pieces.py",
        "io/h5md.py",
    },
    "typer": {"cli.py", "cli"},
    "rich": {"cli.py", "cli"},
    "click": {"cli.py", "cli"},
    "matplotlib": {"report.py", "report"},
    "jinja2": {"report/page.py"},
    "pandas": {"io/tidy.py"},
    "xarray": {"io/labelled_arrays.py"},
    "optax": {"equilibrium", "fitting.py", "fitting", "implicit/optimality", "implicit/bilevel"},
    "pydantic": {"io/toml.py", "io/spec.py", "sweeps/spec.py", "sweeps/axes.py", "fits/spec.py"},
}
# What belongs to tests and development alone.
NEVER = {"pytest", "hypothesis", "matscipy", "jaxopt", "pymatgen", "sybil", "tests", "scripts"}


def run(*command: str | Path, cwd: Path) -> str:
    """Nothing if the command succeeds, else all it printed."""
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, env=environment
    )
    return "" if done.returncode == 0 else f"{done.stdout}\n{done.stderr}"


def modules(repository: Path) -> list[Path]:
    return sorted((repository / "mdsens").rglob("*.py"))


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff(repository, arguments):
    told = run(sys.executable, "-m", "ruff", *arguments, ".", cwd=repository)
    assert not told, told


def test_types(repository):
    checker = [sys.executable, "-m", "basedpyright", "--level", "error"]
    checker += ["--pythonpath", sys.executable]
    told = run(*checker, cwd=repository)
    assert not told, told


def test_floors(repository):
    lint = Path(sys.executable).parent / "lint-imports"
    told = run(lint, "--no-cache", "--no-logo", cwd=repository)
    assert not told, told


def imported_packages(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_packages_enter_through_their_doors(repository):
    trespassers = []
    for module in modules(repository):
        place = module.relative_to(repository / "mdsens")
        names = {place.as_posix(), *(parent.as_posix() for parent in place.parents)}
        for package in imported_packages(module.read_text()):
            if package in NEVER or not names & DOORS.get(package, names):
                trespassers.append(f"mdsens/{place} imports {package}")
    assert not trespassers, trespassers


def test_imports_are_absolute(repository):
    relative = [
        f"{module}:{node.lineno}"
        for module in modules(repository)
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative, relative


TOP_FLOOR = {"__main__.py", "cli.py", "cli", "sweeps", "report.py", "report", "io"}
LOUD = {"print", "environ", "getenv", "config.update"}


def names_used(source: str) -> set[str]:
    """Every name, attribute and attribute of an attribute ("config.update") in the source."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
            owner = node.value
            found.add(f"{getattr(owner, 'attr', getattr(owner, 'id', ''))}.{node.attr}")
    return found


def test_only_the_top_floor_prints_reads_the_environment_or_configures(repository):
    loud = []
    for module in modules(repository):
        place = module.relative_to(repository / "mdsens")
        if place.parts[0] not in TOP_FLOOR:
            loud += [f"mdsens/{place}: {name}" for name in LOUD & names_used(module.read_text())]
    assert not loud, loud
