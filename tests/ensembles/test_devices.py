"""An ensemble over several devices of one process."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

# 18 members, 16 at a time: slots are refilled, and the last batch is not full.
PROGRAM = """
import jax
import numpy as np
import mdsens as ms
from mdsens.packings import random_spheres

jax.config.update("jax_enable_x64", True)
assert jax.local_device_count() == {devices}
potential = ms.potentials.SoftSphere()
systems = [random_spheres(np.where(np.arange(12) % 2, 1.0, 1.4), 2, 1.0, seed=k) for k in range(18)]
params = [potential.parameters(s, diameter="diameter") for s in systems]
ensemble = ms.relax_ensemble(potential, params, systems, batch=17)
used = {{len(jax.tree.leaves(b.settings)[0].devices()) if {devices} > 1 else 1 for b in ensemble.batches}}
assert used == {{{devices}}}, used
gradients = ensemble.gradient(ms.pressure)
np.savez(
    "{devices}.npz",
    positions=[s.positions for s in ensemble.systems],
    gradients=[g["diameter"] for g in gradients],
    pressures=ensemble.measure(ms.pressure),
)
"""


@pytest.mark.slow
def test_several_devices_find_what_one_does(tmp_path, repository):
    for devices in (1, 8):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(devices=devices)],
            cwd=tmp_path,
            env={
                **os.environ,
                "JAX_PLATFORMS": "cpu",
                "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
                "JAX_COMPILATION_CACHE_DIR": os.environ["MDSENS_CACHE_DIR"],
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                "PYTHONPATH": str(repository),
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    one, eight = (np.load(tmp_path / f"{k}.npz") for k in (1, 8))
    for name in ("positions", "pressures", "gradients"):
        assert np.isfinite(one[name]).any()
        np.testing.assert_allclose(eight[name], one[name], rtol=1e-9, atol=1e-10, err_msg=name)
