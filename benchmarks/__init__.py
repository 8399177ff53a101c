"""What a task costs, beside ThreadPoolExecutor and other libraries: ``python -m benchmarks``."""
