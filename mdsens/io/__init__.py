"""Files in and out: structures (ASE), specifications (TOML), results (HDF5)."""
