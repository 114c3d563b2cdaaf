"""What the command line decides for JAX: 64-bit floats, and where compiled code is kept."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path


def cache_folder() -> Path:
    """$MDSENS_CACHE_DIR, else $XDG_CACHE_HOME/mdsens, else ~/.cache/mdsens."""
    if chosen := os.environ.get("MDSENS_CACHE_DIR"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mdsens"


def why_unwritable(folder: Path) -> str | None:
    """Why files cannot be made in a folder (which is made if missing); None if they can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
    except OSError as error:
        return error.strerror or str(error)
    return None


def configure_jax() -> None:
    """64-bit floats and a persistent compilation cache; to be called before JAX is imported."""
    # XLA takes its own tuning preferences for missing machine features whenever it loads compiled
    # code, and says so in kilobytes of log. What really fails is raised as well as logged.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import jax

    jax.config.update("jax_enable_x64", True)
    folder = cache_folder()
    reason = why_unwritable(folder)
    if reason:
        warnings.warn(
            f"{folder}: compilation cache: {reason}; set MDSENS_CACHE_DIR to a writable folder "
            "to start faster",
            stacklevel=2,
        )
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
