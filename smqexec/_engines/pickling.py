"""Find the part of a call that can't be pickled, after the call has failed.

This costs a call nothing, unless it fails with an error that looks like one of pickling.  To pickle each
argument beforehand would do the work twice.  Nothing here has a state.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterable
from typing import Any

from .._calls.callables import name_of
from .._calls.frames import traceback_of


def explain(error: BaseException, fn: Any, args: Any, kwargs: Any, executor: Any) -> BaseException:
    """Return an error that names the part of a call that can't be pickled; or *error*, with which it failed.

    *args* is None if the call has failed before its arguments were known.
    """
    if args is None or not (_mentions_pickling(error) or _raised_in_pickling(error)):
        return error
    if "_sendback_result" in str(error.__cause__):  # the function of a worker that sends the result
        text = f"the result of {name_of(fn)} can't be sent back: it can't be pickled: {error}"
    else:
        why = refused_part(fn, args, kwargs, _picklers(executor))
        if why is None:
            return error
        text = f"{name_of(fn)} can't be sent to {type(executor).__name__}: {why}"
    explained = pickle.PicklingError(text)
    explained.__cause__ = error
    return explained


def refused_part(
    fn: Any, args: Iterable[Any], kwargs: dict[str, Any], picklers: Iterable[Callable[[Any], object]]
) -> str | None:
    """Return which part of a call none of *picklers* takes, and why; None if each part can be pickled."""
    named = [(str(number), value) for number, value in enumerate(args, 1)]
    named += [(repr(name), value) for name, value in kwargs.items()]
    parts = [("it", fn)]
    parts += [(f"its argument {name}, of type {type(value).__qualname__!r},", value) for name, value in named]
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
            return f"{part} can't be pickled: {reason}"
    return None


def _mentions_pickling(error: BaseException) -> bool:
    try:
        words = f"{type(error).__name__} {error}".lower()
    except Exception:  # raised by the user's own class
        return False
    return "pickl" in words or "serializ" in words


def _raised_in_pickling(error: BaseException) -> bool:
    traceback = traceback_of(error)  # empty if a worker has raised the error
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        if any(word in module for word in ("pickle", "multiprocessing.reduction", "futures.interpreter")):
            return True
        traceback = traceback.tb_next
    return False


def _picklers(executor: Any) -> list[Callable[[Any], object]]:
    """Return the picklers that *executor* may use."""
    from multiprocessing.reduction import ForkingPickler

    picklers: list[Callable[[Any], object]] = [ForkingPickler.dumps]
    cloudpickle = sys.modules.get("cloudpickle") or sys.modules.get("joblib.externals.cloudpickle")
    if cloudpickle is not None and not type(executor).__module__.startswith("concurrent.futures"):
        picklers.append(cloudpickle.dumps)
    return picklers
