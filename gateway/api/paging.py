"""How a list comes in pages, and how a caller says which parts of an answer it wants."""

import base64
import binascii
import json
from collections.abc import Collection, Sequence
from typing import Annotated

from fastapi import Query

from gateway.errors import ConfigError

Cursor = Annotated[
    str, Query(description="The `next` of the page before; left out for the first page.", max_length=500)
]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
Fields = Annotated[
    str,
    Query(
        description="Which parts are wanted, separated by commas; left out: all. Ids and states always come.",
        max_length=1000,
        examples=["goals,supports"],
    ),
]
NEXT = "Give it as `cursor` for what follows; null at the end."


def cursor(of: str, place: Sequence[str | int]) -> str:
    """A place in a list as callers carry it: opaque, and good for this list alone."""
    return base64.urlsafe_b64encode(json.dumps([of, *place]).encode()).decode().rstrip("=")


def place(given: str, of: str, *kinds: type) -> list[str | int] | None:
    """The place that a cursor means; None for the first page. ConfigError for what is no cursor of this list."""
    if not given:
        return None
    try:
        read = json.loads(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)))
        ok = isinstance(read, list) and read[0] == of and len(read) == len(kinds) + 1
        if ok and all(type(one) is kind for one, kind in zip(read[1:], kinds, strict=True)):
            return [one for one in read[1:] if isinstance(one, str | int)]
    except (ValueError, binascii.Error, IndexError):
        pass
    raise ConfigError("cursor-invalid", "This cursor is none of this list.", "Begin again without one.")


def parts(given: str, known: Collection[str]) -> frozenset[str] | None:
    """The parts that are asked for; None for all. ConfigError for one that there is not."""
    if not given.strip():
        return None
    wanted = {one.strip() for one in given.split(",") if one.strip()}
    if unknown := wanted - set(known):
        raise ConfigError(
            "fields-invalid", f"{len(unknown)} of these fields are none.", f"Choose from: {', '.join(sorted(known))}."
        )
    return frozenset(wanted)
