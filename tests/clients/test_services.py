"""Programs that serve requests, or wrap an executor that serves them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import pytest
from gate import DEADLINE

from clients.conftest import need

pytestmark = pytest.mark.filterwarnings("ignore")


def test_slack_bolt_calls_a_listener(executor: Executor) -> None:
    bolt = need("slack_bolt")
    authorization = need("slack_bolt.authorization")
    user = authorization.AuthorizeResult(
        enterprise_id="E", team_id="T", bot_token="xoxb-1", bot_id="B", bot_user_id="U"
    )
    app = bolt.App(
        signing_secret="secret", listener_executor=executor, authorize=lambda: user,
        request_verification_enabled=False, ssl_check_enabled=False,
    )  # fmt: skip
    seen: list[str] = []
    called = threading.Event()

    @app.event("app_mention")
    def listen(event: Any) -> None:
        seen.append(event["text"])
        called.set()

    event = {"type": "app_mention", "text": "hello", "user": "U2"}
    body = json.dumps({"type": "event_callback", "team_id": "T", "event": event})
    answer = app.dispatch(bolt.BoltRequest(body=body, headers={"content-type": ["application/json"]}))
    assert answer.status == 200
    assert called.wait(DEADLINE)
    assert seen == ["hello"]


def test_pubsub_schedules_a_callback(executor: Executor) -> None:
    # Its `shutdown` reads `_work_queue`, a private field of ThreadPoolExecutor: that is left out.
    scheduler = need("google.cloud.pubsub_v1.subscriber.scheduler").ThreadScheduler(executor)
    called = threading.Event()
    scheduler.schedule(called.set)
    assert called.wait(DEADLINE)


def test_temporalio_runs_activities(executor: Executor) -> None:
    """A whole worker of temporalio; in place of a server, which it would download, a few answers by grpc."""
    client, worker = need("temporalio.client"), need("temporalio.worker")
    activity = need("temporalio.activity")
    messages = need("temporalio.api.workflowservice.v1")
    grpc = need("grpc")
    asked = iter(range(5))
    results: dict[bytes, bytes] = {}
    all_done = threading.Event()

    @activity.defn
    def double(number: int) -> int:
        assert activity.info().activity_id == str(number)
        activity.heartbeat()
        return 2 * number

    def poll() -> Any:
        task = messages.PollActivityTaskQueueResponse()
        number = next(asked, None)
        if number is None:
            all_done.wait(DEADLINE)
            return task
        task.task_token, task.activity_id, task.activity_type.name = b"%d" % number, str(number), "double"
        task.input.payloads.add(data=b"%d" % number).metadata["encoding"] = b"json/plain"
        task.start_to_close_timeout.seconds = task.schedule_to_close_timeout.seconds = int(6 * DEADLINE)
        return task

    class Server(grpc.GenericRpcHandler):  # type: ignore[misc, name-defined]
        def service(self, call: Any) -> Any:
            name = call.method.rpartition("/")[2]
            request, answer = getattr(messages, name + "Request"), getattr(messages, name + "Response")

            def serve(message: Any, context: Any) -> Any:
                if name == "PollActivityTaskQueue":
                    return poll()
                if name == "RespondActivityTaskCompleted":
                    results[message.task_token] = message.result.payloads[0].data
                    if len(results) == 5:
                        all_done.set()
                return answer()

            return grpc.unary_unary_rpc_method_handler(serve, request.FromString, answer.SerializeToString)

    async def main(port: int) -> None:
        connected = await client.Client.connect(f"127.0.0.1:{port}")
        async with worker.Worker(
            connected, task_queue="queue", activities=[double],
            activity_executor=executor, max_concurrent_activities=2,
        ):  # fmt: skip
            await asyncio.to_thread(all_done.wait, DEADLINE)

    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads, handlers=[Server()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            asyncio.run(asyncio.wait_for(main(port), 3 * DEADLINE))
        finally:
            assert server.stop(None).wait(DEADLINE)
    assert results == {b"%d" % number: b"%d" % (2 * number) for number in range(5)}


def test_grpc_serves(executor: Executor) -> None:
    grpc = need("grpc")
    server = grpc.server(executor)
    method = grpc.unary_unary_rpc_method_handler(lambda request, context: request[::-1])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Service", {"Turn": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        turn = channel.unary_unary("/Service/Turn")
        assert [turn(b"ab%d" % i, timeout=DEADLINE) for i in range(3)] == [b"0ba", b"1ba", b"2ba"]
    assert server.stop(None).wait(DEADLINE)


def test_tornado_runs_in_the_executor(executor: Executor) -> None:
    ioloop = need("tornado.ioloop")

    async def main() -> Any:
        return await ioloop.IOLoop.current().run_in_executor(executor, pow, 2, 5)

    assert asyncio.run(main()) == 32


def test_asgiref_calls_in_a_thread_of_the_executor(executor: Executor) -> None:
    sync = need("asgiref.sync")

    def here() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert asyncio.run(sync.sync_to_async(here, thread_sensitive=False, executor=executor)()) is False


def test_s3transfer_bounds_what_is_submitted(make: Callable[[int], Executor]) -> None:
    futures = need("s3transfer.futures")
    tasks = need("s3transfer.tasks")
    executor = futures.BoundedExecutor(10, 2, executor_cls=lambda max_workers: make(max_workers))

    class Double(tasks.Task):  # type: ignore[misc, name-defined]
        def _main(self, number: int) -> int:
            return 2 * number

    coordinators = [futures.TransferCoordinator(number) for number in range(50)]
    submitted = [
        executor.submit(Double(coordinator, main_kwargs={"number": number}, is_final=True))
        for number, coordinator in enumerate(coordinators)
    ]
    assert [future.result() for future in submitted] == [2 * number for number in range(50)]
    executor.shutdown()


def test_requests_futures_reports_a_refused_connection(executor: Executor) -> None:
    sessions = need("requests_futures.sessions")
    requests = need("requests")
    with pytest.raises(requests.ConnectionError):
        sessions.FuturesSession(executor=executor).get("http://127.0.0.1:9/").result(DEADLINE)


def test_more_executors_wraps(executor: Executor) -> None:
    retry = need("more_executors").RetryExecutor
    attempts: list[int] = []

    def fails_twice() -> int:
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError
        return len(attempts)

    policy = need("more_executors").ExceptionRetryPolicy(max_attempts=5, sleep=0.001)
    with retry(executor, retry_policy=policy) as wrapped:
        assert wrapped.submit(fails_twice).result(DEADLINE) == 3
