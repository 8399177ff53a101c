"""Queues on any executor: processes, interpreters, a cluster; generator tasks there.

The modules, each after those that it imports::

    receivers   generator tasks at an executor: each value comes to this process at once
    executors   Engine: how a queue uses its executor
    backend     the backend of a queue on an engine
    dask/       an engine that is a Dask cluster
"""
