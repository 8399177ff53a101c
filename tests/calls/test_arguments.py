"""What is gathered from a call's arguments, and how results take the place of futures."""

import builtins
import gc
import random
import sys
import weakref
from collections import ChainMap, Counter, OrderedDict, UserList, defaultdict, deque, namedtuple
from concurrent.futures import Future
from dataclasses import InitVar, dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import pytest
from gate import DEADLINE
from hypothesis import given, settings
from hypothesis import strategies as st
from threads import until_gone, without_collector

from smqexec import Queue, Raw, settled
from smqexec._calls import kinds
from smqexec._calls.arguments import dependencies as listed
from smqexec._calls.arguments import encode, materialise
from smqexec._calls.callables import NO_ITERATORS, is_iterator

DEPTH = 20_000

frozendict = getattr(builtins, "frozendict", None)  # from CPython 3.15 on
# Of types that other tests have a list of: some only newer Pythons have.
NEW_MAPPINGS = [] if frozendict is None else [frozendict]


def done(value):
    future = Future()
    future.set_result(value)
    return future


class Encoded:
    """The encoded arguments of a call."""

    def __init__(self, args, form):
        self.args, self.form = args, form

    @property
    def dependencies(self):
        return listed(self.args, self.form)

    def fill(self):
        return materialise(self.args, self.form)


def gather(args, kwargs):
    """Encode the arguments; None if they hold no future, ``Raw`` or ``settled``."""
    kept, form = encode(args, kwargs)
    return None if kept is args and form in (None, kwargs) else Encoded(kept, form)


def filled(*args, **kwargs):
    return gather(args, kwargs).fill()


def rebuilt(argument):
    (result,), _ = filled(argument)
    return result


def dependencies(*args, **kwargs):
    return gather(args, kwargs).dependencies


class Point(NamedTuple):
    x: Any
    y: Any = 0


@dataclass
class Cell:
    value: Any = None
    link: Any = None


@dataclass(frozen=True)
class Frozen:
    value: Any
    link: Any = None


@dataclass(slots=True, eq=False)
class Slotted:
    value: Any
    link: Any = None


class Hostile:
    """Fails whatever is asked of it, except its type."""

    def fail(self, *args):
        raise AssertionError("a plain argument was touched")

    __eq__ = __hash__ = __bool__ = __repr__ = __getattribute__ = __len__ = __iter__ = fail


def instance_of(**methods):
    """Return an instance of a class whose metaclass has these *methods*."""
    return type("Meta", (type,), methods)("Odd", (), {})()


def fail(*_):
    raise ValueError("not to be asked")


UNHASHABLE, REFUSING = ODD = [instance_of(__hash__=None), instance_of(__hash__=fail)]


# Direct arguments


PLAIN = [1, None, len, Cell, Future, Point(1, 2), [1, [2]], {"a": {1}}, Cell(1, [2]), (), *ODD]


@pytest.mark.parametrize("argument", PLAIN, ids=lambda argument: type(argument).__name__)
def test_arguments_without_futures_are_passed_as_they_are(argument):
    assert gather((argument,), {}) is None
    assert gather((), {"name": argument}) is None
    assert gather(([argument],), {}) is None


@pytest.mark.parametrize("argument", ODD)
def test_arguments_whose_class_can_not_be_hashed_stand_beside_futures(argument):
    (value, first, second), named = filled(argument, [done(1), argument], (done({2}), [argument]))
    assert value is first[1] is second[1][0] is argument
    assert (first[0], second[0], named) == (1, {2}, {})


def test_argument_whose_class_equals_all_classes_is_passed_as_it_is():
    argument = instance_of(__hash__=type.__hash__, __eq__=lambda *_: True)
    with Queue(1) as queue:
        task = queue.submit(lambda *args: args, queue.submit(int), argument)
        assert task.result(DEADLINE) == (0, argument)


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: Cell(x)])
def test_raw_passes_a_future_and_settled_the_finished_one(wrap):
    future, failed = Future(), Future()
    failed.set_exception(ZeroDivisionError())
    template = gather((wrap(Raw([future])), wrap(settled(failed))), {})
    assert template.dependencies == [(failed, True)]
    assert template.fill() == ((wrap([future]), wrap(failed)), {})


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x]])
def test_future_given_both_ways_is_two_dependencies(wrap):
    one = done(1)
    template = gather((wrap(one), wrap(settled(one)), wrap(one)), {"a": settled(one)})
    assert template.dependencies == [(one, False), (one, True)]
    assert template.fill() == ((wrap(1), wrap(one), wrap(1)), {"a": one})


def test_settled_takes_only_futures():
    with pytest.raises(TypeError, match=r"takes a concurrent\.futures\.Future, not 'int'"):
        settled(1)


def test_raw_and_settled_are_harmless_outside_arguments():
    future = Future()
    assert Raw[int](1).value == 1
    assert settled(future).future is future
    assert repr(Raw("x")) == "Raw('x')"
    assert repr(settled(future)) == f"settled({future!r})"


# Containers


def test_dependencies_are_in_argument_order_depth_first():
    a, b, c, d, e, f, g = futures = [done(i) for i in range(7)]
    found = dependencies([a, (b, {c: d}), a], Cell({"k": [e]}, b), x=f, y=[g])
    assert found == [(future, False) for future in futures]


def test_subclasses_of_containers_are_not_searched():
    future = Future()
    bases = [list, tuple, set, frozenset, deque, dict, OrderedDict, *NEW_MAPPINGS]
    plain = [UserList([future]), ChainMap({"a": future}), Counter(a=future)]
    for kind in bases:
        own = type(f"Own{kind.__name__}", (kind,), {})
        plain.append(own({"a": future}) if hasattr(kind, "keys") else own([future]))
    plain.append(type("OwnDefault", (defaultdict,), {})(list, a=future))
    assert gather((*plain, plain), {}) is None


def test_containers_keep_their_factory_length_and_order():
    result = rebuilt(defaultdict(list, a=[done(1)]))
    assert (result["a"], result["b"], result.default_factory) == ([1], [], list)
    result = rebuilt(deque([0, done(1), done(2)], maxlen=2))
    result.append(3)
    assert (result, result.maxlen) == (deque([2, 3]), 2)
    given = OrderedDict(a=done(1), b=done(2), c=3)
    given.move_to_end("a")
    assert list(rebuilt(given).items()) == [("b", 2), ("c", 3), ("a", 1)]


def test_caller_keeps_its_containers():
    future = done(1)
    inner = [future]
    outer = {"a": inner, "b": Cell(inner), "c": defaultdict(list, a=[future])}
    rebuilt(outer)
    assert inner == [future]
    assert outer == {"a": inner, "b": Cell(inner), "c": {"a": [future]}}


def test_state_of_containers_is_that_of_submit():
    inner, cell, mapping, numbers = [done(1)], Cell(done(2)), {"a": done(3)}, {done(4)}
    others = deque([done(5)]), defaultdict(int, a=done(6)), OrderedDict(a=done(7))
    outer = [inner, cell, mapping, numbers, *others]
    template = gather((outer,), {})
    inner.append("late")
    cell.value = cell.extra = "late"
    mapping["late"] = mapping["a"] = "late"
    numbers.add("late")
    for other in others:
        other.clear()
    outer.clear()
    (result,), _ = template.fill()
    assert result == [[1], Cell(2), {"a": 3}, {4}, deque([5]), {"a": 6}, {"a": 7}]
    assert not hasattr(result[1], "extra")


def test_plain_arguments_are_never_touched():
    hostile = Hostile()
    assert gather((hostile, [hostile], Cell(hostile)), {"a": (hostile,)}) is None
    result = rebuilt([hostile, Cell(hostile), (hostile, done(1))])
    assert result[0] is object.__getattribute__(result[1], "value") is result[2][0] is hostile


def test_errors_of_rebuilding_and_of_a_dependency_propagate():
    with pytest.raises(TypeError, match="unhashable"):
        filled({done([1])})
    failed = Future()
    failed.set_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        filled(failed)


# Named tuples and dataclasses


def test_named_tuple_is_rebuilt_without_its_own_methods():
    class Strange(namedtuple("Strange", "a b")):
        def __new__(cls, both):
            return super().__new__(cls, both, both)

        def __iter__(self):
            raise AssertionError

    strange = Strange(done(1))
    strange.note = "kept"
    result = rebuilt(strange)
    assert type(result) is Strange
    assert (result.a, result.b, result.note) == (1, 1, "kept")


def test_dataclass_is_rebuilt_without_init():
    @dataclass
    class Record:
        size: InitVar[int]
        given: Any
        derived: list = field(init=False)
        constant: Any = field(default=3, init=False)
        missing: Any = field(init=False)
        made = 0

        def __post_init__(self, size):
            type(self).made += 1
            self.derived = [self.given] * size
            self.note = "kept"

        @cached_property
        def cached(self):
            return 5

    record = Record(2, done(1))
    record.cached  # noqa: B018
    result = rebuilt(record)
    assert vars(result) == {"given": 1, "derived": [1, 1], "note": "kept", "cached": 5}
    assert result.constant == 3
    assert Record.made == 1


def test_slots_of_all_bases_are_kept():
    class Base:
        __slots__ = ("more", "unset")

    @dataclass(frozen=True, slots=True)
    class Record(Base):
        value: Any

    record = Record(done(1))
    object.__setattr__(record, "more", "kept")
    result = rebuilt(record)
    assert (result.value, result.more, hasattr(result, "unset")) == (1, "kept", False)


def test_property_of_a_dataclass_is_not_run():
    @dataclass
    class Record:
        first: Any
        second: Any = field(init=False)

        def __post_init__(self):
            self.__dict__["hidden"] = "hidden value"

    Record.second = property(fail, fail)
    assert vars(rebuilt(Record(done(1)))) == {"first": 1, "hidden": "hidden value"}


def test_dataclass_built_on_a_c_type_is_plain():
    @dataclass
    class Failure(Exception):
        value: Any

    @dataclass
    class Output(OrderedDict):
        value: Any

    assert gather((Failure(Future()), Output(Future())), {}) is None


# Cycles and depth


@pytest.mark.parametrize("make", [Cell, Frozen, Slotted])
def test_dataclasses_contain_each_other(make):
    first = make(done(1))
    second = make(done(2), [first])
    object.__setattr__(first, "link", (second,))
    result = rebuilt(first)
    assert (type(result), result.value, result.link[0].value) == (make, 1, 2)
    assert result.link[0].link[0] is result


@dataclass(eq=False)
class Keyed:
    """Hashes by its key."""

    key: Any
    link: Any = None

    def __hash__(self):
        return hash(self.key)


def test_set_in_a_cycle_hashes_what_is_known():
    one = Keyed("to be replaced")
    one.link = [frozenset([one]), {one}, {one: 1}]
    one.key = (done("Ann"),)
    result = rebuilt(one)
    frozen, others, numbers = result.link
    assert result.key == ("Ann",)
    assert result in frozen and result in others and numbers[result] == 1


@pytest.mark.parametrize("kind", [set, frozenset])
def test_nodes_of_a_graph_hash_by_a_field(kind):
    first, second = Keyed("first"), Keyed("second")
    first.link, second.link = (kind([second]), done(1)), (kind([first]), done(2))
    result = rebuilt(first)
    (other,) = result.link[0]
    assert (result.link[1], other.link[1]) == (1, 2)
    assert result in other.link[0] and other in result.link[0]


def test_set_in_a_cycle_hashes_what_is_built_last():
    """A set holds a dataclass, which hashes by a tuple that leads back to the set."""
    one, cell = Keyed(()), Slotted(done("Ann"))
    cell.link = others = {one}
    one.key = (cell,)
    result = rebuilt(others)
    (one,) = result
    assert one.key[0].value == "Ann" and one.key[0].link is result


def test_hash_by_a_field_that_is_in_the_cycle_is_an_error():
    one = Keyed(())
    one.key = (done(1), frozenset([one]))
    with pytest.raises(AttributeError, match="key"):
        rebuilt(one)


WRAPS = {
    "list": lambda x: [x],
    "tuple": lambda x: (x,),
    "dict": lambda x: {"a": x},
    "ordered": lambda x: OrderedDict(a=x),
    "deque": lambda x: deque([x]),
    "frozenset": lambda x: frozenset([x]),
    "named": lambda x: Point(0, x),
    "slotted": Slotted,
    "dataclass": Cell,
    "mixed": lambda x: [(x, x)],
}


@pytest.mark.parametrize("name", WRAPS)
def test_deep_nests(name):
    nest = future = done(1)
    for _ in range(DEPTH):
        nest = WRAPS[name](nest)
    template = gather((nest,), {})
    assert template.dependencies == [(future, False)]
    del nest
    (inner,), _ = template.fill()
    while type(inner) is not int:
        inner = inner.value if type(inner) in (Slotted, Cell) else contents(inner)[-1]
    assert inner == 1


def test_deep_nest_without_futures_is_passed():
    nest = []
    for _ in range(DEPTH):
        nest = [nest, 1]
    assert gather((nest,), {}) is None
    (first, value), _ = filled(nest, done(1))
    assert first is nest
    assert value == 1


# Lifetimes


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x, {"a": x}]])
def test_template_lets_go_when_filled(wrap):
    class Task(Future):
        pass

    task = Task()
    task.set_result(1)
    template = gather((wrap(task),), {"a": wrap(task)})
    task = weakref.ref(task)
    gc.collect()
    assert task() is not None
    template.fill()
    gc.collect()
    assert task() is None
    assert template.dependencies == []


def test_template_that_is_never_filled_is_no_cycle():
    class Task(Future):
        pass

    task = Task()
    template = gather(([Cell((task,))],), {})
    gone = weakref.ref(task)
    with without_collector():
        del task, template
        until_gone(gone)


def test_containers_in_a_cycle_let_go_when_filled():
    task = type("Task", (Future,), {})()
    task.set_result(1)
    cell = Cell(task)
    cell.link = [cell]
    template = gather((cell,), {})
    cell.link = None
    gone = weakref.ref(task)
    with without_collector():
        template.fill()
        del task, cell
        until_gone(gone)


def test_template_of_direct_futures_is_small():
    assert sys.getsizeof(gather((done(1),), {})) <= 80


def test_caches_of_classes_are_bounded(monkeypatch):
    monkeypatch.setattr(kinds, "_MOST", 3)
    for _ in range(10):
        made = dataclass(type("Made", (), {"__annotations__": {"value": Any}}))
        assert rebuilt(made([done(1)])).value == [1]
        assert not is_iterator(made)
        assert 0 < len(kinds.KINDS) <= 3 and 0 < len(NO_ITERATORS) <= 3


# Against the plain definition

atoms = st.none() | st.integers(0, 9) | st.text("ab", max_size=2)
pool = [done(value) for value in ("one", ("two",), 3, frozenset([4]))]
holes = st.sampled_from(pool)
hashables = st.recursive(
    atoms | holes | st.builds(Raw, atoms) | st.builds(settled, holes),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.frozensets(inner, max_size=3)
        | st.builds(Point, inner, inner)
        | st.builds(Frozen, inner, inner)
    ),
    max_leaves=6,
)
nests = st.recursive(
    hashables,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(hashables, inner, max_size=3)
        | st.dictionaries(hashables, inner, max_size=3).map(OrderedDict)
        | st.dictionaries(hashables, inner, max_size=3).map(partial(defaultdict, int))
        | st.lists(inner, max_size=3).map(partial(deque, maxlen=3))
        | st.one_of(*[st.dictionaries(hashables, inner, max_size=3).map(kind) for kind in NEW_MAPPINGS])
        | st.sets(hashables, max_size=3)
        | st.builds(Point, inner, inner)
        | st.builds(Cell, inner, inner)
        | st.builds(Slotted, inner, inner)
    ),
    max_leaves=12,
)


MAPPINGS = (dict, OrderedDict, defaultdict, *NEW_MAPPINGS)
SPECIAL = {Future: lambda x: x.result(), Raw: lambda x: x.value, settled: lambda x: x.future}


def contents(value):
    if type(value) in MAPPINGS:
        return [part for item in value.items() for part in item]
    if type(value) in (list, tuple, set, frozenset, deque, Point):
        return list(value)
    return [value.value, value.link] if type(value) in (Cell, Frozen, Slotted) else []


def substituted(value):
    """The definition, for values that can be hashed."""
    kind = type(value)
    if kind in SPECIAL:
        return SPECIAL[kind](value)
    parts = map(substituted, contents(value))
    return kind(*parts) if kind in (Point, Frozen) else kind(parts) if kind in (tuple, frozenset) else value


def reachable(*start):
    met, pending = {}, [*start]
    while pending:
        value = pending.pop()
        if id(value) not in met:
            met[id(value)] = value
            pending += contents(value)
    return met.values()


def has_special(*values):
    return any(type(part) in SPECIAL for part in reachable(*values))


def check_image(args, ours):
    """What was shared stays shared; a container that leads to no future stays the very same object."""
    image, pending = {}, list(zip(args, ours, strict=True))
    while pending:
        old, new = pending.pop()
        kind = type(old)
        if id(old) in image:
            assert new is image[id(old)]
        elif kind in SPECIAL:
            assert new == SPECIAL[kind](old)
        elif not has_special(old):
            assert new is old
        else:
            image[id(old)] = new
            assert new is not old and type(new) is kind
            if kind in (set, frozenset):
                assert new == kind(map(substituted, old))
            elif kind in MAPPINGS and len(new) < len(old):  # two keys became one
                assert set(new) == set(map(substituted, old))
            else:
                pending += zip(contents(old), contents(new), strict=True)


@settings(deadline=None)
@given(st.lists(nests, max_size=3), st.dictionaries(st.sampled_from("abc"), nests))
def test_fill_equals_the_definition(args, kwargs):
    template = gather(tuple(args), kwargs)
    assert (template is not None) == has_special(args, [*kwargs.values()])
    if template is not None:
        positional, named = template.fill()
        assert list(named) == list(kwargs)
        check_image([*args, *kwargs.values()], [*positional, *named.values()])


def random_graph(rng):
    """Make containers that hold each other at random, also in cycles."""
    makers = [list, dict, Cell, lambda: Slotted(None), deque, OrderedDict, defaultdict]
    mutable = [make() for make in rng.choices(makers, k=rng.randint(1, 5))]
    leaves = [1, "x", *(pool if rng.random() < 0.8 else [])]
    everything = [*mutable, *leaves]
    for _ in range(rng.randint(0, 5)):
        parts = rng.choices(everything, k=rng.randint(1, 3))
        made = [tuple(parts), Point(parts[0], parts[-1]), *[kind(a=parts[0]) for kind in NEW_MAPPINGS]]
        everything.append(rng.choice(made))
    for container in mutable:
        parts = rng.choices(everything, k=2)
        if type(container) in (list, deque):
            container.extend(parts)
        elif type(container) in MAPPINGS:
            container.update(a=parts[0], b=parts[1])
        else:
            container.value, container.link = parts
    return [everything[-1], *mutable]


def test_random_graphs_keep_their_shape():
    for seed in range(300):
        args = tuple(random_graph(random.Random(seed)))
        template = gather(args, {})
        assert (template is not None) == has_special(*args)
        check_image(args, args if template is None else template.fill()[0])
