"""Marks of cases: a fast one stays in every run, the others are `slow`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow_but(fast: object, cases: Iterable[Any]) -> list[Any]:
    """Return *cases* for `pytest.mark.parametrize`, each marked slow but *fast*: one, or a list of some."""
    kept = fast if isinstance(fast, list) else [fast]
    cases = list(cases)
    assert all(case in cases for case in kept)
    marked = []
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        marked.append(pytest.param(*values, marks=() if case in kept else pytest.mark.slow))
    return marked
