"""A Dask cluster as an executor.

The modules, each after those that it imports::

    calls        calls pickled here and made by workers; calls in the loop of Dask's client
    connection   generator tasks: values and answers go through two of Dask's queues
    executor     DaskExecutor, and the futures of its calls
"""
