"""What a row looks like when it may be kept: planning never sees what its connector drops at the edge."""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.connector import Resource

Edge = Callable[[msgspec.Raw | bytes], tuple[str, str]]


def edge(resource: Resource, fingerprint: str) -> Edge:
    """A function from a row's bytes to (what is kept as JSON text, hash of what counts as a change).

    The hash is `<mapping>:<record>`. When the mapping (`fingerprint`) changes, every record is mapped again, and it
    can be told from a change at the source. What the resource ignores is left out: a refresh time is not a change.
    """
    drops = [_remover(path) for path in resource.drop]
    ignores = [_remover(path) for path in resource.ignore]
    mapping = hashlib.blake2b(fingerprint.encode(), digest_size=4).hexdigest()

    def at_the_edge(row: msgspec.Raw | bytes) -> tuple[str, str]:
        value = msgspec.json.decode(row)
        removed = [remove(value) for remove in drops]
        kept = msgspec.json.encode(value) if any(removed) else bytes(row)
        for ignore in ignores:
            ignore(value)
        counted = msgspec.json.encode(value, order="sorted")
        return kept.decode(), f"{mapping}:{hashlib.blake2b(counted, digest_size=16).hexdigest()}"

    return at_the_edge


def _remover(path: str) -> Callable[[Any], bool]:
    """Remove what a path names: `a.b`, `a[].b` (in each item), `**.b` (at any depth), `a[type=ssn]` (the items that
    say so, in any case); True if it was there."""
    if path.startswith("**."):
        name = path[3:]
        return lambda value: _remove_everywhere(value, name)
    steps = path.split(".")
    return lambda value: _remove(value, steps)


def _remove(value: Any, steps: list[str]) -> bool:
    if not isinstance(value, dict):
        return False
    step, *rest = steps
    if step.endswith("]") and "=" in step:
        return _remove_items(value, step)
    if not rest:
        return value.pop(step, steps) is not steps
    if step.endswith("[]"):
        items = value.get(step[:-2])
        return isinstance(items, list) and sum(_remove(item, rest) for item in items) > 0
    return _remove(value.get(step), rest)


def _remove_items(value: dict[str, Any], step: str) -> bool:
    name, _, condition = step[:-1].partition("[")
    field, _, word = condition.partition("=")
    items = value.get(name)
    if not isinstance(items, list):
        return False
    kept = [item for item in items if not (isinstance(item, dict) and str(item.get(field)).casefold() == word)]
    value[name] = kept
    return len(kept) < len(items)


def _remove_everywhere(value: Any, name: str) -> bool:
    if isinstance(value, dict):
        found = value.pop(name, value) is not value
        return found + sum(_remove_everywhere(inner, name) for inner in value.values()) > 0
    if isinstance(value, list):
        return sum(_remove_everywhere(inner, name) for inner in value) > 0
    return False
