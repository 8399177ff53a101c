"""What a submitted function is: does it yield results one by one, and what announces how many?  Pure."""

from __future__ import annotations

import operator
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial, partialmethod, wraps
from typing import Any, ClassVar
from unittest.mock import MagicMock, Mock, create_autospec

import pytest

from smqexec import number_of_results
from smqexec._calls.callables import Plain, announcement, generates, length, name_of


def values(*args: Any) -> Iterator[Any]:
    yield from args


def ordinary(*args: Any) -> Any:
    return args


async def coroutine() -> None: ...


async def asynchronous() -> Any:
    yield


def decorated(fn: Callable[..., Any]) -> Callable[..., Any]:
    return wraps(fn)(lambda *args, **kwargs: fn(*args, **kwargs))


@contextmanager
def context() -> Iterator[None]:
    yield


class Numbers:
    """A class whose instances, methods and nested names are generator functions."""

    def __call__(self, n: int = 1) -> Iterator[int]:
        yield n

    method = __call__
    part = partialmethod(method, 2)
    decorated = decorated(method)

    @classmethod
    def of_class(cls) -> Iterator[int]:
        yield 1

    @staticmethod
    def static() -> Iterator[int]:
        yield 1


class Heir(Numbers):
    pass


class Delegating:
    """Its ``__call__`` is no function, but another callable: that one is not looked into."""

    __call__ = Numbers()


class Slotted:
    __slots__ = ()

    def __call__(self) -> Iterator[int]:
        yield 1


class Odd:
    """A callable that answers no questions about itself."""

    def __call__(self) -> None: ...

    def refuse(self, *_: object) -> Any:
        raise RuntimeError("what I am is my own affair")

    __getattr__ = refuse
    __class__ = property(refuse, refuse)  # type: ignore[assignment]


# Behind all that there is, in turn; and a wrapper of itself.
DEEP = partial(decorated(partial(decorated(Numbers().method), 1)))
CIRCLE: list[Any] = [decorated(ordinary)]  # in a list, as the search for doctests unwraps functions
CIRCLE[0].__wrapped__ = CIRCLE[0]


# What generates.


@pytest.mark.parametrize(
    "fn",
    [
        *(values, lambda: (yield), partial(values, 1), Numbers(), Heir(), Slotted(), Numbers.method),
        *(Numbers().method, Numbers.of_class, Numbers().static, Numbers().part, Numbers().decorated),
        *(decorated(values), lru_cache(values), DEEP, types.MethodType(Numbers(), 1)),
        context,  # a result that is no iterator is an ordinary one all the same
    ],
)
def test_generator_functions(fn: Any) -> None:
    assert generates(fn)
    assert announcement(fn) is None


@pytest.mark.parametrize(
    "fn",
    [
        *(ordinary, partial(ordinary), coroutine, asynchronous, print, [].append, int, type, *CIRCLE),
        lambda: values(1),  # returns a generator, is none
        Numbers,  # its instances would be
        *(Delegating(), Mock(), MagicMock(), Mock(spec=type), Mock(spec=partial(ordinary))),
        *(Mock(return_value=iter([1])), create_autospec(values), create_autospec(Numbers)),
        *(Plain(values), Plain(Numbers())),
        *(values(1), None),  # not even callable
    ],
    ids=lambda fn: type(fn).__name__,
)
def test_no_generator_functions(fn: Any) -> None:
    assert not generates(fn)
    assert announcement(fn) is None


def test_object_that_answers_no_questions() -> None:
    assert not (generates(Odd()) or generates(Plain(Odd())) or generates(partial(Odd())))
    assert announcement(Odd()) is None
    assert name_of(Odd()) == name_of(Plain(Odd())) == "Odd"


@pytest.mark.parametrize("fn", [lambda: None, Mock()], ids=["function", "mock"])
def test_a_number_makes_a_generator_function_of_any_callable(fn: Any) -> None:
    assert not generates(fn)  # a mock has whatever it is asked for
    assert number_of_results(ordinary)(fn) is fn
    assert fn.number_of_results is ordinary
    assert generates(fn) and generates(partial(fn)) and generates(decorated(fn))
    assert not generates(Plain(fn))
    count: Any = announcement(fn)
    assert count(1, 2) == (1, 2)


def test_nothing_of_the_users_is_called_by_a_look() -> None:
    class Watchful:
        def fail(self, *_: object) -> Any:
            raise AssertionError

        __call__ = __getattribute__ = fail
        number_of_results = property(fail)

    assert generates(Watchful())
    assert announcement(Watchful()) is not None


# Who announces, and for which arguments.


class Announcing:
    """Its instances announce by a method."""

    factor: ClassVar[int] = 10

    def __call__(self, n: int) -> Iterator[int]:
        yield n

    def number_of_results(self, n: int) -> int:
        return self.factor * n


class Announced:
    """Its methods are announced."""

    factor: ClassVar[int] = 10

    @number_of_results(lambda self, n: self.factor * n)
    def method(self, n: int) -> Iterator[int]:
        yield n

    @classmethod
    @number_of_results(lambda cls, n: cls.factor * n)
    def of_class(cls, n: int) -> Iterator[int]:
        yield n

    @staticmethod
    @number_of_results(lambda n: 10 * n)
    def static(n: int) -> Iterator[int]:
        yield n

    part = partialmethod(method, 3)


class Called:
    """The number is that of its ``__call__``."""

    @number_of_results(lambda self, n: 10 * n)
    def __call__(self, n: int) -> Iterator[int]:
        yield n


class Iterates:
    """An iterator class, with the number that its constructor's arguments give."""

    def __init__(self, n: int) -> None:
        self.left = n

    @staticmethod
    def number_of_results(n: int) -> int:
        return 10 * n


def own() -> Any:
    announcing: Any = Announcing()
    announcing.factor = 0
    announcing.number_of_results = lambda n: 10 * n
    return announcing


@number_of_results(lambda n: 10 * n)
def tens(n: int) -> Iterator[int]:
    yield n


def labelled(name: str, n: int) -> Iterator[Any]:
    yield name, n


@number_of_results(lambda name, n: 10 * n if name == "x" else -1)
def announced(name: str, n: int) -> Iterator[Any]:
    yield name, n


def with_own_number() -> Any:
    fn = partial(labelled, "x")
    fn.number_of_results = lambda n: 10 * n  # type: ignore[attr-defined]
    return fn


def wrapper_with_another_signature() -> Any:
    @number_of_results(lambda n: 10 * n)
    @wraps(labelled)
    def wrapper(n: int) -> Any:
        return labelled("x", n)

    return wrapper


@pytest.mark.parametrize(
    "fn",
    [
        *(tens, partial(tens), decorated(tens), decorated(decorated(tens)), Announcing()),
        *(Announced().method, partial(Announced().method), Announced.of_class, Announced.static),
        *(Called(), Called().__call__, Iterates, own(), with_own_number()),
        wrapper_with_another_signature(),
    ],
)
def test_number_for_the_arguments_of_the_call(fn: Any) -> None:
    count: Any = announcement(fn)
    assert generates(fn)
    assert count(3) == count(n=3) == 30


@pytest.mark.parametrize(
    "fn",
    [
        *(partial(tens, 3), partial(tens, n=3), partial(partial(tens), 3), decorated(partial(tens, 3))),
        *(partial(Announced().method, 3), partial(Announced.method, Announced(), 3)),
        *(partial(Called(), 3), Announced().part, types.MethodType(tens, 3)),
        *(partial(decorated(partial(announced, "x")), 3), partial(decorated(partial(tens, n=4)), n=3)),
    ],
)
def test_number_for_the_arguments_bound_before(fn: Any) -> None:
    count: Any = announcement(fn)
    assert count() == 30


def test_outermost_number_counts() -> None:
    outer = number_of_results(lambda n: n + 1)(decorated(tens))
    count: Any = announcement(outer)
    assert count(3) == 4
    assert tens.number_of_results(3) == 30  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", [3, None, "len", values])
def test_decorator_without_a_count(count: Any) -> None:
    """Above a generator function it may have lost its parentheses: then it gets that function."""
    with pytest.raises(TypeError, match="takes a callable that returns an int, not"):
        number_of_results(count)


# The number.


class Seven:
    def __index__(self) -> int:
        return 7


@pytest.mark.parametrize("number", [0, 1, True, sys.maxsize, Seven()])
def test_lengths(number: Any) -> None:
    found = length(lambda *args, **kwargs: number, "fn", (1,), {"a": 2})
    assert found == operator.index(number) and isinstance(found, int)


WRONG = "^number_of_results of fn must give an int of 0 or more, not {}$"


@pytest.mark.parametrize(
    ("number", "error", "shown"),
    [
        *[(number, TypeError, f"'{type(number).__name__}'") for number in (None, 1.0, "1", [1])],
        *[(number, ValueError, number) for number in (-1, -(2**70))],
    ],
)
def test_no_lengths(number: object, error: type[Exception], shown: object) -> None:
    with pytest.raises(error, match=WRONG.format(shown)):
        length(lambda: number, "fn", (), {})


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(1)])
def test_error_of_the_count_says_where_it_comes_from(error: BaseException) -> None:
    def count() -> int:
        raise error

    with pytest.raises(type(error)) as caught:
        length(count, "fn", (), {})
    assert caught.value is error
    assert error.__notes__ == ["raised by number_of_results of fn"]


def test_count_that_is_no_callable() -> None:
    def fn() -> None: ...

    fn.number_of_results = 5  # type: ignore[attr-defined]
    count: Any = announcement(fn)
    with pytest.raises(TypeError, match="'int' object is not callable") as caught:
        length(count, name_of(fn), (), {})
    assert "raised by number_of_results of test_count" in caught.value.__notes__[0]


# Names.


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        *[(values, "values"), (Numbers().method, "Numbers.__call__"), (Numbers, "Numbers")],
        *[(Numbers(), "Numbers"), (partial(values), "partial"), (Plain(values), "values")],
        (Mock(__qualname__=3), "Mock"),
    ],
    ids=range(7),
)
def test_names(fn: Any, name: str) -> None:
    assert name_of(fn) == name
