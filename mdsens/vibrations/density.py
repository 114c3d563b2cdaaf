"""What a density of states is, however it was found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class DensityOfStates:
    """D(omega), normalised to one.

    Attributes:
        frequencies: (B,) omega.
        density: (B,) D.
        resolution: smallest distance told apart, of eigenvalues omega^2 (`density_of_states`) or of
            frequencies (`phonon_dos`).
    """

    frequencies: np.ndarray
    density: np.ndarray
    resolution: float
