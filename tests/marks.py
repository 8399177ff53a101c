"""Marks of cases: a fast one stays in every run, the others are `slow`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow_but(fast: object, cases: Iterable[Any]) -> list[Any]:
    """Return *cases* for `pytest.mark.parametrize`, each of them marked slow but *fast*."""
    cases = list(cases)
    assert fast in cases
    marked = []
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        marked.append(pytest.param(*values, marks=() if case == fast else pytest.mark.slow))
    return marked
