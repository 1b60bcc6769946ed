"""Notices on their way: queued with what they are about, sent at least once, given up after a day."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.messages import Message
from gateway.store.database import Store

GIVE_UP_HOURS = 24


@dataclass(frozen=True)
class Sending:
    """One notice on its way to one channel. `mark` is the same however often it is tried."""

    notice: int
    channel: int
    mark: str
    event: str
    district_name: str
    connection: str | None
    run: int | None
    at: datetime
    message: Message


@dataclass(frozen=True)
class Beat:
    """A URL to be called because a run was good."""

    connection: int
    run: int
    url: str = field(repr=False)
    method: str
    allow_private: bool


async def add(
    c: AsyncConnection,
    district: int,
    event: str,
    key: str,
    message: Message,
    *,
    connection: int | None = None,
    run: int | None = None,
    channel: int | None = None,
) -> None:
    """Note what is to be told and queue it for every channel that wants it, or for `channel` alone. The same `key`
    is told once."""
    await c.execute(
        text(
            "WITH made AS ("
            "  INSERT INTO notice (district_id, event, key, connection_id, run_id, message) "
            "  VALUES (:district, :event, :key, :connection, :run, CAST(:message AS json)) "
            "  ON CONFLICT DO NOTHING RETURNING id) "
            "INSERT INTO sending (notice_id, channel_id, district_id) "
            "SELECT made.id, ch.id, :district FROM made, channel ch "
            "WHERE :event = ANY(ch.events) AND ch.id = coalesce(CAST(:channel AS int), ch.id)"
        ),
        {
            "district": district,
            "event": event,
            "key": key,
            "connection": connection,
            "run": run,
            "message": json.dumps(message.parts()),
            "channel": channel,
        },
    )


async def claim(store: Store, district: int) -> Sending | None:
    """The next one to be sent, taken: should we die over it, it is due again in a minute, then after longer."""
    async with store.transaction(district) as c:
        row = (
            await c.execute(
                text(
                    "UPDATE sending s SET attempts = s.attempts + 1, "
                    "  next_at = now() + least(interval '1 minute' * 2 ^ least(s.attempts, 10), interval '1 hour') "
                    "FROM notice n JOIN district d ON d.id = n.district_id "
                    "LEFT JOIN connection o ON o.id = n.connection_id "
                    "WHERE n.id = s.notice_id AND (s.notice_id, s.channel_id) = ("
                    "  SELECT notice_id, channel_id FROM sending WHERE state = 'queued' AND next_at <= now() "
                    "  ORDER BY notice_id, channel_id LIMIT 1 FOR UPDATE SKIP LOCKED) "
                    "RETURNING s.notice_id, s.channel_id, CAST(n.mark AS text), n.event, d.name AS district, "
                    "  o.name AS connection, n.run_id, n.at, n.message"
                )
            )
        ).one_or_none()
    if row is None:
        return None
    return Sending(
        row.notice_id,
        row.channel_id,
        row.mark,
        row.event,
        row.district,
        row.connection,
        row.run_id,
        row.at,
        Message(**row.message),
    )


async def sent(store: Store, district: int, sending: Sending) -> None:
    async with store.transaction(district) as c:
        await c.execute(
            text(
                "UPDATE sending SET state = 'sent', sent_at = now(), error_code = NULL "
                "WHERE notice_id = :notice AND channel_id = :channel"
            ),
            {"notice": sending.notice, "channel": sending.channel},
        )


async def not_sent(store: Store, district: int, sending: Sending, code: str) -> None:
    """Why it did not go out; after a day it is given up, and kept as failed."""
    async with store.transaction(district) as c:
        await c.execute(
            text(
                "UPDATE sending s SET error_code = :code, state = CASE "
                "  WHEN s.next_at > n.at + make_interval(hours => :hours) THEN 'failed' ELSE 'queued' END "
                "FROM notice n WHERE n.id = s.notice_id AND s.notice_id = :notice AND s.channel_id = :channel"
            ),
            {"notice": sending.notice, "channel": sending.channel, "code": code, "hours": GIVE_UP_HOURS},
        )


async def expect_beat(c: AsyncConnection, connection: int, run: int) -> None:
    """Have the connection's heartbeat called for this good run, if it has one."""
    await c.execute(
        text("UPDATE heartbeat SET run_id = :run, attempts = 0, next_at = now() WHERE connection_id = :connection"),
        {"run": run, "connection": connection},
    )


async def claim_beat(store: Store, district: int) -> Beat | None:
    """The next heartbeat to be called, taken as by `claim`; a fifth attempt is the last."""
    async with store.transaction(district) as c:
        row = (
            await c.execute(
                text(
                    "UPDATE heartbeat SET attempts = attempts + 1, "
                    "  next_at = now() + interval '1 minute' * 2 ^ attempts "
                    "WHERE connection_id = (SELECT connection_id FROM heartbeat "
                    "  WHERE run_id IS NOT NULL AND next_at <= now() LIMIT 1 FOR UPDATE SKIP LOCKED) "
                    "RETURNING connection_id, run_id, sealed_url, method, allow_private"
                )
            )
        ).one_or_none()
    if row is None:
        return None
    url = store.secrets.open(row.sealed_url).decode()
    return Beat(row.connection_id, row.run_id, url, row.method, row.allow_private)


async def beaten(store: Store, district: int, beat: Beat, error_code: str | None) -> None:
    """What became of a call. One that comes late would say that all is well when it may not be: so it is given up
    after five attempts, half an hour."""
    async with store.transaction(district) as c:
        await c.execute(
            text(
                "UPDATE heartbeat SET error_code = :code, called_at = now(), "
                "  failures = CASE WHEN :good THEN 0 ELSE failures + 1 END, "
                "  run_id = CASE WHEN NOT :good AND attempts < 5 THEN run_id END "
                "WHERE connection_id = :connection AND run_id = :run"
            ),
            {"connection": beat.connection, "run": beat.run, "code": error_code, "good": error_code is None},
        )


async def listed(store: Store, district: int, limit: int = 50, notice: int | None = None) -> list[dict[str, Any]]:
    """Notices, the newest first: what they say, and how many channels they reached."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT n.id, n.at, n.event, o.name AS connection, n.run_id AS run, n.message, "
                "  count(*) FILTER (WHERE s.state = 'sent') AS sent, "
                "  count(*) FILTER (WHERE s.state = 'queued') AS queued, "
                "  count(*) FILTER (WHERE s.state = 'failed') AS failed, "
                "  coalesce(array_to_json(array_agg(DISTINCT s.error_code) FILTER (WHERE s.error_code IS NOT NULL)), "
                "    '[]') AS errors "
                "FROM notice n LEFT JOIN sending s ON s.notice_id = n.id "
                "LEFT JOIN connection o ON o.id = n.connection_id "
                "WHERE n.id = coalesce(CAST(:notice AS bigint), n.id) GROUP BY n.id, o.name "
                "ORDER BY n.id DESC LIMIT :limit"
            ),
            {"limit": limit, "notice": notice},
        )
        return [dict(row._mapping) for row in rows]
