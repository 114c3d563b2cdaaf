"""FIT.toml: fits from a file to a file, interrupted and resumed."""
