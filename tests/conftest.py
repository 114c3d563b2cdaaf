"""Strict JAX for every test: 64 bit, no silent rank promotion; compiled code is kept between runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest

# XLA reports every compiled program it reads back as made for another machine, at length, wherever
# the processor has tuning flags beside its features; it reads the level while being loaded.
# The tests compile thousands of programs that run for milliseconds: in less than half the time with
# less optimisation. Both are set for this process alone; programs that tests start run as a user's.
FOR_THIS_PROCESS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    + os.environ.get("XLA_FLAGS", ""),
}
with pytest.MonkeyPatch.context() as patch:
    for name, value in FOR_THIS_PROCESS.items():
        patch.setenv(name, value)
    import jax

    jax.devices()  # reads the flags

# A script that starts the tests in the background has them, and what they start, ignore it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A process may map 65530 pieces of memory (vm.max_map_count), each compiled program takes a few, and
# LLVM crashes for want of them.
MOST_MAPPED = 20_000
MAPS = Path("/proc/self/maps")

REPOSITORY = Path(__file__).resolve().parent.parent

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
np.set_printoptions(precision=6, linewidth=120)

hypothesis.settings.register_profile("mdsens", deadline=None, derandomize=True)
hypothesis.settings.load_profile("mdsens")


def pytest_configure(config: pytest.Config) -> None:
    cache = config.rootpath / ".pytest_cache" / "d" / "compiled"
    jax.config.update("jax_compilation_cache_dir", str(cache / "tests"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    # Programs started by tests compile as they would for a user, but not into the user's folder.
    os.environ["MDSENS_CACHE_DIR"] = str(cache / "programs")


@pytest.fixture(scope="module", autouse=True)
def room_for_programs() -> Iterator[None]:
    """Forgets the compiled programs of earlier modules when there are too many."""
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPPED:
        jax.clear_caches()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240817)


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """`shared_data("mlearn/Si")`: a path in the reference data, which are not part of the project."""
    beside = REPOSITORY.parent / "shared" / "data"
    folder = Path(os.environ.get("MDSENS_REFERENCE_DATA") or beside)

    def path(name: str) -> Path:
        if not (folder / name).exists():
            pytest.skip(f"no reference data {name!r}; set MDSENS_REFERENCE_DATA to their folder")
        return folder / name

    return path
