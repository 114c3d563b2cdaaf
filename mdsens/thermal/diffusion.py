"""Self-diffusion from how far particles get. NumPy only; a property of the dynamics, without derivatives."""

from __future__ import annotations

import numpy as np

from mdsens.errors import InputError, NotConverged
from mdsens.thermal.ensemble import NPT, NVT
from mdsens.thermal.estimates import Estimate
from mdsens.thermal.trajectory import Trajectory

# Pieces of each walker, which count as independent; and the fewest samples of a piece.
_PIECES, _LEAST = 10, 20
# The part of a piece's length in which the mean square displacement is fitted.
_WINDOW = (0.25, 0.5)


def self_diffusion(trajectory: Trajectory) -> Estimate:
    """D, (), from Einstein's relation, with one standard deviation.

        <|x(t) - x(0)|^2> = 2 d D t

    for moving particles without the motion of their centre of mass, in length^2 per unit of
    `time_step`. Each walker is cut into ten pieces; D is the mean of their slopes between a quarter and
    half of a piece, and its error follows from their spread. A piece has to be long beside the time
    in which a particle forgets its velocity. In periodic cells D grows with their size, by about
    2.84 k_B T/(6 pi eta L) in 3D (Yeh, Hummer, doi:10.1021/jp0477147).

    Raises:
        InputError: nvt with langevin or npt, whose friction or scaling is part of the motion.
        NotConverged: fewer than 20 samples in a piece, or displacements that do not grow linearly.
    """
    e = trajectory.ensemble
    if isinstance(e, NPT) or (isinstance(e, NVT) and e.thermostat == "langevin"):
        raise InputError(
            "self_diffusion: the motion is that of the thermostat as well; use nve, or nvt with csvr or "
            "nose_hoover"
        )
    pieces = _pieces(trajectory)
    length = pieces.shape[1]
    if length < _LEAST:
        raise NotConverged(
            f"self_diffusion: {length} samples in a tenth of a walker (limit {_LEAST}); raise steps"
        )
    lags = np.arange(int(_WINDOW[0] * length), int(_WINDOW[1] * length) + 1)
    squares = np.stack([_mean_square(pieces, lag) for lag in lags.tolist()], axis=1)
    scale = 2.0 * pieces.shape[3] * e.stride * e.time_step
    middle = len(lags) // 2 + 1
    early, late, whole = (
        _slopes(lags[part], squares[:, part]) / scale
        for part in (slice(0, middle), slice(middle - 1, None), slice(None))
    )
    value, error = _mean(whole)
    change, uncertain = _mean(late - early)
    if abs(change) > max(4.0 * uncertain, 0.2 * abs(value)):
        raise NotConverged(
            f"self_diffusion: displacements do not grow linearly (the slope goes from {early.mean():.3g} "
            f"to {late.mean():.3g}); raise steps or stride"
        )
    count = np.array(float(len(pieces)))
    return Estimate(np.array(value), np.array(error), count, np.ones(()))


def _pieces(trajectory: Trajectory) -> np.ndarray:
    """(W * pieces, samples, moving, d) positions relative to their centre of mass."""
    moving = ~np.asarray(trajectory.system.fixed)
    x = trajectory.positions[:, trajectory.start :, moving]
    if moving.all():
        x = x - x.mean(axis=2, keepdims=True)
    length = x.shape[1] // _PIECES
    return x[:, : _PIECES * length].reshape(-1, length, *x.shape[2:])


def _mean_square(pieces: np.ndarray, lag: int) -> np.ndarray:
    """(P,) over all particles and starts."""
    return np.mean(np.sum((pieces[:, lag:] - pieces[:, :-lag]) ** 2, axis=3), axis=(1, 2))


def _slopes(lags: np.ndarray, squares: np.ndarray) -> np.ndarray:
    centred = lags - lags.mean()
    return squares @ centred / np.sum(centred**2)


def _mean(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
