"""Many runs: a plan, workers that may be killed at any time, and one file in the end."""
