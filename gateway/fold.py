"""How several claims become one entity: precedence, merge rules, what the losers said differently."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.schema import Kind

Doc = dict[str, Any]
Survivors = Mapping[str, Sequence[int]]
"""Field -> connections, the one whose word counts most first."""
NOBODY: Survivors = {}


class Stated(msgspec.Struct, frozen=True):
    """One live claim. References in `values` are entity ids already; what could not be resolved is left out.

    `joined`: of a key that a person joined to the entity; what was there before speaks first.
    """

    connection: int
    collection: str
    record_key: str
    rank: int
    anchor: bool
    values: Doc
    joined: bool = False


class Folded(msgspec.Struct):
    """The entity, and where a source other than the winner's says something else: (connection, field)."""

    doc: Doc
    differences: set[tuple[int, str]] = msgspec.field(default_factory=set)


def in_order(claims: Sequence[Stated], precedence: Sequence[int]) -> list[Stated]:
    """Sort claims: the connection's place in `precedence`, then rank, then the record, so that it is stable."""
    if len(claims) == 1:
        return list(claims)
    place = {connection: n for n, connection in enumerate(precedence)}
    return sorted(claims, key=lambda c: (place[c.connection], c.joined, c.rank, c.collection, c.record_key))


def fold(kind: Kind, claims: Sequence[Stated], survivors: Survivors = NOBODY) -> Folded:
    """Merge claims that are in order of precedence. Fields nobody states are absent."""
    if len(claims) == 1:
        return Folded(_alone(kind, claims[0].values))
    folded = Folded({})
    for name, merge in kind.merge.items():
        stated = speakers_of(name, claims, survivors)
        if not stated:
            continue
        if merge == "one":
            folded.doc[name] = stated[0].values[name]
            folded.differences.update(
                (claim.connection, name)
                for claim in stated[1:]
                if claim.connection != stated[0].connection and claim.values[name] != stated[0].values[name]
            )
        else:
            speakers = stated if merge == "union" else _same_connection(stated)
            folded.doc[name] = _distinct(value for claim in speakers for value in claim.values[name])
    return folded


def _alone(kind: Kind, values: Doc) -> Doc:
    """What one claim alone says, as most do: there is nothing to choose."""
    return {
        name: values[name] if merge == "one" else _distinct(values[name])
        for name, merge in kind.merge.items()
        if name in values
    }


def speakers_of(name: str, claims: Sequence[Stated], survivors: Survivors = NOBODY) -> list[Stated]:
    """The claims that state a field, the one whose word counts first: in their order, unless the district named
    connections whose word counts more for this field."""
    stated = [claim for claim in claims if name in claim.values]
    first = survivors.get(name)
    if first is None:
        return stated
    place = {connection: n for n, connection in enumerate(first)}
    return sorted(stated, key=lambda claim: place.get(claim.connection, len(place)))


def _same_connection(stated: Sequence[Stated]) -> list[Stated]:
    return [claim for claim in stated if claim.connection == stated[0].connection]


def _distinct(values: Any) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found
