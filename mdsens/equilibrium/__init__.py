"""States that solve F(state, params) = 0."""

from mdsens.equilibrium.eager import Progress
from mdsens.equilibrium.relax import Found, neighbor_list, relax, search
from mdsens.equilibrium.saddle import saddle

__all__ = ["Found", "Progress", "neighbor_list", "relax", "saddle", "search"]
