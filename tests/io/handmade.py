"""Inputs and results made by hand, without computing anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mdsens.parameters import Table
from mdsens.result import Certificate, Derivative, Result
from mdsens.system import System

SIDE = 4
N = SIDE**2
HEADER = (
    'Lattice="4.0 0.0 0.0 0.0 4.0 0.0 0.0 0.0 1.0" '
    'Properties=species:S:1:pos:R:3:type:S:1:diameter:R:1 pbc="T T F"'
)
RUN_TOML = """\
[system]
structure = "discs.extxyz"

[potential]
kind = "soft_sphere"

[potential.parameters]
diameter = "diameter"

[sensitivity]
observables = ["energy", "pressure"]
wrt = ["diameter", "epsilon"]
"""


def extxyz(rows: list[str] | None = None, header: str = HEADER, count: object = None) -> str:
    """A square lattice of slightly overlapping discs of two sizes, or other rows."""
    if rows is None:
        rows = [
            f"X {x}.0 {y}.0 0.0 {'AB'[(x + y) % 2]} {1.05 + 0.1 * ((x + y) % 2)}"
            for x in range(SIDE)
            for y in range(SIDE)
        ]
    return "\n".join([str(len(rows) if count is None else count), header, *rows]) + "\n"


def write_inputs(folder: Path, toml: str = RUN_TOML, structure: str | None = None) -> Path:
    """A RUN.toml with its structure beside it."""
    (folder / "discs.extxyz").write_text(extxyz() if structure is None else structure)
    path = folder / "run.toml"
    path.write_text(toml)
    return path


def certificate(**changes: object) -> Certificate:
    values: dict = {
        "converged": True,
        "fmax": 3e-15,
        "lambda_min": 0.25,
        "zero_modes": 2,
        "rattler_indices": np.array([3], dtype=np.int64),
        "negative_modes": 0,
        "solve_residual": 1e-14,
        "derivative_error": 1e-12,
        "neighbors_valid": True,
        "dtype": "float64",
        "solver": "dense: 32 unknowns",
        "outcome": "stable minimum; 2 rigid zero modes, 1 rattler removed",
    }
    return Certificate(**(values | changes))


def result(seed: int = 0) -> Result:
    """A result with every kind of entry: number, table, per particle; scalar, tensor, positions."""
    rng = np.random.default_rng(seed)
    positions = np.array([[x, y] for x in range(SIDE) for y in range(SIDE)], dtype=float)
    system = System(
        positions=positions + 0.1 * rng.normal(size=(N, 2)),
        cell=np.eye(2) * SIDE,
        pbc=(True, True),
        species=("A", "Bé") * (N // 2),
        fixed=(True,) + (False,) * (N - 1),
        columns={"diameter": np.full(N, 1.1), "odd/name": np.arange(N), "..": np.ones(N)},
        units="reduced",
        source="discs.extxyz",
    )
    keys = ("A-A", "A-Bé", "Bé-Bé")
    return Result(
        system=system,
        potential="soft_sphere",
        parameters={
            "epsilon": Table(np.array([1.0, 1.5, 2.0]), keys),
            "alpha": np.array(2.0),
            "diameter": np.full(N, 1.1),
        },
        observables={
            "pressure": np.array(0.1),
            "energy": np.array(0.5),
            "stress": -0.1 * np.eye(2),
        },
        observable_units={"pressure": "reduced", "energy": "reduced", "stress": "reduced"},
        parameter_units={"epsilon": "reduced", "alpha": "1", "diameter": "reduced"},
        sensitivity={
            "pressure": {
                "epsilon": Derivative(rng.normal(size=3), "adjoint", "reduced", keys, 1e-14, 1e-12),
                "alpha": Derivative(np.array(-0.2), "adjoint", "reduced", None, 1e-14, 1e-12),
                "diameter": Derivative(rng.random(N), "adjoint", "reduced", None, 1e-14, 1e-12),
            },
            "stress": {"alpha": Derivative(rng.normal(size=(2, 2)), "forward", "reduced")},
            "positions": {
                "diameter": Derivative(rng.normal(size=(N, N, 2)), "forward", "1"),
                "alpha": Derivative(rng.normal(size=(N, 2)), "forward", "reduced"),
            },
        },
        certificate=certificate(),
        provenance={
            "device": "cpu: cpu",
            "seed": 0,
            "versions": {"jax": "1.2.3"},
            "wall_relax_s": 0.5,
        },
    )
