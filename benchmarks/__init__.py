"""What a task costs, beside ThreadPoolExecutor: ``python -m benchmarks [--quick]``."""
