"""Whole programs, most with another library: ``python -m benchmarks.recipes.NAME``.

``bar``
    A bar in a loop over results, by tqdm.
``cache``
    Results kept from run to run, by joblib.
``event_loop``
    Submit from asyncio to a queue with few pending tasks, without blocking the loop.
``metrics``
    Metrics of a service: an observer that counts, with prometheus_client.
``newest_view``
    Replace the pending call of a key, so that only the newest view is computed.
``retries``
    Retries, by tenacity.
``time_limit``
    A time limit for each task: an observer that cancels.
"""
