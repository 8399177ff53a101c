"""Find the part of a call that can't be pickled, after the call has failed.

Tried only when a call has failed in a way that looks like it: to pickle each
argument beforehand would be to do the work twice.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterable
from typing import Any

from .._calls.callables import name_of
from .._calls.frames import traceback_of


def explain(error: BaseException, fn: Any, args: Any, kwargs: Any, executor: Any) -> BaseException:
    """Return an error that names what of a call, which failed with *error*, can't be pickled; or *error*.

    Cost: none, unless *error* arose as something was pickled in this process; then
    that of pickling the call.
    """
    if args is None or not (_speaks_of_pickling(error) or _arose_in_pickling(error)):
        return error
    if "_sendback_result" in str(error.__cause__):  # the function that does so in a worker
        text = f"the result of {name_of(fn)} can't be sent back: it can't be pickled: {error}"
        return _because(text, error)
    why = refused_part(fn, args, kwargs, _picklers(executor))
    if why is None:
        return error
    return _because(f"{name_of(fn)} can't be sent to {type(executor).__name__}: {why}", error)


def refused_part(
    fn: Any, args: Iterable[Any], kwargs: dict[str, Any], picklers: Iterable[Callable[[Any], object]]
) -> str | None:
    """Return which part of a call none of *picklers* takes, and why; None if there is none."""
    parts = [("it", fn)]
    parts += [(f"its argument {number}", value) for number, value in enumerate(args, 1)]
    parts += [(f"its argument {name!r}", value) for name, value in kwargs.items()]
    for part, value in parts:
        reason = None
        for dumps in picklers:
            try:
                dumps(value)
            except Exception as error:
                reason = str(error) or type(error).__name__
            else:
                break
        else:
            what = "" if part == "it" else f", of type {type(value).__qualname__!r},"
            return f"{part}{what} can't be pickled: {reason}"
    return None


def _because(text: str, error: BaseException) -> pickle.PicklingError:
    told = pickle.PicklingError(text)
    told.__cause__ = error
    return told


def _speaks_of_pickling(error: BaseException) -> bool:
    try:
        words = f"{type(error).__name__} {error}".lower()
    except Exception:  # of the user's own class
        return False
    return "pickl" in words or "serializ" in words


def _arose_in_pickling(error: BaseException) -> bool:
    traceback = traceback_of(error)  # what a worker raised has none here
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        if any(word in module for word in ("pickle", "multiprocessing.reduction", "futures.interpreter")):
            return True
        traceback = traceback.tb_next
    return False


def _picklers(executor: Any) -> list[Callable[[Any], object]]:
    """Return what *executor* may pickle with."""
    from multiprocessing.reduction import ForkingPickler

    picklers: list[Callable[[Any], object]] = [ForkingPickler.dumps]
    cloudpickle = sys.modules.get("cloudpickle") or sys.modules.get("joblib.externals.cloudpickle")
    if cloudpickle is not None and not type(executor).__module__.startswith("concurrent.futures"):
        picklers.append(cloudpickle.dumps)
    return picklers
