"""A payload as it may be looked at: its structure and types, and of the offending field the shape of its value."""

import re
from typing import Any

import msgspec

LONGEST_SHAPE = 60


def masked(body: str, field: str = "") -> Any:
    """The payload with every value replaced by its type; what stands at `field` (`a.b`, indices do not matter) by its
    shape, so that a wrong date can be told from an empty one. No value comes through."""
    return _masked(msgspec.json.decode(body), "", re.sub(r"\[[^\]]*\]", "", field))


def _masked(value: Any, path: str, field: str) -> Any:
    if isinstance(value, dict):
        return {name: _masked(inner, f"{path}.{name}" if path else name, field) for name, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, path, field) for inner in value]
    if value is None:
        return None
    if isinstance(value, bool):
        return "yes or no"
    if field and (path == field or path.startswith(f"{field}.")):
        return shape(value if isinstance(value, str) else msgspec.json.encode(value).decode())
    return f"text ({len(value)})" if isinstance(value, str) else "number"


def shape(text: str) -> str:
    """Letters as x and X, digits as 9, white space and ASCII punctuation as they are, all else as ?."""
    shown = "".join(map(_shape, text[:LONGEST_SHAPE]))
    return shown if len(text) <= LONGEST_SHAPE else f"{shown}..."


def _shape(character: str) -> str:
    if character.isalpha():
        return "X" if character.isupper() else "x"
    if character.isnumeric():
        return "9"
    if character.isspace():
        return " "
    return character if character.isascii() and character.isprintable() else "?"


def place(example: str) -> str:
    """Where something stands, as it may be shown: a row or a file as it is, a key by its tail."""
    return example if re.fullmatch(r"(?:.* )?row [0-9]+|[\w. -]+\.csv", example) else str(tail(example))


def tail(key: str | None) -> str | None:
    """The last characters of a key, at most half of it: enough to find the record at its source."""
    if key is None:
        return None
    return f"...{key[len(key) - min(4, len(key) // 2) :]}"
