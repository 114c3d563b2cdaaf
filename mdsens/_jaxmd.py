"""The one door to jax-md.

`import jax_md` loads neural networks and compiles rigid-body code: 6 s and 500 MB that mdsens never
uses. The submodules wanted here are independent of that, so they are imported under a bare stand-in
for the package, which is taken away again: a later `import jax_md` by anybody is complete and
shares these very modules.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import jax

from mdsens.errors import MdsensError


def _load(*names: str) -> list[ModuleType]:
    if "jax_md" in sys.modules:
        return [importlib.import_module(f"jax_md.{name}") for name in names]
    spec = importlib.util.find_spec("jax_md")
    if spec is None:
        raise MdsensError("jax-md: not installed; run `pip install jax-md`")
    package = ModuleType("jax_md")
    package.__path__ = list(spec.submodule_search_locations or [])
    package.__spec__ = spec
    sys.modules["jax_md"] = package
    try:
        return [importlib.import_module(f"jax_md.{name}") for name in names]
    finally:
        del sys.modules["jax_md"]


minimize, partition, simulate, space = _load("minimize", "partition", "simulate", "space")


@space.transform.defjvp
def _transform_slope(primals: tuple, tangents: tuple) -> tuple:
    """jax-md's own rule for `space.transform`, made right beyond the first derivative.

    There the second term is `transform` again, whose slope by r does not vanish with d_box: forward
    mode taken twice counts r once too often. The first derivative is unchanged.
    """
    (box, r), (d_box, dr) = primals, tangents
    return space.transform(box, r), dr + space.raw_transform(d_box, r)


@contextmanager
def quiet() -> Iterator[None]:
    """Around calls of jax-md's neighbour lists: without a grid they store 64-bit particle numbers
    as 32-bit ones, which is harmless, and of which JAX warns. With one they lean on NumPy's rank
    promotion, which strict callers forbid."""
    with warnings.catch_warnings(), jax.numpy_rank_promotion("allow"):
        warnings.filterwarnings("ignore", "scatter inputs have incompatible types", FutureWarning)
        yield
