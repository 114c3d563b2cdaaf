"""Many systems at once."""

from mdsens.ensembles.ensemble import Ensemble, relax_ensemble

__all__ = ["Ensemble", "relax_ensemble"]
