"""What any JSON record may have wrong in its types: read where it can mean one thing only, and told."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from gateway.connector import Notice

_EMPTY = re.compile(rb'"(\w+)"\s*:\s*(?:(null\b)|"")')


def empties(kept: bytes, key: str) -> Iterator[Notice]:
    """A notice for each member that is there and says nothing: null or an empty text, where it should be absent."""
    if b"null" not in kept and b'""' not in kept:
        return  # nearly every row: looking for the members costs as much as mapping it
    for name, null in dict.fromkeys(_EMPTY.findall(kept)):
        if null:
            yield Notice("null-for-absent", name.decode(), key)
        else:
            yield Notice("empty-for-absent", name.decode(), key)


def mended(row: msgspec.Raw | bytes, wire: type) -> tuple[bytes, list[Notice]]:
    """The row with values of the types that `wire` asks for, and what was mended; of the notices the example is still
    to be said. A value for which there is no such reading stays as it is."""
    notices: dict[Notice, None] = {}
    value = _fitted(msgspec.json.decode(row), _described(wire), "", notices)
    return msgspec.json.encode(value), list(notices)


@cache
def _described(wire: type) -> inspect.Type:
    return inspect.type_info(wire)


def _fitted(value: Any, wanted: inspect.Type, path: str, notices: dict[Notice, None]) -> Any:
    """`value` as one of the types that are wanted, if there is exactly one way to read it so."""
    kinds = wanted.types if isinstance(wanted, inspect.UnionType) else (wanted,)
    texts = any(isinstance(kind, inspect.StrType) for kind in kinds)
    lists = next((kind for kind in kinds if isinstance(kind, inspect.ListType)), None)
    struct = next((kind for kind in kinds if isinstance(kind, inspect.StructType)), None)
    match value:
        case dict() if struct is not None:
            known = {field.encode_name: field for field in struct.fields}
            return {
                name: _fitted(inner, known[name].type, f"{path}.{name}" if path else name, notices)
                if name in known
                else inner
                for name, inner in value.items()
            }
        case dict() if lists is not None:
            notices[Notice("one-for-list", path)] = None
            return [_fitted(value, lists.item_type, f"{path}[]", notices)]
        case list() if lists is not None:
            return [_fitted(inner, lists.item_type, f"{path}[]", notices) for inner in value]
        case [one] if texts or struct is not None:
            notices[Notice("list-for-one", path)] = None
            return _fitted(one, wanted, path, notices)
        case str() if lists is not None and not texts and not value.strip():
            return None
        case bool():
            return value
        case int() | float() if texts and not any(_takes(kind, value) for kind in kinds):
            notices[Notice("number-for-text", path)] = None
            return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return value


def _takes(kind: inspect.Type, value: int | float) -> bool:
    return isinstance(kind, inspect.AnyType | inspect.FloatType) or (
        isinstance(kind, inspect.IntType) and isinstance(value, int)
    )
