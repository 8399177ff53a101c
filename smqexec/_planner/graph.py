"""The links between nodes: what depends on what.  Functions that both orders share.

A node lists its dependencies and its dependents in the shortest form: none, one, or a list.  The
hottest steps are written out where they are used: a link in `admit`, the next of a chain in `take`.
"""

from __future__ import annotations

from typing import Any

from .nodes import DONE, NONE, READY, SWEEP_FROM, Node


def as_few(nodes: list[Any]) -> Any:
    """Return *nodes* as `Node._dependencies` holds them, but None for none."""
    return nodes if len(nodes) > 1 else nodes[0] if nodes else None


def dependencies_of(node: Node) -> list[Any] | tuple[Any, ...]:
    """Return what *node* depends on."""
    needs = node._dependencies
    return needs if type(needs) is list or needs is NONE else (needs,)


def listed_dependencies(node: Node) -> list[Any]:
    """Return the list of what *node* depends on, for a search that may sleep."""
    needs = node._dependencies
    if type(needs) is not list:
        needs = node._dependencies = [*dependencies_of(node)]
    return needs


def dependents_of(node: Node) -> list[Any]:
    """Return what depends on *node*."""
    dependents = node._dependents
    if dependents is None:
        return []
    return dependents if type(dependents) is list else [dependents]


def settle(order: Any, dependents: list[Any], freed: list[Any]) -> None:
    """Count one dependency of each of *dependents* as done; list in *freed* what became ready."""
    for node in dependents:  # it grows while we go: chains of relays need no depth
        node._missing = missing = node._missing - 1
        if missing:
            continue
        queue = node._queue
        if queue is None:
            end_relay(node)
            dependents.extend(dependents_of(node))
            node._dependents = None
        else:
            node._stage = READY
            queue.waiting -= 1
            queue.ready += 1
            order.freed(node)
            freed.append(node)


def end_relay(node: Node) -> None:
    """Let *node*, a relay, be done."""
    node._stage = DONE
    node._missing = -1
    node._search = node._place = None
    Node._began(node)


def unlink(nodes: list[Node]) -> None:
    """Take dropped *nodes* from the dependents of what they depended on."""
    for node in nodes:
        dependencies = dependencies_of(node)
        for other in dependencies:
            dependents = other._dependents
            if not isinstance(dependents, list):
                if dependents is node:
                    other._dependents = None
                continue
            while dependents and dependents[-1]._stage >= DONE:
                dependents.pop()
            # Sweep a wide fan when its middle is dead: about once for
            # each time that it halves.
            middle = len(dependents) // 2
            if dependents and (len(dependents) <= SWEEP_FROM or dependents[middle]._stage >= DONE):
                dependents[:] = [live for live in dependents if live._stage < DONE]
        if type(dependencies) is list:
            # In place: a suspended search may look at this very list.  The
            # copy is for the owner to drop where it may run user code.
            node._dependencies = dependencies.copy()
            dependencies.clear()


def forget(node: Node, ended: Node) -> None:
    """Take *ended* from the dependents of *node*, which is running.  Cost: O(1), over all of them."""
    dependents = node._dependents
    if dependents is ended:
        node._dependents = None
    elif isinstance(dependents, list):
        if len(dependents) <= SWEEP_FROM:
            dependents.remove(ended)
        elif dependents[len(dependents) // 2]._stage >= DONE:
            dependents[:] = [live for live in dependents if live._stage < DONE]
