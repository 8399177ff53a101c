"""The links between nodes, listed in the shortest form: none, one, or a list.  `add` makes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .nodes import DONE, NONE, READY, SWEEP_FROM, Node, release_dependencies


def as_few(nodes: list[Any]) -> Any:
    """Return *nodes* in the form of `Node._dependents`: None, one node, or the list."""
    return nodes if len(nodes) > 1 else nodes[0] if nodes else None


def dependencies_of(node: Node) -> list[Any] | tuple[Any, ...]:
    """Return the dependencies of *node*."""
    needs = node._dependencies
    return needs if type(needs) is list or needs is NONE else (needs,)


def listed_dependencies(node: Node) -> list[Any]:
    """Return the list of dependencies of *node*, made if need be, for a search that is suspended."""
    needs = node._dependencies
    if type(needs) is not list:
        needs = node._dependencies = [*dependencies_of(node)]
    return needs


def dependents_of(node: Node) -> list[Any]:
    """Return the dependents of *node*."""
    parts = node._parts()
    return [*own_dependents(node), *parts] if parts else own_dependents(node)


def own_dependents(node: Node) -> list[Any]:
    """Return the dependents of *node* that were added here."""
    dependents = node._dependents
    if dependents is None:
        return []
    return dependents if type(dependents) is list else [dependents]


def linked(nodes: Iterable[Any]) -> list[Any]:
    """Return *nodes* and all nodes linked to them, over any number of links, each once."""
    found = dict.fromkeys(nodes)
    todo = list(found)
    # The loop extends the list: graphs of any depth need no recursion.
    for node in todo:
        new = [other for other in (*dependencies_of(node), *dependents_of(node)) if other not in found]
        found.update(dict.fromkeys(new))
        todo += dict.fromkeys(new)
    return todo


def link(node: Node, dependencies: Any) -> int:
    """Make *node* depend on *dependencies*, one node or a list; return how many they are."""
    node._dependencies = dependencies
    if type(dependencies) is not list:
        dependencies = (dependencies,)
    for other in dependencies:
        dependents = other._dependents
        if dependents is None:
            other._dependents = node  # most nodes have one dependent: this saves a list
        elif type(dependents) is list:
            dependents.append(node)
        else:
            other._dependents = [dependents, node]
    return len(dependencies)


def settle(order: Any, dependents: list[Any]) -> None:
    """Count one dependency of each of *dependents* as done, and list the nodes that became ready."""
    # The loop extends the list: chains of relays need no recursion.
    for node in dependents:
        node._missing = missing = node._missing - 1
        if missing:
            continue
        queue = node._queue
        if queue is None:
            # A relay: its dependents lose a dependency, too.
            dependents += dependents_of(node)
            end_relay(node)
        else:
            node._stage = READY
            queue.waiting -= 1
            queue.ready += 1
            order.list_ready(node)
            if not queue.wakes_none:
                order.freed.append(node)


def end_relay(node: Node) -> None:
    """Move *node*, a relay, to DONE."""
    node._stage = DONE
    node._missing = -1
    node._dependents = node._search = node._place = None
    release_dependencies(node)


def forget(node: Node, ended: Node) -> None:
    """Remove *ended*, which has ended, from the dependents of *node*.  Cost: O(1), over all of them."""
    dependents = node._dependents
    if dependents is ended:
        node._dependents = None
    elif type(dependents) is list:
        # Ended nodes at the end of the list cost no search for them.
        while dependents and dependents[-1]._stage >= DONE:
            dependents.pop()
        length = len(dependents)
        if length <= SWEEP_FROM:
            if ended in dependents:
                dependents.remove(ended)
        elif dependents[length // 2]._stage >= DONE:
            # The middle of a wide fan is dead: about once for each time that it halves.
            dependents[:] = [other for other in dependents if other._stage < DONE]
