"""SPDL: a pipeline gives the same results on each executor."""

from __future__ import annotations

from concurrent.futures import Executor

import pytest

from clients.conftest import need

pytestmark = pytest.mark.filterwarnings("ignore")


def test_spdl_gives_all_items(executor: Executor) -> None:
    builder = need("spdl.pipeline").PipelineBuilder().add_source(range(300))
    for stage in (abs, abs, lambda item: item + 1):
        builder = builder.pipe(stage, executor=executor, concurrency=4)
    pipeline = builder.add_sink(8).build(num_threads=1)
    with pipeline.auto_stop():
        assert sorted(pipeline) == list(range(1, 301))
