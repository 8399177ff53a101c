"""Remove the frames of this package from tracebacks.

A frame of ours that calls user code would keep tasks, arguments and results as long as the exception.
"""

import os
from types import TracebackType
from typing import Any

_FOLDER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")  # of this package

# The descriptor of the base class: a frozen dataclass refuses an assignment to the attribute.
_TRACEBACK: Any = vars(BaseException)["__traceback__"]


def traceback_of(exception: BaseException) -> TracebackType | None:
    """Return the traceback of *exception*, without its class's own attribute access."""
    return _TRACEBACK.__get__(exception)  # type: ignore[no-any-return]


def strip_ours(exception: BaseException) -> None:
    """Remove the outermost frames of this package from the traceback of *exception*."""
    traceback = traceback_of(exception)
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_FOLDER):
        traceback = traceback.tb_next
    _TRACEBACK.__set__(exception, traceback)
