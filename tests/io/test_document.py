"""docs/output_files.md against files: what is in them stands there, and what stands there is in one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from mdsens.fit_record import FitRecord, TargetRecord
from mdsens.io.fits import write_fit
from mdsens.io.results import write_result
from mdsens.result import EnsembleCertificate
from tests.io import handmade

Places = dict[str, set[str]]


@pytest.fixture
def told(repository: Path):
    """`told(heading)`: the attributes by place of a table."""
    text = (repository / "docs" / "output_files.md").read_text()

    def table(heading: str) -> Places:
        section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
        rows = [line.split("|") for line in section.splitlines() if line.startswith("| `/")]
        return {row[1].strip(" `"): set(re.findall(r"`([a-z0-9_<>]+)`", row[3])) for row in rows}

    return table


def found(path: Path) -> Places:
    """The names of attributes by place, of everything but empty groups."""
    places: Places = {}

    def visit(name: str, node: h5py.Group | h5py.Dataset) -> None:
        if node.attrs or isinstance(node, h5py.Dataset):
            places[f"/{name}"] = set(node.attrs)

    with h5py.File(path) as file:
        visit("", file)
        file.visititems(visit)
    return places


def matches(pattern: str, text: str) -> bool:
    return bool(re.fullmatch(re.sub(r"<\w+>", r"[^/]+", pattern), text))


def undocumented(told: Places, files: list[Path]) -> Iterator[str]:
    """Places and attributes that only one of the two has."""
    seen: Places = {place: set() for place in told}
    for place, names in ((p, n) for file in files for p, n in found(file).items()):
        patterns = [t for t in told if matches(t, place)]
        if not patterns:
            yield place
        for name in names:
            known = [(t, a) for t in patterns for a in told[t] if matches(a, name)]
            for t, a in known:
                seen[t].add(a)
            if patterns and not known:
                yield f"{place}@{name}"
        for t in patterns:
            seen[t].add("")
    for place, names in seen.items():
        if not names:
            yield f"{place}: in no file"
        yield from (f"{place}@{name}: in no file" for name in told[place] - names)


def test_results(told, tmp_path):
    result = handmade.result()
    by = result.sensitivity["pressure"]
    provenance = {
        "minimizer": "auto", "steps": 1, "newton_steps": 1,
        **{f"wall_{part}_s": 0.1 for part in ("relax", "sensitivity", "compile", "total")},
    }  # fmt: skip
    result = replace(result, provenance={**result.provenance, **provenance})
    write_result(result, tmp_path / "a.h5", "text", "sha256:0", ["relax.fmax=1"])
    averages = replace(
        result,
        certificate=EnsembleCertificate(
            True, 1, 0, 1.0, 1.0, 0.1, 0.0, "float64", "in equilibrium"
        ),
        observable_errors={"energy": np.array(0.1)},
        sensitivity={"energy": {"alpha": replace(by["alpha"], error=np.array(0.1))}},
        provenance={"ensemble": "NVT()"},
    )
    write_result(averages, tmp_path / "b.h5")
    table = told("Of a run")
    # Told in words below the table.
    table["/certificate"] |= set(vars(averages.certificate))
    table["/provenance"] |= {"ensemble"}
    assert not list(undocumented(table, [tmp_path / "a.h5", tmp_path / "b.h5"]))


def test_fits(told, tmp_path):
    one, two = np.ones(1), np.ones(2)
    names = ("value", "start", "sigma", "deviation")
    free = {name: one for name in names} | {
        name: np.ones((1, 1)) for name in ("correlation", "direction", "ensemble")
    }
    facts = {
        "chi2": 1.0, "chi2_start": 2.0, "freedom": 1, "inflation": 1.0, "why": "", "bounds": "", "chosen": 0,
        "failed": "",
    }  # fmt: skip
    at = np.array([np.nan, 1.0])
    target = TargetRecord("md", ("energy", "g(r)"), ("eV/atom", "1"), *(two,) * 5, at)
    provenance = {"wall_total_s": 1.0, "fit_toml": "", "overrides": "", "identity": ""}
    history = ({"chi2": two, "validation": two},)
    record = FitRecord(
        "morse", {"alpha": handmade.result().parameters["epsilon"]}, ("alpha",), free, facts, (target,),
        history, provenance,
    )  # fmt: skip
    write_fit(record, tmp_path / "fit.h5")
    assert not list(undocumented(told("Of a fit"), [tmp_path / "fit.h5"]))
