"""Workers run tasks; threads wait for futures, and run nested tasks meanwhile.

The modules, each after those that it imports::

    streams   generator tasks: a worker publishes values, users request them as items
    loop      a worker takes, calls and completes one task after another
    pools     backends: workers in threads of a pool, or in the threads that submit
    waits     a thread's wait: what wakes it, and the tasks that its worker runs meanwhile
    stall     finds tasks that wait for each other, and waits that may never end
    waiting   how a thread waits
"""
