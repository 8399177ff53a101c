"""A call: gather the futures among its arguments, substitute their results, and call its function.

The modules, each after those that it imports::

    kinds        what an argument is: a future, Raw or settled, a container, or plain
    containers   futures in containers: found at submit, replaced before the call
    arguments    all arguments of a call
    callables    which functions make generator tasks; ``number_of_results``; wrappers
    frames       tracebacks without the frames of this package
    interrupts   Ctrl-C, signal handlers, finalizers, and the depth of the stack
"""
