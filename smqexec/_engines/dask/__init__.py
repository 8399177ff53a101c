"""A Dask cluster as an executor.

The modules, each after those that it imports::

    transport   what goes between this process and the workers: calls, and the values of generator tasks
    executor    DaskExecutor, and the futures of its calls
"""
