"""Whom of the students an agreement with a vendor reaches, for what is served of them beside OneRoster."""

from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.database import Store
from gateway.store.reach import wanting
from gateway.vendors import Agreement, Rule


async def students(store: Store, c: AsyncConnection, agreement: Agreement, today: date) -> frozenset[str] | None:
    """Entity ids of the students that the rule of an agreement reaches today; None where it reaches every one."""
    terms = agreement.terms
    if terms.rule == Rule(people=terms.rule.people) and "student" in terms.rule.people and terms.basis == _ALL:
        return None
    wanted = await wanting(store, c, agreement.client, terms, today)
    rows = await c.execute(text(f"{wanted.sql} SELECT CAST(entity_id AS text) FROM child"), wanted.values)
    return frozenset(rows.scalars())


_ALL = "school_official"
"""By the other rights a family's word decides of each student."""
