"""Results kept from run to run, by ``Memory`` of joblib."""

from tempfile import TemporaryDirectory

from joblib import Memory

from smqexec import Queue

with TemporaryDirectory() as directory:  # or a folder that stays
    calls = []

    @Memory(directory, verbose=0).cache
    def spectrum(n):
        calls.append(n)
        return [n % level for level in range(1, 5)]

    with Queue(1) as queue:
        tasks = [queue.submit(spectrum, n) for n in (17, 23, 17)]
    print(tasks[0].result() == tasks[2].result(), calls)  # True [17, 23]
