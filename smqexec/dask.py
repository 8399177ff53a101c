"""A Dask cluster as the engine of a queue: values stay on the cluster until the program asks for one.

::

    from distributed import Client
    from smqexec.dask import DaskExecutor

    cluster = Queue(scheduler, executor=DaskExecutor(Client("tcp://scheduler:8786")))

Nothing here distributes anything: ``distributed``'s own client submits the calls, values lie at its
workers and move between these, and its scheduler recomputes the values of a lost worker.  A
`ClusterFuture` is the future of a call on the cluster.  It is done when the value is there, on the
cluster; its `result` fetches the value, once.  As an argument of another call on the same cluster it goes
there as Dask's own future, and a worker gets the value from the worker that has it.

Dask's scheduler and workers need ``smqexec`` (``pip install 'smqexec[dask]'``); only the workers need the
modules of the calls.

A value comes to this process when the program calls ``task.result()``, or a task of another queue needs
it, and only once; ``task[key]`` is made on the cluster.  The cluster drops the value with the task.  ::

    gpu = cluster.options(name="fit", resources={"GPU": 1}, retries=2)
    fits = [gpu.submit(fit, film[i], client.scatter(model)) for i in range(20)]

*Options*: ``priority``, ``resources``, ``retries``, ``workers`` and ``allow_other_workers``, as of Dask's
``Client.submit``.  Each call is made, also one like another (``pure=False``).  Names are shown on Dask's
dashboard.  Dask's own futures may stand anywhere in the arguments, too.

*Width*: ``max_workers`` is the number of threads of the cluster when the queue is made; if the cluster
grows, set ``queue.max_workers``.  ``prefetch`` follows the pace: one call more than end within 0.1 s, and
64 at most.

*Losses*: Dask computes the values of a lost worker again.  It can't if a call brought more than 0.1 MB
from here and has ended: a task that needs its value then fails with `CallLost`.  A generator task is not
begun again.  If Dask's scheduler is gone, or the client closed, all tasks fail at once, with
`BrokenCluster`.  ``cancel()`` has an effect before a call has begun; a call that runs goes on, and its
value is thrown away.
"""

from ._engines.dask.executor import BrokenCluster, CallLost, ClusterFuture, DaskExecutor

__all__ = ["BrokenCluster", "CallLost", "ClusterFuture", "DaskExecutor"]

for _public in (BrokenCluster, CallLost, ClusterFuture, DaskExecutor):
    _public.__module__ = __name__  # for repr, help and pickle
