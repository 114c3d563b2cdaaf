"""What the benchmark counts, on fewer systems: no failure of a linear solve passes silently."""

from __future__ import annotations

import pytest

from scripts.bench.failing_solves import DOORS, PROMISED, cases, compiled, eager


@pytest.mark.parametrize("solver", ["gmres", "elimination"])
def test_failures_are_reported(solver: str):
    """One stalls at a residual that looks small, one divides by the zeros of singular systems."""
    doors = {name: DOORS[name] for name in ("root_jvp", "root_vjp")}
    verdicts = [verdict for *_, verdict in compiled([solver], cases(1, 1, PROMISED[1:]), doors)]
    assert set(verdicts) == {"reported", "right"}


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["cg", "of another system", "default", "default, matrix free"])
def test_at_every_door(solver: str):
    promised = cases(1, 2, PROMISED)
    results = [*compiled([solver], promised), *eager([solver], [promised[5], promised[-1]])]
    assert [(door, name) for _, door, name, verdict in results if verdict == "silent"] == []
