"""Workers run tasks; threads wait for futures, and run nested tasks meanwhile.

The modules, each after those that it imports::

    generators   a worker publishes the values of a generator task
    loop         a worker takes, calls and completes one task after another
    streams      items: requests for values of generator tasks, and their ends
    pools        backends: workers in threads of a pool, or in the threads that submit
    waits        what a thread waits for, and what wakes the thread; the wait for a condition
    join_search  a wait for futures finds the tasks that its worker runs meanwhile
    stall        finds tasks that wait for each other, and waits that may never end
    completions  the waits for one future or several
    waiting      how a thread waits
"""
