"""What packings are like near jamming, averaged over an ensemble, beside what is known. JSON out.

`python scripts/bench/jamming.py [-n 128] [-d 2] [-m 8] [-p 1e-2 1e-3 1e-4 1e-5] [-o jamming.json]`

m packings of n bidisperse (1 : 1.4) harmonic particles from random starts at packing fraction 0.92
(3D: 0.70), each brought to the pressures one after the other, from the highest down. By pressure:
    excess     contacts above the isostatic number d (N - R) - d + 1 (R rattlers), per packing
    rattlers   share of the particles
    K, G       bulk and shear modulus, particles relaxed, G averaged over directions
    phi        packing fraction
and P(f), the distribution of contact forces by their mean, over all packings and pressures.

Known: excess -> 0 and phi -> 0.842 (2D), about 0.65 (3D) as p -> 0; Z - Z_iso and G grow as p^(1/2)
(harmonic), K is nearly constant: O'Hern et al. 2003, doi:10.1103/PhysRevE.68.011306. All of it holds
for p N^2 >> 1; below, excess and N G stop at values of order one: Goodrich, Liu, Nagel 2012,
doi:10.1103/PhysRevLett.109.095704.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

import mdsens as ms  # noqa: E402
from mdsens.observables import ContactNetwork, force_distribution  # noqa: E402
from mdsens.packings import jam, packing_fraction, random_spheres  # noqa: E402

POTENTIAL = ms.potentials.SoftSphere()
START = {2: 0.92, 3: 0.70}
EDGES = np.linspace(0.0, 5.0, 26)
# Below this p N^2 the finite size is felt; exponents are fitted above.
SCALING = 10.0


@dataclass(frozen=True)
class Measured:
    """One packing at one pressure."""

    seed: int
    pressure: float
    excess: int
    self_stress: int
    floppy: int
    rattlers: float
    coordination: float
    bulk: float
    shear: float
    phi: float


def measured(params, packing, seed: int) -> tuple[Measured, ContactNetwork]:
    system = packing.system
    network = ms.contact_network(POTENTIAL, params, system)
    known = POTENTIAL, params, system
    row = Measured(
        seed, packing.pressure, packing.excess, network.states_of_self_stress,
        network.floppy_modes, len(packing.rattlers) / system.n_particles, network.coordination,
        float(ms.bulk_modulus(*known)), float(ms.shear_modulus(*known)),
        packing_fraction(system, params["diameter"]),
    )  # fmt: skip
    return row, network


def member(
    n: int, dimension: int, seed: int, pressures: list[float]
) -> list[tuple[Measured, ContactNetwork]]:
    """One start at all pressures."""
    sizes = np.where(np.arange(n) % 2, 1.4, 1.0)
    system = random_spheres(sizes, dimension, START[dimension], seed)
    params = POTENTIAL.parameters(system, diameter="diameter")
    found = []
    for p in sorted(pressures, reverse=True):
        packing = jam(POTENTIAL, params, system, pressure=p)
        system = packing.system
        found.append(measured(params, packing, seed))
    return found


def exponent(pressures: np.ndarray, values: np.ndarray, n: int) -> float:
    """Slope of log(values) against log(pressures) where the size is not felt."""
    large = pressures * n**2 > SCALING
    if large.sum() < 2:
        return float("nan")
    return float(np.polyfit(np.log(pressures[large]), np.log(values[large]), 1)[0])


def summary(rows: list[Measured], pressures: list[float], n: int) -> dict:
    """Means by pressure, printed as a table, and exponents."""
    levels = np.array(sorted(pressures, reverse=True))
    columns = ("excess", "rattlers", "bulk", "shear", "phi")
    print(f"{'pressure':>9}{'p N^2':>9}" + "".join(f"{c:>18}" for c in columns))
    means: dict[str, list[float]] = {c: [] for c in columns}
    for p in levels:
        there = [asdict(r) for r in rows if abs(r.pressure / p - 1.0) < 1e-3]
        line = f"{p:9.1e}{p * n**2:9.2g}"
        for c in columns:
            values = np.array([r[c] for r in there])
            means[c].append(float(values.mean()))
            error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
            line += f"{values.mean():11.5g} ±{error:5.1g}"
        print(line)
    slopes = {c: exponent(levels, np.array(means[c]), n) for c in ("excess", "shear", "bulk")}
    print(
        f"exponents where p N^2 > {SCALING:g}: "
        + ", ".join(f"{k} {v:.3f}" for k, v in slopes.items())
    )
    return {"pressures": levels.tolist(), "means": means, "exponents": slopes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", "--particles", type=int, default=128)
    parser.add_argument("-d", "--dimension", type=int, choices=(2, 3), default=2)
    parser.add_argument("-m", "--members", type=int, default=8)
    parser.add_argument(
        "-p", "--pressures", type=float, nargs="+", default=[1e-2, 1e-3, 1e-4, 1e-5]
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("jamming.json"))
    options = parser.parse_args()

    start = time.perf_counter()
    found = []
    for seed in range(options.members):
        found += member(options.particles, options.dimension, seed, options.pressures)
        print(f"packing {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    rows = [row for row, _ in found]
    table = summary(rows, options.pressures, options.particles)
    forces = force_distribution([network for _, network in found], EDGES)
    print("P(f), f = 0.1, 0.3, ...: " + " ".join(f"{p:.2f}" for p in forces))
    options.output.write_text(
        json.dumps(
            {
                "particles": options.particles,
                "dimension": options.dimension,
                **table,
                "forces": {"edges": EDGES.tolist(), "density": forces.tolist()},
                "packings": [asdict(row) for row in rows],
                "versions": {"jax": jax.__version__, "python": platform.python_version()},
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
