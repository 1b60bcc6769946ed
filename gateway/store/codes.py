"""A district's own code tables and overrides as they are kept, with every change; and what codes are missing."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError, Refused
from gateway.overrides import Override
from gateway.store.registers import Actor, log_act


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a district's own. Without `source` it is the table's default; without `match` it is taken back."""

    table: str
    source: str | None
    target: str = ""
    match: str | None = "exact"
    note: str = ""


async def lines(c: AsyncConnection, mapping: str) -> list[Line]:
    """The district's lines that hold now, in the order of tables and codes."""
    rows = await c.execute(
        text(
            "SELECT tbl, source, target, match, note FROM ("
            "  SELECT DISTINCT ON (tbl, source) * FROM crosswalk_change WHERE mapping = :mapping "
            "  ORDER BY tbl, source, id DESC) newest WHERE match IS NOT NULL ORDER BY tbl, source NULLS FIRST"
        ),
        {"mapping": mapping},
    )
    return [Line(*row) for row in rows]


async def change(
    c: AsyncConnection, district: int, mapping: str, changed: Sequence[Line], actor: Actor, undoes: int | None = None
) -> int:
    """Keep lines as one change, which can be undone as one; returns its number in the district."""
    await c.execute(text("SELECT pg_advisory_xact_lock(hashtext('planbridge.crosswalks'), :d)"), {"d": district})
    number = int(await c.scalar(text("SELECT coalesce(max(change), 0) + 1 FROM crosswalk_change")))
    await c.execute(
        text(
            "INSERT INTO crosswalk_change (district_id, change, undoes, mapping, tbl, source, target, match, note, "
            "  actor) SELECT :district, :number, CAST(:undoes AS int), :mapping, j->>0, j->>1, j->>2, j->>3, j->>4, "
            "  CAST(:actor AS json) FROM json_array_elements(CAST(:lines AS json)) j"
        ),
        {
            "district": district,
            "number": number,
            "undoes": undoes,
            "mapping": mapping,
            "lines": json.dumps([(one.table, one.source, one.target, one.match, one.note) for one in changed]),
            "actor": actor.as_json(),
        },
    )
    tables = sorted({one.table for one in changed})
    detail = {"change": number, "tables": tables, "lines": len(changed)} | ({"undoes": undoes} if undoes else {})
    await log_act(c, district, actor, "crosswalks", mapping, detail)
    return number


async def changes(c: AsyncConnection) -> list[dict[str, Any]]:
    """What was changed, the newest first: number, who, when, how many lines of which tables."""
    rows = await c.execute(
        text(
            "SELECT change, mapping, json_agg(DISTINCT tbl) AS tables, count(*) AS lines, min(undoes) AS undoes, "
            "  min(CAST(actor AS text)) AS actor, min(at) AS at FROM crosswalk_change "
            "GROUP BY change, mapping ORDER BY change DESC"
        )
    )
    return [{**row._mapping, "actor": json.loads(row.actor)} for row in rows]


_NEWEST = (
    "WITH newest AS (SELECT DISTINCT ON (mapping, tbl, source) * FROM crosswalk_change "
    "  ORDER BY mapping, tbl, source, id DESC), "
    "line AS (SELECT x.*, n.change AS latest, "
    "    (n.target, n.match, n.note) IS NOT DISTINCT FROM (x.target, x.match, x.note) AS stands "
    "  FROM crosswalk_change x JOIN newest n ON n.mapping = x.mapping AND n.tbl = x.tbl "
    "    AND n.source IS NOT DISTINCT FROM x.source) "
)


async def reverse(c: AsyncConnection, number: int | None) -> tuple[int, str, list[Line]]:
    """What would undo a change (else the newest that stands): its number, its mapping, the lines as they were.

    ConfigError when there is none; Refused when one of its lines says something else since.
    """
    if number is None:
        number = await c.scalar(
            text(
                f"{_NEWEST} SELECT max(change) FROM (SELECT change FROM line WHERE undoes IS NULL "
                "GROUP BY change HAVING bool_and(stands)) standing"
            )
        )
    rows = (
        await c.execute(
            text(
                f"{_NEWEST} SELECT x.mapping, x.tbl, x.source, was.target, was.match, was.note, x.stands, x.latest "
                "FROM line x LEFT JOIN LATERAL ("
                "  SELECT target, match, note FROM crosswalk_change w WHERE w.mapping = x.mapping AND w.tbl = x.tbl "
                "  AND w.source IS NOT DISTINCT FROM x.source AND w.id < x.id ORDER BY w.id DESC LIMIT 1) was ON true "
                "WHERE x.change = :number ORDER BY x.id"
            ),
            {"number": number},
        )
    ).all()
    if not rows or number is None:
        raise ConfigError(
            "crosswalk-change-unknown",
            f"There is no change {number} of a crosswalk." if number else "No change of a crosswalk is left to undo.",
            "`planbridge crosswalks changes` lists them.",
        )
    if later := [row.latest for row in rows if not row.stands]:
        raise Refused(
            "crosswalk-changed-since",
            f"Change {max(later)} changed the same lines after change {number}.",
            f"Undo change {max(later)} first.",
        )
    return number, rows[0].mapping, [Line(r.tbl, r.source, r.target or "", r.match, r.note or "") for r in rows]


async def overrides(c: AsyncConnection, connection: int) -> list[Override]:
    """A connection's overrides."""
    rows = await c.execute(
        text(
            "SELECT collection, kind, field, expression, crosswalk FROM field_override "
            "WHERE connection_id = :connection ORDER BY collection, kind, field"
        ),
        {"connection": connection},
    )
    return [Override(*row) for row in rows]


async def set_overrides(
    c: AsyncConnection, district: int, connection: int, wanted: Iterable[Override], actor: Actor
) -> None:
    """Make these a connection's overrides, and no others; what was before stands in the record of the act."""
    before, after = await overrides(c, connection), list(wanted)
    await c.execute(text("DELETE FROM field_override WHERE connection_id = :id"), {"id": connection})
    await c.execute(
        text(
            "INSERT INTO field_override (district_id, connection_id, collection, kind, field, expression, crosswalk, "
            "  actor) SELECT :district, :connection, j->>'collection', j->>'kind', j->>'field', j->>'expression', "
            "  j->>'crosswalk', CAST(:actor AS json) FROM json_array_elements(CAST(:rows AS json)) j"
        ),
        {
            "district": district,
            "connection": connection,
            "actor": actor.as_json(),
            "rows": json.dumps([vars(one) for one in after]),
        },
    )
    detail = {"before": [vars(one) for one in before], "after": [vars(one) for one in after]}
    await log_act(c, district, actor, "overrides", str(connection), detail)


async def missed(c: AsyncConnection, connection: int | None = None) -> list[dict[str, Any]]:
    """What published records leave out, or took a default for, and what open rejects have no word for.

    One line for each connection, place and code: `why` is unmapped, defaulted or override; `place` the crosswalk, or
    the overridden field; `word` what stands in its place; `records` and `rejects` are counts.
    """
    rows = await c.execute(
        text(
            "SELECT n.name AS connection, n.id AS connection_id, n.connector, m.why, m.place, m.code, m.word, "
            "  sum(m.records) AS records, sum(m.rejects) AS rejects FROM ("
            "    SELECT connection_id, l->>0 AS why, l->>1 AS place, l->>2 AS code, l->>3 AS word, "
            "      count(*) AS records, 0 AS rejects "
            "    FROM record, json_array_elements(left_out) l WHERE left_out IS NOT NULL GROUP BY 1, 2, 3, 4, 5 "
            "  UNION ALL "
            "    SELECT connection_id, l->>0, l->>1, l->>2, l->>3, 0, count(*) FROM open_reject, "
            "      json_array_elements(unmapped) l WHERE unmapped IS NOT NULL GROUP BY 1, 2, 3, 4, 5) m "
            "JOIN connection n ON n.id = m.connection_id "
            "WHERE n.id = coalesce(CAST(:connection AS int), n.id) GROUP BY 1, 2, 3, 4, 5, 6, 7 "
            "ORDER BY 1, 4 DESC, 5, 8 DESC, 6"
        ),
        {"connection": connection},
    )
    return [{**row._mapping, "records": int(row.records), "rejects": int(row.rejects)} for row in rows]
