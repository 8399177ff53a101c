"""Conditions of a task's start besides its dependencies: options, pending limits, resources.

The modules, each after those that it imports::

    checks       of arguments that several public calls share
    resources    units that a task takes at its start
    options      what `Queue.options` takes
    admission    calls with options, and to queues that are not plain
"""
