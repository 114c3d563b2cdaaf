"""Potentials whose parameters stand in the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from mdsens.catalogue import POTENTIALS, PotentialEntry
from mdsens.linear import require_float64
from mdsens.parameters import resolve
from mdsens.potentials.base import Params, Potential
from mdsens.system import System


@dataclass(frozen=True)
class Described(Potential):
    """Base of potentials with an entry in the catalogue, named by `class P(..., kind="...")`."""

    entry: ClassVar[PotentialEntry]

    def __init_subclass__(cls, kind: str = "", **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if kind:
            cls.entry = POTENTIALS[kind]

    @property
    def kind(self) -> str:
        return self.entry.kind

    @property
    def options(self) -> dict[str, str]:
        return {name: getattr(self, name) for name, _ in self.entry.options}

    def parameters(self, system: System, *, file: str | Path | None = None, **given: Any) -> Params:
        """Checked parameters, given one by one, from a file of the potential's kind, or both: what is
        given replaces what the file says.

        Raises:
            InputError: unknown, missing or ill-typed parameters; "FILE: line n: what; what to do".
            Float32Error: 64-bit floats are off.
        """
        require_float64()
        resolved = resolve(self.entry, self.options, system, given, file)
        return jax.tree.map(jnp.asarray, resolved)
