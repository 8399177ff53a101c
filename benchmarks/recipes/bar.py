"""A bar in a loop over results, by tqdm.  The bars of a whole scheduler: ``smqexec.progress``."""

from tqdm import tqdm

from smqexec import Queue, as_completed

with Queue(4) as queue:
    tasks = [queue.submit(pow, n, 2) for n in range(100)]
    print(sum(task.result() for task in tqdm(as_completed(tasks), total=100)))  # 328350
