"""Elastic tensors: the matrix, and Young's modulus by direction."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from mdsens.report.style import CYCLE, colour_map, norm
from mdsens.result import VOIGT, Result
from mdsens.units import GPA

PLANES = {"xy": (0, 1), "yz": (1, 2), "xz": (0, 2)}


def tensor_name(result: Result) -> str | None:
    """The elastic tensor that a result holds; of several that with relaxed ions."""
    names = ("elastic_tensor", "elastic_tensor_energy", "elastic_tensor_clamped")
    return next((n for n in names if n in result.observables), None)


def in_gpa(result: Result, name: str) -> tuple[np.ndarray, str]:
    """A tensor and its unit, in GPa where units are metal."""
    tensor, unit = np.asarray(result.observables[name]), result.observable_units[name]
    return (tensor / GPA, "GPa") if unit == "eV/angstrom^3" else (tensor, unit)


def draw_tensor(figure: Figure, axes: Axes, result: Result, name: str) -> None:
    """The Voigt matrix with its numbers."""
    tensor, unit = in_gpa(result, name)
    labels, scale = VOIGT[len(tensor)], float(np.max(np.abs(tensor)))
    image = axes.imshow(tensor, cmap=colour_map(tensor), norm=norm(tensor))
    figure.colorbar(image, ax=axes, shrink=0.75, label=f"{name.replace('_', ' ')}  ({unit})")
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(length=0)
    for (i, j), value in np.ndenumerate(tensor):
        red, green, blue, _ = image.cmap(image.norm(value))
        dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
        text = "0" if abs(value) < 1e-6 * scale else f"{value:.4g}"
        axes.text(
            j, i, text, ha="center", va="center", fontsize=8, color="white" if dark else "black"
        )


def draw_young(axes: PolarAxes, result: Result, name: str) -> None:
    """Young's modulus along directions of the coordinate planes, 1 / S(n, n, n, n)."""
    tensor, unit = in_gpa(result, name)
    angles = np.linspace(0.0, 2 * np.pi, 361)
    d = 3 if len(tensor) == 6 else 2
    planes = PLANES if d == 3 else {"xy": (0, 1)}
    curves: list[tuple[list[str], np.ndarray]] = []
    for plane, (i, j) in planes.items():
        directions = np.zeros((len(angles), d))
        directions[:, i], directions[:, j] = np.cos(angles), np.sin(angles)
        curve = young_modulus(tensor, directions)
        same = next((names for names, c in curves if np.allclose(c, curve, rtol=1e-4)), None)
        if same is None:
            curves.append(([plane], curve))
        else:
            same.append(plane)
    for (names, curve), colour in zip(curves, CYCLE, strict=False):
        axes.plot(angles, curve, color=colour, label=f"plane {', '.join(names)}")
    axes.set_ylim(0.0)
    axes.tick_params(labelsize=7)
    axes.set_title(f"Young's modulus  ({unit})", fontsize=9)
    if d == 3:
        axes.legend(fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(-0.1, -0.12))


def young_modulus(tensor: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(M,) 1 / (n n : S : n n) from a Voigt stiffness (3, 3) or (6, 6) and unit vectors (M, d)."""
    d = directions.shape[1]
    pairs = [(0, 0), (1, 1), (0, 1)] if d == 2 else [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
    # As stresses: the shear components of n n are not doubled.
    load = np.stack([directions[:, i] * directions[:, j] for i, j in pairs], axis=1)
    return 1.0 / np.einsum("mi,ij,mj->m", load, np.linalg.inv(tensor), load)
