"""A task comes with options, or to a queue with rules of its own."""

from __future__ import annotations

from functools import partial
from typing import Any

from ._arguments import Template, templated
from ._arrivals import Arrivals
from ._contexts import InContext
from ._nodes import Group
from ._options import Options, OptionsTask
from ._slots import Slots
from ._task import Task


class Admission(Arrivals):
    """A scheduler that heeds options."""

    def add_with(
        self, slots: Slots, fn: Any, args: Any, kwargs: Any, group: Group | None, options: Options
    ) -> Task[Any]:
        """Do what `add` does, with *options*."""
        if options.context is not None:
            fn = InContext(options.context, fn)
        if options.after and type(kwargs) is not Template:
            args, kwargs = None, templated(args, kwargs)
        return self.add(slots, fn, args, kwargs, group, partial(_made, options))


def _made(options: Options) -> Task[Any]:
    task: OptionsTask[Any] = OptionsTask()
    task._options = options.kept or options
    task._after = options.after
    return task
