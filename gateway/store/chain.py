"""The chain of acts: each act's row sealed by a hash after the one before, so that no later change stays unseen.

An entry holds hashes only. What is hashed of a row is salted, and a lawful purge takes the salt along with the row:
then nothing can be guessed from what stays, and the chain is whole.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError
from gateway.store.database import Store
from gateway.store.purge_file import Purged

BATCH = 5_000
FIRST = "0" * 64
"""What stands before the first entry."""


@dataclass(frozen=True)
class Sealed:
    """A table whose rows are sealed: its key, of which type, and the columns that nothing may change any more."""

    columns: Sequence[str]
    times: Sequence[str] = ("at",)
    key: str = "id"
    of: str = "bigint"

    def found(self, table: str, entry: str) -> str:
        """The hash of the row that an entry (or its key in the queue) names, as a subquery."""
        said = [f"CAST(t.{column} AS text)" for column in self.columns]
        said += [f"CAST(extract(epoch FROM t.{time}) AS text)" for time in self.times]  # whatever the zone is
        parts = [f"'{table}'", f"{entry}.ref", f"CAST({entry}.salt AS text)", *said]
        whole = " || ',' || ".join(f"coalesce(length({part}) || ':' || {part}, '-')" for part in parts)
        return (
            f"SELECT encode(sha256(convert_to({whole}, 'UTF8')), 'hex') AS content FROM {table} t "
            f"WHERE {entry}.tab = '{table}' AND t.{self.key} = CAST("
            f"CASE WHEN {entry}.tab = '{table}' THEN {entry}.ref END AS {self.of})"
        )


SEALED = {
    "act": Sealed(("actor", "act", "subject", "detail"), key="seq"),
    "plan_event": Sealed(("plan_id", "act", "actor", "detail"), key="seq"),
    "plan_version": Sealed(
        ("plan_id", "version", "content", "sha256", "finalized_by", "guard_report", "amends"),
        ("finalized_at",),
        "chain_ref",
        "uuid",
    ),
    # Where a connection takes another one's place its number changes, in `before` too; undone_by comes later.
    "identity_decision": Sealed(
        ("act", "key", "entity_id", "other_id", "named", "born", "part_of", "actor", "because", "run_id")
    ),
    "crosswalk_change": Sealed(("change", "undoes", "mapping", "tbl", "source", "target", "match", "note", "actor")),
    # Not when it was revoked: act and standing say that.
    "consent": Sealed(
        (
            "student_id",
            "grantor",
            "capacity",
            "recipient",
            "sections",
            "purpose",
            "permit",
            "from_on",
            "until_on",
            "evidence",
            "actor",
        )
    ),
    # Not what it says: an entry may be forgotten, and its own stream keeps the hash of that.
    "record_entry": Sealed(
        ("student_id", "seq", "kind", "actor", "supersedes", "plan_id", "item", "result_id", "body_sha256", "hash"),
        ("occurred_at", "recorded_at"),
        "id",
        "uuid",
    ),
    "disclosure": Sealed(
        (
            "student_id",
            "act",
            "party",
            "person_id",
            "actor",
            "outside",
            "interest",
            "purpose",
            "basis",
            "sections",
            "plan_id",
            "version",
            "delivery_id",
        ),
        ("at", "until"),
    ),
    "standing": Sealed(("kind", "subject", "because", "actor"), of="uuid"),
}
"""Every one has a trigger that puts its new rows into the queue: see adding.seal in gateway.migrations."""

APART = {
    "agreement": "its days change; act says who made and ended it",
    "allowance": "act says who gave it",
    "amendment": "a request that is answered later; act says who asked and who decided",
    "blackout": "act says who made and ended it",
    "bulk_grant": "act says who gave and ended it",
    "collected": "act says who chose it",
    "delivery": "its state changes; act and plan_event say who asked for it",
    "directory_opt_out": "it may be taken back; act says who recorded it",
    "field_override": "act says who wrote it",
    "hold": "act says who decided",
    "legal_hold": "act says who placed and lifted it",
    "purge": "what is purged and why stands in act and in the file of purges",
    "purpose": "it may be chosen anew; act says who did",
    "run": "its state changes; act says what people decided about it",
    "succession": "act says who ordered it",
    "vendor_terms": "approval comes later; act says who drafted and who approved them",
    "year_change": "act says who announced it",
}
"""Tables with an actor whose rows are not sealed, and why."""


@dataclass(frozen=True)
class Break:
    """Where the chain does not hold: at which entry, about which row of which table, and what is wrong with it."""

    entry: int | None
    table: str
    row: str
    what: str


@dataclass(frozen=True)
class Verified:
    """What a check found. `purged`: entries whose rows went lawfully. `waiting`: rows that the next seal takes in."""

    entries: int
    head: str
    purged: int
    waiting: int
    breaks: Sequence[Break]


async def waiting(store: Store) -> list[int]:
    """Districts with rows that are not sealed yet."""
    async with store.owner.connect() as c:
        rows = await c.execute(text("SELECT DISTINCT district_id FROM unsealed ORDER BY 1"))
        return list(rows.scalars())


async def seal(c: AsyncConnection, district: int) -> int:
    """Take every row that waits into the district's chain, in the order they came; returns how many."""
    await _alone(c, district)
    n, previous = await _last(c, district)
    sealed = 0
    while rows := (await c.execute(text(_QUEUED), {"district": district, "batch": BATCH})).all():
        entries = []
        for row in rows:
            n += 1
            # A row that went before it was sealed has no content: that is found by whoever verifies.
            content = row.content or ""
            own = _own(n, row.tab, row.ref, content, previous)
            entries.append([n, row.tab, row.ref, row.salt, content, previous, own])
            previous = own
        await c.execute(text(_ADD), {"district": district, "entries": json.dumps(entries)})
        await c.execute(
            text("DELETE FROM unsealed WHERE district_id = :district AND id = ANY(CAST(:ids AS bigint[]))"),
            {"district": district, "ids": [row.id for row in rows]},
        )
        sealed += len(rows)
    return sealed


async def _alone(c: AsyncConnection, district: int) -> None:
    await c.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('planbridge.chain'), :district)"), {"district": district}
    )


async def _last(c: AsyncConnection, district: int) -> tuple[int, str]:
    found = await c.execute(
        text("SELECT n, own FROM chain WHERE district_id = :district ORDER BY n DESC LIMIT 1"), {"district": district}
    )
    row = found.one_or_none()
    return (0, FIRST) if row is None else (row.n, row.own)


def _own(n: int, table: str, ref: str, content: str, previous: str) -> str:
    """An entry's hash: SHA-256 of the JSON array [n, table, row, hash of the row, hash of the entry before]."""
    said = json.dumps([n, table, ref, content, previous], separators=(",", ":"))
    return hashlib.sha256(said.encode()).hexdigest()


_CONTENT = (
    "LEFT JOIN LATERAL (" + " UNION ALL ".join(s.found(table, "e") for table, s in SEALED.items()) + ") r ON true"
)
_QUEUED = f"""
    WITH e AS MATERIALIZED (
        SELECT id, tab, ref, CAST(gen_random_uuid() AS text) AS salt FROM unsealed
        WHERE district_id = :district ORDER BY id LIMIT :batch)
    SELECT e.*, r.content FROM e {_CONTENT} ORDER BY e.id
"""
_ADD = """
    INSERT INTO chain (district_id, n, tab, ref, salt, content_sha256, previous, own)
    SELECT :district, CAST(j->>0 AS bigint), j->>1, j->>2, CAST(j->>3 AS uuid), j->>4, j->>5, j->>6
    FROM json_array_elements(CAST(:entries AS json)) j
"""


async def let_go(c: AsyncConnection, district: int, by: str, theirs: dict[str, str]) -> dict[str, Any]:
    """Before a purge or retention removes rows lawfully: seal what waits, then take the salts of the entries about
    these rows (table -> condition on `t`). Returns what the act has to say of it: how many entries, and one hash of
    them all, so that nobody else can call a row purged later."""
    await seal(c, district)
    for table, condition in theirs.items():
        if table in SEALED:
            key = f"CAST(t.{SEALED[table].key} AS text)"
            await c.execute(
                text(
                    "UPDATE chain e SET salt = NULL, gone_by = :by WHERE e.district_id = :district "
                    f"AND e.tab = '{table}' AND e.gone_by IS NULL AND e.ref IN (SELECT {key} FROM {table} t "
                    f"WHERE t.district_id = :district AND ({condition}))"
                ),
                {"by": by, "district": district},
            )
    rows = await c.execute(
        text("SELECT own FROM chain WHERE district_id = :district AND gone_by = :by ORDER BY n"),
        {"by": by, "district": district},
    )
    return _let_go(by, list(rows.scalars()))


def _let_go(by: str, entries: Sequence[str]) -> dict[str, Any]:
    return {"by": by, "entries": len(entries), "sha256": hashlib.sha256("".join(entries).encode()).hexdigest()}


async def head(store: Store, district: int) -> str:
    """The last entry as `number:hash`, after what waits was sealed: whoever keeps it elsewhere can tell later that
    nothing before it was changed or cut off."""
    async with store.transaction(district) as c:
        await seal(c, district)
        n, own = await _last(c, district)
    return f"{n}:{own}"


async def verify(store: Store, district: int, kept: Sequence[str] = ()) -> Verified:
    """Compute everything again: each row's hash, each entry's, the purges', and that no row stands outside. `kept`:
    heads that were kept elsewhere. Breaks come in the order of the chain."""
    wanted = dict(_head(one) for one in kept)
    async with store.transaction(district) as c:
        await _alone(c, district)
        seen = await _walk(c, wanted)
        breaks = seen.breaks
        breaks += [Break(n, "", "", "the chain ends before this entry, which was kept") for n in sorted(wanted)
                   if n > seen.entries]  # fmt: skip
        breaks += await _ungranted(c, seen.gone)
        breaks += await _outside(c)
        breaks += await _unheard(store, c, district)
        rest = await c.scalar(text("SELECT count(*) FROM unsealed"))
    purged = sum(len(entries) for entries in seen.gone.values())
    return Verified(seen.entries, f"{seen.entries}:{seen.previous}", purged, int(str(rest)), breaks)


def _head(kept: str) -> tuple[int, str]:
    number, _, own = kept.strip().partition(":")
    if not number.isdecimal() or len(own) != len(FIRST):
        raise ConfigError(
            "head-unreadable", "A head is a number, a colon and a hash.", "Copy it from `planbridge audit head`."
        )
    return int(number), own


@dataclass
class _Seen:
    entries: int
    previous: str
    gone: dict[str, list[str]]
    breaks: list[Break]


async def _walk(c: AsyncConnection, wanted: dict[int, str]) -> _Seen:
    """Along the chain, as far as it goes."""
    seen = _Seen(0, FIRST, {}, [])
    while rows := (await c.execute(text(_ENTRIES), {"after": seen.entries, "batch": BATCH})).all():
        for e in rows:
            wrong = _wrong(e, seen, wanted.get(e.n))
            seen.breaks += [Break(e.n, e.tab, e.ref, wrong)] if wrong else []
            if e.gone_by is not None:
                seen.gone.setdefault(e.gone_by, []).append(e.own)
            seen.entries, seen.previous = e.n, e.own
    return seen


_ENTRIES = f"""
    WITH e AS MATERIALIZED (SELECT * FROM chain WHERE n > :after ORDER BY n LIMIT :batch)
    SELECT e.n, e.tab, e.ref, e.content_sha256, e.previous, e.own, e.gone_by, r.content FROM e {_CONTENT} ORDER BY e.n
"""


def _wrong(e: Any, seen: _Seen, wanted: str | None) -> str:
    """What is wrong with an entry or its row; empty where it holds."""
    if e.n != seen.entries + 1:
        return f"entry {seen.entries + 1} is missing"
    if e.previous != seen.previous or e.own != _own(e.n, e.tab, e.ref, e.content_sha256, e.previous):
        return "the entry was changed, or stands in another place"
    if wanted is not None and wanted != e.own:
        return "the entry is another one than was kept"
    if e.gone_by is not None:
        return ""  # see _ungranted
    if e.content is None:
        return "the row was removed"
    return "" if e.content == e.content_sha256 else "the row was changed"


async def _ungranted(c: AsyncConnection, gone: dict[str, list[str]]) -> list[Break]:
    """Rows that are called purged, and no sealed act says that just these were."""
    rows = await c.execute(
        text(
            "SELECT a.detail->'sealed' AS said FROM act a JOIN chain e ON e.tab = 'act' "
            "AND e.ref = CAST(a.seq AS text) WHERE a.detail->'sealed' IS NOT NULL "
            "UNION ALL SELECT a.detail->'sealed' FROM act a JOIN unsealed u ON u.tab = 'act' "
            "AND u.ref = CAST(a.seq AS text) WHERE a.detail->'sealed' IS NOT NULL"
        )
    )
    granted = [row.said for row in rows]
    return [
        Break(None, "", by, "rows are called purged that no act on record purged")
        for by, entries in gone.items()
        if _let_go(by, entries) not in granted
    ]


async def _outside(c: AsyncConnection) -> list[Break]:
    """Rows that were put in beside the queue, or whose entries were cut off."""
    found = []
    for table, sealed in SEALED.items():
        key = f"CAST(t.{sealed.key} AS text)"
        rows = await c.execute(
            text(
                f"SELECT {key} FROM {table} t WHERE NOT EXISTS (SELECT FROM chain e WHERE e.tab = '{table}' "
                f"AND e.ref = {key}) AND NOT EXISTS (SELECT FROM unsealed u WHERE u.tab = '{table}' AND u.ref = {key}) "
                "ORDER BY 1 LIMIT 10"
            )
        )
        found += [Break(None, table, row, "the row stands in no entry") for row in rows.scalars()]
    return found


async def _unheard(store: Store, c: AsyncConnection, district: int) -> list[Break]:
    """Purges that the file knows and the acts do not, or the other way round."""
    row = (await c.execute(text("SELECT name, created_at FROM district WHERE id = :id"), {"id": district})).one()
    acts = await c.execute(text("SELECT subject FROM act WHERE act IN ('purge-student', 'purge-again')"))
    heard = set(acts.scalars())
    purged = [line for line in store.purges.read() if isinstance(line, Purged) and line.what == "student"]
    here = {line.id for line in purged if line.district == row.name and line.at > row.created_at}
    return [
        *(Break(None, "act", id, "the file knows a purge that no act tells of") for id in sorted(here - heard)),
        *(
            Break(None, "act", id, "a purge that the file does not know")
            for id in sorted(heard - {p.id for p in purged})
        ),
    ]
