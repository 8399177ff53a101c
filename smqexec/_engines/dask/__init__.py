"""A Dask cluster as an executor.

The modules, each after those that it imports::

    calls      calls pickled here and made by workers; the values of generator tasks; the loop of the client
    executor   DaskExecutor, and the futures of its calls
"""
