"""Marks: keyed hashes by which somebody who was purged is recognised again, and which tell nothing about them."""

import hmac
from collections.abc import Iterable, Iterator

import msgspec

from gateway.store.secrets import Secrets

Parts = tuple[str, ...]
"""What is marked: a word for what it is, then what tells it from others."""
WORD_LENGTH = 4
"""A shorter key or number stands in too many records that have nothing to do with its owner."""


class Marks:
    """A mark is `<name of the key>:<digest>`. The keys are derived from the encryption keys, which lie outside the
    database and are kept behind a new one: a restored backup and its marks are read with the same keys."""

    def __init__(self, secrets: Secrets) -> None:
        self._keys = secrets.derived("purged")

    def new(self, *parts: str) -> str:
        """The mark to be kept."""
        return next(self.every(*parts))

    def every(self, *parts: str) -> Iterator[str]:
        """Under each of our keys: however it was marked, one of these is the mark."""
        said = "\x1f".join(parts).encode()
        for name, key in self._keys.items():
            yield f"{name}:{hmac.digest(key, said, 'sha256')[:16].hex()}"

    def unreadable(self, marks: Iterable[str]) -> bool:
        """Whether some were made with a key that we do not have."""
        return any(mark.partition(":")[0] not in self._keys for mark in marks)


def person(key: str) -> Parts:
    """A source key of the person; references to them are made of it."""
    return "person", key


def contact(key: str) -> Parts:
    """A source key of family that went with the person."""
    return "contact", key


def record(collection: str, key: str) -> Parts:
    """A record that states something about the person themselves."""
    return "record", collection, key


def number(value: str) -> Parts:
    """The number that several systems know: it outlives a change of all keys."""
    return "number", value.strip()


def word(value: str) -> Parts:
    """A key or number wherever it stands in a record that could not be understood."""
    return "word", value


def telling(word: str) -> bool:
    """Whether it is long enough to be somebody's."""
    return len(word) >= WORD_LENGTH


def words_of(key: str | None, body: msgspec.Raw | str | None) -> set[str]:
    """Every text in a record that was not understood, and every part of its key, as far as it is telling."""
    found = set((key or "").split("|"))
    if body is not None:
        _gather(msgspec.json.decode(body), found)
    return {text for text in found if telling(text)}


def _gather(value: object, found: set[str]) -> None:
    if isinstance(value, str):
        found.add(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        found.add(str(value))
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _gather(part, found)
