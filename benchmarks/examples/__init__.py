"""Two real programs, `measurement` and `images`: ``python -m benchmarks.examples.NAME``."""
