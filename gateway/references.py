"""Entity ids where sources wrote keys of their own."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.fold import Stated
from gateway.schema import Kind
from gateway.store import changes
from gateway.store.changes import ClaimRow, Waiting
from gateway.store.database import Transaction
from gateway.store.identities import Key

NONE: dict[Key, int] = {}


async def in_ids(
    c: Transaction, kind: Kind, claims: Sequence[ClaimRow], in_conflict: Mapping[Key, int] = NONE
) -> tuple[list[Stated], list[list[Waiting]]]:
    """Put entity ids where sources wrote keys; a key that denotes nothing published is left out and listed.

    `in_conflict`: a key that came back as somebody else denotes nobody in what was stated since that run.
    """
    wanted = {
        (row.connection, reference.kind, key)
        for row in claims
        for reference in kind.references
        for key in _keys(row.stated.get(reference.field), reference.many, reference.part)
    }
    ids = await changes.lookup(c, kind.name, wanted) if wanted else {}
    stated, missing = [], []
    for row in claims:
        values, waits = _with_ids(kind, row, ids, in_conflict)
        stated.append(Stated(row.connection, row.collection, row.record_key, row.rank, row.anchor, values, row.joined))
        missing.append(waits)
    return stated, missing


def _keys(value: Any, many: bool, part: str | None) -> Iterator[str]:
    if value is None:
        return
    for item in value if many else [value]:
        yield item[part] if part else item


def _with_ids(
    kind: Kind, row: ClaimRow, ids: Mapping[tuple[int, str, str], str], in_conflict: Mapping[Key, int]
) -> tuple[dict[str, Any], list[Waiting]]:
    values = dict(row.stated)
    waits: list[Waiting] = []
    for reference in kind.references:
        if reference.field not in values:
            continue
        kept = []
        for item in values[reference.field] if reference.many else [values[reference.field]]:
            key = item[reference.part] if reference.part else item
            entity = ids.get((row.connection, reference.kind, key))
            since = in_conflict.get((row.connection, key)) if reference.kind == "person" else None
            if entity is None or (since is not None and row.run >= since):
                waits.append(
                    Waiting(
                        row.connection, row.key, "unresolved-reference",
                        f"It refers to a {reference.kind} that is not there.",
                        reference.field, reference.kind, key,
                    )
                )  # fmt: skip
            else:
                kept.append({**item, reference.part: entity} if reference.part else entity)
        if kept:
            values[reference.field] = kept if reference.many else kept[0]
        else:
            del values[reference.field]
    return values, waits
