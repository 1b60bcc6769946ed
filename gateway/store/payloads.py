"""Stored payloads to be read once more: which records and rejects are meant, page by page, and which are purged."""

import json
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.database import Store
from gateway.store.runs import Attempt, Fenced

PAGE = 500


class Selection(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What of a connection is replayed; several parts add up.

    `rejects`: these; `causes`: the open rejects of these causes; `every_reject`: all open ones. `codes`: whatever, of
    records and open rejects, has no word (or a default) for (crosswalk, code). `collections`: all their records and
    open rejects; `everything`: of every collection.
    """

    rejects: tuple[int, ...] = ()
    causes: tuple[str, ...] = ()
    every_reject: bool = False
    codes: tuple[tuple[str, str], ...] = ()
    collections: tuple[str, ...] = ()
    everything: bool = False


@dataclass(frozen=True)
class Stored:
    """One payload. `place` says where to go on: the key of a record, the id of a reject."""

    place: str
    position: str
    body: str


_MISSES = (
    "r.{column} IS NOT NULL AND EXISTS (SELECT FROM json_array_elements(r.{column}) l, "
    "json_array_elements(CAST(:codes AS json)) w WHERE l->>1 = w->>0 AND l->>2 = w->>1)"
)


def _records(selection: Selection) -> str:
    meant = {
        "true": selection.everything,
        "r.collection = ANY(:collections)": selection.collections,
        _MISSES.format(column="left_out"): selection.codes,
    }
    return f"FROM record r WHERE r.connection_id = :connection AND {_any_of(meant)}"


def _rejects(selection: Selection) -> str:
    meant = {
        "true": selection.everything or selection.every_reject,
        "r.collection = ANY(:collections)": selection.collections,
        "r.id = ANY(:rejects)": selection.rejects,
        "r.cause = ANY(:causes)": selection.causes,
        _MISSES.format(column="unmapped"): selection.codes,
    }
    return f"FROM open_reject r WHERE r.connection_id = :connection AND {_any_of(meant)}"


def _any_of(conditions: dict[str, Any]) -> str:
    """Only the conditions that are asked for, so that each finds its index."""
    asked = [f"({condition})" for condition, wanted in conditions.items() if wanted]
    return f"({' OR '.join(asked) or 'false'})"


def _values(connection: int, selection: Selection) -> dict[str, Any]:
    return {
        "connection": connection,
        "collections": list(selection.collections),
        "rejects": list(selection.rejects),
        "causes": list(selection.causes),
        "codes": json.dumps(selection.codes),
    }


@dataclass(frozen=True)
class Extent:
    """How much of one collection a selection means; of `gone` the payload was purged."""

    collection: str
    records: int
    rejects: int
    gone: int


async def extent(c: AsyncConnection, connection: int, selection: Selection) -> list[Extent]:
    """What a selection means, collection by collection."""
    rows = await c.execute(
        text(
            "SELECT collection, sum(records) AS records, sum(rejects) AS rejects, sum(gone) AS gone FROM ("
            "  SELECT r.collection, count(*) AS records, 0 AS rejects, count(*) - count(r.body) AS gone "
            f"  {_records(selection)} GROUP BY 1 UNION ALL "
            "  SELECT r.collection, 0, count(*), count(*) - count(r.sealed_body) "
            f"  {_rejects(selection)} GROUP BY 1) s "
            "GROUP BY 1 ORDER BY 1"
        ),
        _values(connection, selection),
    )
    return [Extent(row.collection, int(row.records), int(row.rejects), int(row.gone)) for row in rows]


async def records(
    c: AsyncConnection, connection: int, selection: Selection, collection: str, after: str
) -> list[Stored]:
    """The next page of published records with their payload, in the order of their keys."""
    rows = await c.execute(
        text(
            f"SELECT r.key, r.body {_records(selection)} AND r.collection = :collection AND r.key > :after "
            "AND r.body IS NOT NULL ORDER BY r.key LIMIT :page"
        ),
        {**_values(connection, selection), "collection": collection, "after": after, "page": PAGE},
    )
    return [Stored(row.key, "", row.body) for row in rows]


async def rejects(
    store: Store, c: AsyncConnection, connection: int, selection: Selection, collection: str, after: int
) -> list[Stored]:
    """The next page of open rejects with their payload opened, the first set aside first."""
    rows = await c.execute(
        text(
            f"SELECT r.id, r.position, r.sealed_body {_rejects(selection)} AND r.collection = :collection "
            "AND r.id > :after AND r.sealed_body IS NOT NULL ORDER BY r.id LIMIT :page"
        ),
        {**_values(connection, selection), "collection": collection, "after": after, "page": PAGE},
    )
    return [Stored(str(row.id), row.position, store.secrets.open(row.sealed_body).decode()) for row in rows]


async def begin(store: Store, attempt: Attempt, selection: Selection, gone: dict[str, int]) -> None:
    """Note with a run what it replays: the rejects count as replayed as soon as it is published."""
    async with store.transaction(attempt.district) as c:
        mine = await c.scalar(
            text(
                "UPDATE run SET payload_gone = CAST(:gone AS json) WHERE id = :run AND fence = :fence "
                "RETURNING mode = 'publish'"
            ),
            {"run": attempt.run, "fence": attempt.fence, "gone": json.dumps(gone)},
        )
        if mine is None:
            raise Fenced
        if mine:
            await c.execute(
                text(
                    "UPDATE reject SET replayed_by = :run WHERE id IN ("
                    f"  SELECT r.id {_rejects(selection)} AND r.sealed_body IS NOT NULL)"
                ),
                {**_values(attempt.connection, selection), "run": attempt.run},
            )
