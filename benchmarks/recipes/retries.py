"""Retries, by tenacity.  A task that waits before it tries again keeps its slot meanwhile."""

from tenacity import retry, stop_after_attempt, wait_random_exponential

from smqexec import Queue

attempts = []


@retry(stop=stop_after_attempt(5), wait=wait_random_exponential(max=0.01), reraise=True)
def fetch(page):
    attempts.append(page)
    if len(attempts) < 3:
        raise ConnectionError("try again")
    return f"page {page}"


with Queue(4) as queue:
    task = queue.submit(fetch, 7)
print(task.result(), attempts)  # page 7 [7, 7, 7]
