"""What elastic moduli and their derivatives cost beside the relaxation they follow. JSON out.

`python scripts/bench/elastic_moduli.py [-n 10000] [-d 2] [--repeats 5] [-o FILE.json]`

A harmonic packing of bidisperse discs (phi 0.9; spheres at 0.7), relaxed once; medians of one run,
without compilation:
    relax         mdsens.relax from a random start, once more from the same start
    linearize     factorisation and lowest eigenvalue, which any certified derivative needs
    displacements nonaffine displacements of all strains, with the factor at hand
    value         G alone, from nothing but the relaxed state (its own factorisation included)
    gradient      dG/d(all diameters) with its error estimate, given the factor and displacements
    pressure      dp/d(all diameters) in the same way, for comparison
    tensor        d(elastic tensor)/d(all diameters)
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

import mdsens as ms  # noqa: E402
from mdsens.derivatives import total  # noqa: E402
from mdsens.derivatives.linearization import linearize, newton_correction  # noqa: E402
from mdsens.derivatives.strained import nonaffine  # noqa: E402
from mdsens.equilibrium import search  # noqa: E402
from mdsens.observables.voigt import unit_strains  # noqa: E402
from mdsens.system import System  # noqa: E402


def packing(n: int, dimension: int) -> System:
    """Sizes 1 and 1.4, half each, at random."""
    sizes = np.where(np.arange(n) % 2, 1.0, 1.4)
    filling, unit = {2: (0.9, np.pi / 4), 3: (0.7, np.pi / 6)}[dimension]
    side = (unit * np.sum(sizes**dimension) / filling) ** (1.0 / dimension)
    positions = side * np.random.default_rng(0).random((n, dimension))
    periodic = (True,) * dimension
    cell = side * np.eye(dimension)
    return System(positions, cell, periodic, ("X",) * n, (False,) * n, {"diameter": sizes})


def seconds(function, repeats: int) -> float:
    """The median, after a first call that compiles."""
    jax.block_until_ready(function())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", "--particles", type=int, default=10_000)
    parser.add_argument("-d", "--dimension", type=int, choices=(2, 3), default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path, default=Path("elastic_moduli.json"))
    options = parser.parse_args()

    system = packing(options.particles, options.dimension)
    potential = ms.potentials.SoftSphere()
    params = potential.parameters(system, diameter="diameter")
    found = search(potential, params, system)
    assert not found.why, found.why
    minimum = ms.relax(
        potential, params, replace(system, positions=np.asarray(found.setting.positions))
    )
    line = linearize(found.problem, found.setting, "auto", 1e-10)
    strains = unit_strains(options.dimension)
    theta, correction = {"diameter": params["diameter"]}, newton_correction(line)

    def gradient(observable):
        made = total.adjoint(line, observable, theta, correction)["diameter"]
        return made.value

    run = {
        "relax": (lambda: search(potential, params, system).setting.positions, 1),
        "linearize": (lambda: linearize(found.problem, found.setting, "auto", 1e-10).lowest, 3),
        "displacements": (
            lambda: nonaffine(replace(line, answers=[]), strains)[0],
            options.repeats,
        ),
        "value": (lambda: ms.shear_modulus(potential, params, minimum), 3),
        "gradient": (lambda: gradient(ms.shear_modulus), options.repeats),
        "pressure": (lambda: gradient(ms.pressure), options.repeats),
        "tensor": (lambda: gradient(ms.elastic_tensor), options.repeats),
    }
    times = {name: seconds(function, repeats) for name, (function, repeats) in run.items()}
    result = {
        "particles": options.particles,
        "dimension": options.dimension,
        "solver": line.why,
        "rattlers": int(line.rattlers.sum()),
        "shear_modulus": float(ms.shear_modulus(potential, params, minimum)),
        "bulk_modulus": float(ms.bulk_modulus(potential, params, minimum)),
        "seconds": times,
        "over_relax": {name: t / times["relax"] for name, t in times.items()},
        "versions": {
            "python": platform.python_version(),
            "jax": jax.__version__,
            "numpy": np.__version__,
        },
        "device": str(jax.devices()[0]),
    }
    for name, t in times.items():
        print(f"{name:14s} {t:8.4f} s   {100.0 * t / times['relax']:7.2f} % of relax")
    options.output.write_text(json.dumps(result, indent=2))
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
