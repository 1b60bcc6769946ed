"""Who is on the roster today: the one condition that whatever opens something for a person is held against."""

from typing import Any

from sqlalchemy import text

from gateway import clock
from gateway.store.database import Transaction

STANDS = """
    e.kind = 'person' AND e.district_id = :district AND coalesce(e.doc->>'active', 'true') <> 'false'
    AND (EXISTS (SELECT FROM json_array_elements(e.doc->'roles') r WHERE coalesce(r->>'begin_on', '') <= :today
           AND coalesce(r->>'end_on', '9') >= :today)
      OR (e.doc->>'population' IN ('student', 'contact') AND coalesce(json_array_length(e.doc->'roles'), 0) = 0))
"""
"""SQL: entity `e` is somebody on the roster `:today` in `:district`: active, and with a role that holds where they have
roles, which staff always need."""


def live(person: str) -> str:
    """SQL: the same of somebody (a uuid expression) by whatever id they were known."""
    return f"EXISTS (SELECT FROM entity e WHERE e.id = planbridge_survivor({person}) AND {STANDS})"


def shut_out(person: str) -> str:
    """SQL: whether somebody (a uuid expression), by whatever id they were known, has an account that is suspended."""
    return (
        "EXISTS (SELECT FROM account a WHERE a.suspended_at IS NOT NULL "
        f"AND planbridge_survivor(a.person_id) = planbridge_survivor({person}))"
    )


async def on_roster(c: Transaction, district: int, person: str) -> tuple[str, dict[str, Any]] | None:
    """Somebody by today's id and what the roster says of them; None where they are not on it today."""
    row = (
        await c.execute(
            text(
                "SELECT CAST(e.id AS text) AS id, e.doc FROM entity e "
                f"WHERE e.id = planbridge_survivor(CAST(:person AS uuid)) AND {STANDS}"
            ),
            {"district": district, "person": person, "today": clock.today().isoformat()},
        )
    ).one_or_none()
    return None if row is None else (row.id, row.doc)
