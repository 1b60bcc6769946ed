"""What a row looks like when it may be kept: planning never sees what its connector drops at the edge."""

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import msgspec

from gateway.connector import Resource
from gateway.errors import RecordError

LONGEST_ROW = 1024**2  # bytes; no record of a person, a class or a result comes near it
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What the reading of a row may raise, whatever is in it."""


def rows_of(array: msgspec.Raw | bytes) -> list[msgspec.Raw]:
    """The elements of a JSON array, undecoded. Raises msgspec.DecodeError if it is none.

    One that is nested beyond what can be read does not take the others with it: it is among them, to be refused by
    itself.
    """
    try:
        return msgspec.json.decode(array, type=list[msgspec.Raw])
    except RecursionError:
        return [msgspec.Raw(part) for part in _parts(bytes(array))]


def members_of(value: msgspec.Raw | bytes) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, undecoded, however deep they are. Raises msgspec.DecodeError if it is none."""
    try:
        return msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    except RecursionError:
        pairs = [_PAIR.fullmatch(part) for part in _parts(bytes(value))]
        return {msgspec.json.decode(pair[1], type=str): msgspec.Raw(pair[2]) for pair in pairs if pair}


_TEXT = rb'"(?:[^"\\]++|\\.)*+"'
_TOKEN = re.compile(_TEXT + rb"|[\[\]{},]", re.DOTALL)
_PAIR = re.compile(rb"\s*(" + _TEXT + rb")\s*:\s*(.*)", re.DOTALL)


def _parts(text: bytes) -> Iterator[bytes]:
    """What stands between the commas of the outermost array or object, found without reading into it."""
    depth = start = 0
    for token in _TOKEN.finditer(text):
        opens, closes, comma = token[0] in (b"[", b"{"), token[0] in (b"]", b"}"), token[0] == b","
        if depth == 1 and (closes or comma) and (part := text[start : token.start()].strip()):
            yield part
        depth += opens - closes
        if depth == 1 and (opens or comma):
            start = token.end()


Edge = Callable[[msgspec.Raw | bytes], tuple[bytes, str]]


def edge(resource: Resource, fingerprint: str, named: Collection[tuple[str, str]] = ()) -> Edge:
    """A function from a row's bytes to (what is kept as JSON, hash of what counts as a change).

    `named` holds the members of closed objects that are kept all the same: (object, member).
    The hash is `<mapping>:<record>`. When the mapping (`fingerprint`) changes, every record is mapped again, and it
    can be told from a change at the source. What the resource ignores is left out: a refresh time is not a change.
    The function raises RecordError for a row that no database should hold, and what UNREADABLE names.
    """
    closers = [_closer(name, {member for of, member in named if of == name}) for name in resource.closed]
    drop = _remover(resource.drop, [*_keeper(resource.keep), *closers])
    ignore = _remover(resource.ignore)
    mapping = hashlib.blake2b(fingerprint.encode(), digest_size=4).hexdigest()
    decode = msgspec.json.Decoder().decode
    encode_sorted = msgspec.json.Encoder(order="sorted").encode

    def at_the_edge(row: msgspec.Raw | bytes) -> tuple[bytes, str]:
        text = bytes(row)
        if len(text) > LONGEST_ROW:
            raise RecordError("unreadable-record", "It is longer than 1 MB")
        value = decode(text)
        kept = msgspec.json.encode(value) if drop(value) else text
        ignore(value)
        counted = encode_sorted(value)
        if b"\\u0000" in counted and _NUL.search(counted):
            raise RecordError("unreadable-record", "It has a NUL character, which no text may have")
        return kept, f"{mapping}:{hashlib.blake2b(counted, digest_size=16).hexdigest()}"

    return at_the_edge


# Escaped by an odd number of backslashes: one behind a backslash of the text itself is not meant.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


Remover = Callable[[Any], bool]


def _remover(paths: Sequence[str], more: Sequence[Remover] = ()) -> Remover:
    """Remove what these paths name; True if anything was there.

    A path is `a.b`, `a[].b` (in each item), `a[type=ssn]` (the items that say so, in any case), or `**.b` (at any
    depth). Most of them are plain names, and every record of a district passes here: these are looked at first.
    """
    names: list[str] = []
    words: dict[tuple[str, str], set[str]] = {}
    deeper: list[Remover] = [*more]
    for path in paths:
        if re.fullmatch(r"\w+", path):
            names.append(path)
        elif found := _CONDITION.fullmatch(path):
            words.setdefault((found[1], found[2]), set()).add(found[3])
        else:
            deeper.append(_deep_remover(path))
    deeper += [_item_remover(name, field, wanted) for (name, field), wanted in words.items()]

    def remove(value: Any) -> bool:
        removed = False
        if type(value) is dict:
            for name in names:
                if name in value:
                    del value[name]
                    removed = True
        for one in deeper:
            removed |= one(value)
        return removed

    return remove


_CONDITION = re.compile(r"(\w+)\[(\w+)=(.+)\]")


def _deep_remover(path: str) -> Remover:
    if path.startswith("**."):
        name = path[3:]
        return lambda value: _remove_everywhere(value, name)
    steps = path.split(".")
    return lambda value: _remove(value, steps)


def _closer(name: str, members: set[str]) -> Remover:
    """Remove an object but for some of its members; True if anything was removed."""

    def close(value: Any) -> bool:
        if not isinstance(value, dict) or name not in value:
            return False
        inner = value.pop(name)
        if isinstance(inner, dict) and (kept := {member: inner[member] for member in inner if member in members}):
            value[name] = kept
            return len(kept) < len(inner)
        return True

    return close


def _keeper(names: Collection[str]) -> Iterator[Remover]:
    """Remove every member but those named; True if there was another. None where all may be kept."""

    def keep(value: Any) -> bool:
        others = [name for name in value if name not in names] if isinstance(value, dict) else []
        for name in others:
            del value[name]
        return bool(others)

    if names:
        yield keep


def _remove(value: Any, steps: list[str]) -> bool:
    if not isinstance(value, dict):
        return False
    step, *rest = steps
    if not rest:
        return value.pop(step, steps) is not steps
    if step.endswith("[]"):
        items = value.get(step[:-2])
        return isinstance(items, list) and sum(_remove(item, rest) for item in items) > 0
    return _remove(value.get(step), rest)


def _item_remover(name: str, field: str, words: set[str]) -> Remover:
    """Remove the items of a list whose field is one of these words, in any case."""

    def remove(value: Any) -> bool:
        items = value.get(name) if type(value) is dict else None
        if type(items) is not list:
            return False
        kept = [item for item in items if type(item) is not dict or str(item.get(field)).casefold() not in words]
        value[name] = kept
        return len(kept) < len(items)

    return remove


def _remove_everywhere(value: Any, name: str) -> bool:
    removed = False
    if type(value) is dict:
        if name in value:
            del value[name]
            removed = True
        value = value.values()
    elif type(value) is not list:
        return False
    for inner in value:
        if type(inner) is dict or type(inner) is list:
            removed |= _remove_everywhere(inner, name)
    return removed
