"""Agreements with vendors at rest: drafted, approved, in force, ended; and the request for destruction."""

import json
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import vendors
from gateway.access import JUDGING
from gateway.errors import ConfigError, Refused
from gateway.store import standing
from gateway.store.database import Store
from gateway.store.registers import Actor, log_act
from gateway.vendors import Agreement, Terms


async def in_force(c: AsyncConnection, client: str, today: date) -> Agreement:
    """The agreement under which a program is served today. Refused where there is none: nothing is served then."""
    rows = await c.execute(
        text(
            "SELECT a.id, a.version, a.until_on, a.ended_at, t.terms FROM vendor_agreement a JOIN vendor_terms t "
            "ON t.agreement_id = a.id AND t.version = a.version WHERE a.client_id = :client "
            "ORDER BY a.ended_at IS NOT NULL, a.until_on DESC, a.id DESC LIMIT 1"
        ),
        {"client": client},
    )
    row = rows.one_or_none()
    if row is None:
        raise Refused(
            "agreement-none",
            "No agreement with the district is in force for this program: nothing is served.",
            "Ask the district; it records one with `planbridge vendors agree` and approves it.",
        )
    found = Agreement(row.id, client, row.version, vendors.from_json(row.terms))
    if today < found.begin:
        raise Refused(
            "agreement-none", f"The agreement with the district begins on {found.begin}.", "Come back on that day."
        )
    if row.ended_at is not None or today > found.until or found.purpose in JUDGING:
        ended = found.until if row.ended_at is None else row.ended_at.date()
        raise Refused(
            "agreement-ended",
            f"The agreement with the district ended on {ended}: nothing is served any more.",
            "Ask the district; it records a new one with `planbridge vendors agree`.",
        )
    return found


async def get(c: AsyncConnection, agreement: int, version: int | None = None) -> Agreement:
    """An agreement in a version, or in its newest, drafted or approved. ConfigError for none."""
    rows = await c.execute(
        text(
            "SELECT a.id, a.client_id, t.version, t.terms FROM vendor_agreement a JOIN vendor_terms t "
            "ON t.agreement_id = a.id WHERE a.id = :id AND t.version = coalesce(CAST(:version AS int), t.version) "
            "ORDER BY t.version DESC LIMIT 1"
        ),
        {"id": agreement, "version": version},
    )
    row = rows.one_or_none()
    if row is None:
        raise ConfigError(
            "vendor-agreement-unknown", f"There is no agreement {agreement}.", "`planbridge vendors list` shows them."
        )
    return Agreement(row.id, row.client_id, row.version, vendors.from_json(row.terms))


async def every_in_force(c: AsyncConnection, today: date) -> list[Agreement]:
    """Every agreement under which somebody is served today, or will be from its first day on."""
    rows = await c.execute(
        text(
            "SELECT a.id, a.client_id, a.version, t.terms FROM vendor_agreement a JOIN vendor_terms t "
            "ON t.agreement_id = a.id AND t.version = a.version WHERE a.ended_at IS NULL AND a.until_on >= :today "
            "ORDER BY a.id"
        ),
        {"today": today},
    )
    return [Agreement(row.id, row.client_id, row.version, vendors.from_json(row.terms)) for row in rows]
