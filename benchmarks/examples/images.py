"""Images on disk (smqexec[examples]): load, segment, score; by dependencies, and in phases on a pool."""

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
from PIL import Image, ImageFilter

from smqexec import Queue, Scheduler

alive, counts = WeakValueDictionary(), []  # images in memory; how many at each load


def load(path):
    image = alive[len(counts)] = Image.open(path).convert("L")
    counts.append(len(alive))
    return image


def segment(image):
    return image.filter(ImageFilter.GaussianBlur(2)).point([0] * 128 + [255] * 128)


def score(mask):
    return float(np.asarray(mask).mean())


def by_dependencies(paths):
    with Scheduler() as scheduler:
        disk, cpu = Queue(scheduler, 1), Queue(scheduler, 2)
        scores = [cpu.submit(score, cpu.submit(segment, disk.submit(load, path))) for path in paths]
        while scores:
            yield scores.pop().result()  # the newest first


def in_phases(paths):
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(score, list(pool.map(segment, list(pool.map(load, paths)))))


def compare(count=60, size=512):
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{seed}.png") for seed in range(count)]
        for seed, path in enumerate(paths):
            noise = Image.frombytes("L", (size, size), np.random.default_rng(seed).bytes(size * size))
            noise.filter(ImageFilter.GaussianBlur(4)).save(path)
        for way in (by_dependencies, in_phases):
            counts.clear()
            began = time.perf_counter()
            scores = [(value, (time.perf_counter() - began) * 1e3) for value in way(paths)]
            yield way.__name__, scores[0][1], scores[-1][1], max(counts), sorted(scores)


if __name__ == "__main__":
    for name, first, last, most, _ in compare():
        print(f"{name:16} first score {first:5.0f} ms, last {last:5.0f} ms, at most {most} images alive")
