"""Submit from an event loop to a queue that has few tasks pending, without blocking the loop.

``submit`` to a queue with ``max_pending`` would block the loop, so it raises there if the queue is full.
Here an asyncio semaphore counts what is pending or running, and coroutines wait for it, first come first
served.
"""

import asyncio

from smqexec import Queue


class Room:
    def __init__(self, queue, limit):
        self.queue, self.room, self.most = queue, asyncio.Semaphore(limit), 0

    async def submit(self, fn, *args):
        await self.room.acquire()
        loop = asyncio.get_running_loop()
        task = self.queue.submit(fn, *args)
        task.add_done_callback(lambda _: loop.call_soon_threadsafe(self.room.release))
        counts = self.queue.counts()  # of one moment: asked twice, a task might be both ready and running
        self.most = max(self.most, counts["ready"] + counts["running"])
        return task


async def request(room, n):
    return await (await room.submit(pow, n, 2))


async def main():
    with Queue(2) as queue:
        room = Room(queue, 8)
        squares = await asyncio.gather(*[request(room, n) for n in range(1000)])
    print(sum(squares), room.most <= 8)  # 332833500 True


asyncio.run(main())
