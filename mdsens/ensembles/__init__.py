"""Many systems at once."""

from mdsens.ensembles.ensemble import Ensemble, relax_ensemble
from mdsens.ensembles.sensitivities import can_be_batched, ensemble_sensitivity

__all__ = ["Ensemble", "can_be_batched", "ensemble_sensitivity", "relax_ensemble"]
