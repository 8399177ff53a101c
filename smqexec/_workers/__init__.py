"""Workers run tasks; threads wait for futures, and run nested tasks meanwhile.

The modules, each after those that it imports::

    generators   a worker publishes the values of a generator task
    loop         a worker takes, calls and completes one task after another
    streams      items: requests for values of generator tasks, and their ends
    inline       backend: workers in the threads that submit
    pools        backend: workers in threads of a pool
    waits        the record of a thread that waits, and its wakes
    join_search  finds the tasks that a waiting worker runs meanwhile
    cycles       finds tasks that wait for each other
    stall        finds waits that may never end
    waiting      how a thread waits: for a future, for a condition, for `resume`
    completions  waits for several futures
"""
