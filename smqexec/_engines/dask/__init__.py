"""A Dask cluster as an executor: calls and their futures, generator tasks."""
