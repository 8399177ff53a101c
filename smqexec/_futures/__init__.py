"""Tasks and items: the futures that a scheduler ends.

The modules, each after those that it imports::

    waiter         how a thread sleeps
    owner          what tasks and items call in the rooms above
    remote_value   values that stay at the engine that made them
    names          names and numbers of tasks, for messages
    at_end         what the end of a future causes: waiters, hooks, callbacks, relays
    conditions     how `concurrent.futures.wait` sees a future
    future         the base of tasks and items
    items          Item; the stream of a generator task
    task           Task
"""
