"""The one lock of a scheduler, and what it guards: tasks arrive, start and end; workers come and go.

The modules, each after those that it imports::

    upward            what the core calls in the rooms above
    queue_state       records: a queue, its backend, workers and barriers; what the calling thread does
    exclusive         the lock, and the ways to take it; calls that interrupt its holder
    state             what all parts of a scheduler share; which worker goes to a ready task
    dispatch          workers take tasks, end them with a value, become idle; stop and resume
    termination       tasks end without a value: fail, cancel, drop
    recovery          exceptions in the middle of a change
    submission        tasks are added, or refused
    process           interpreter exit and fork
"""
