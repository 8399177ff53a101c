"""A Dask cluster as an executor: ``executor`` holds DaskExecutor, and the futures of its calls.

It imports ``transport``: what goes between this process and the workers, calls and values of generator tasks.
"""
