"""Strict JAX for every test: 64 bit, no silent rank promotion; compiled code is kept between runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest

# XLA reports every compiled program it reads back as made for another machine, at length, wherever
# the processor has tuning flags beside its features; it reads the level while being loaded.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import jax

del os.environ["TF_CPP_MIN_LOG_LEVEL"]

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
