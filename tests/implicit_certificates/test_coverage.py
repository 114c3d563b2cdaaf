"""What the benchmark measures, on fewer problems: true errors against estimates and the bound."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def bench(repository: Path) -> ModuleType:
    path = repository / "scripts" / "bench" / "certificates.py"
    spec = importlib.util.spec_from_file_location("bench_certificates", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where named tuples look up their annotations
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def records(bench: ModuleType) -> list[dict]:
    return list(bench.cases(1, 3, (1.0, 1e3, 1e6), (1e-1, 1e-3, 1e-6, 1e-12)))


def test_the_estimate_covers_the_error(bench: ModuleType, records: list[dict]):
    for table in bench.coverage(records).values():
        assert table["certified"] >= 50
        assert table["refused"] <= 0.3 * table["cases"]
        assert table["coverage"] >= 0.99
        assert table["estimate / error"]["min"] > 0.5
        assert table["estimate / error"]["median"] < 30


def test_the_correction_is_worth_it(records: list[dict]):
    """Away from rounding it removes most of the error."""
    plain, better = (
        [r["error"] for r in records if r["corrected"] == corrected and "error" in r]
        for corrected in (False, True)
    )
    assert sum(b < 0.3 * a for a, b in zip(plain, better, strict=True)) > 0.5 * len(plain)


def test_the_bound_holds(bench: ModuleType, records: list[dict]):
    table = bench.looseness(records)
    assert table["cases"] >= 10 and table["min"] >= 1.0
    assert table["median"] < 100


@pytest.mark.slow
def test_coverage_over_the_whole_range(bench: ModuleType):
    for table in bench.coverage(list(bench.cases(4))).values():
        assert table["coverage"] >= 0.995
