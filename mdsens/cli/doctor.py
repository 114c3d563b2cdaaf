"""`mdsens doctor`: can this installation be trusted?"""

from __future__ import annotations

import platform
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from mdsens.cli.console import console, plain_table
from mdsens.cli.environment import cache_folder, configure_jax, why_unwritable
from mdsens.errors import DerivativeUndefined

PACKAGES = ("jax", "jaxlib", "jax-md", "numpy", "scipy", "ase", "h5py", "matplotlib")
CANARY_SIZE = 20_000
CANARY_TOLERANCE = 1e-10


def examine() -> None:
    """Print what was found.

    Raises:
        DerivativeUndefined: this JAX computes wrong numbers here.
    """
    import jax

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an unwritable cache has its own line below
        configure_jax()
    start = time.perf_counter()
    error = canary()
    seconds = time.perf_counter() - start
    sound = error <= CANARY_TOLERANCE
    table = plain_table("", "")
    table.show_header = False
    table.add_row("mdsens", version("mdsens"))
    table.add_row("python", f"{platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        table.add_row(package, _version(package))
    table.add_row("devices", ", ".join(f"{d.platform}:{d.device_kind}" for d in jax.devices()))
    table.add_row("64-bit floats", "on" if jax.numpy.ones(()).dtype == np.float64 else "OFF")
    verdict = "sound" if sound else "WRONG NUMBERS"
    table.add_row("numerical canary", f"{verdict} (error {error:.1e}, {seconds:.1f} s)")
    for name, folder in (("compilation cache", cache_folder()), ("current folder", Path.cwd())):
        table.add_row(name, f"{folder} ({_writable(folder)})")
    console().print(table)
    if not sound:
        raise DerivativeUndefined(
            f"doctor: canary: jax {version('jax')} computes wrong numbers here "
            f"(error {error:.1e}); install another version of jax"
        )


def canary() -> float:
    """Relative error of a jitted vmap(matvec) and sum in float64 against NumPy.

    Some versions of XLA fill rows beyond 16384 with garbage, silently.
    """
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    blocks = rng.normal(size=(CANARY_SIZE, 3, 3))
    vectors = rng.normal(size=(CANARY_SIZE, 3))

    @jax.jit
    def products(blocks: jax.Array, vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
        rows = jax.vmap(jnp.matmul)(blocks, vectors)
        return rows, jnp.sum(rows**2)

    rows, total = map(np.asarray, products(jnp.asarray(blocks), jnp.asarray(vectors)))
    exact = np.einsum("nij,nj->ni", blocks, vectors)
    wrong_rows = np.abs(rows - exact).max() / np.abs(exact).max()
    wrong_total = abs(float(total) / float((exact**2).sum()) - 1.0)
    return float(max(wrong_rows, wrong_total))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _writable(folder: Path) -> str:
    reason = why_unwritable(folder)
    return "writable" if reason is None else f"not writable: {reason}"
