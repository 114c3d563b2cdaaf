"""Optimality conditions as building blocks: what a minimiser satisfies, ready to be differentiated.

Each function here returns a residual F(x, *theta) for `custom_root` or a map T(x, *theta) for
`custom_fixed_point`. The condition need not belong to the algorithm that found x: any of them that
holds at x, and is differentiable there, gives the same derivative.

    condition                    for
    `stationary_point`           smooth objectives
    `kkt`                        equality and inequality constraints, multipliers known
    `proximal_gradient`          smooth + non-smooth (`proximal`)
    `block_proximal_gradient`    the same over a tuple of blocks
    `projected_gradient`         constraints one can project onto (`projections`)
    `mirror_descent`             the same in another geometry; `exponentiated_gradient` is the simplex
    `newton`                     roots of F, as a fixed point
    `conic.conic_residual`       cone programs: linear, second-order, semidefinite

Blondel et al. 2022, doi:10.48550/arXiv.2105.15183, section 2 and appendix.
"""

from mdsens.implicit.optimality import conic, projections, proximal
from mdsens.implicit.optimality.constrained import KKTPoint, kkt
from mdsens.implicit.optimality.mirror import exponentiated_gradient, kl_projection, mirror_descent
from mdsens.implicit.optimality.smooth import newton, stationary_point
from mdsens.implicit.optimality.splitting import (
    block_proximal_gradient,
    projected_gradient,
    proximal_gradient,
)

__all__ = [
    "KKTPoint",
    "block_proximal_gradient",
    "conic",
    "exponentiated_gradient",
    "kkt",
    "kl_projection",
    "mirror_descent",
    "newton",
    "projected_gradient",
    "projections",
    "proximal",
    "proximal_gradient",
    "stationary_point",
]
