"""Where notices go: addresses and their secrets, sealed; what each wants; which URL a good run calls."""

import base64
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import time
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import http
from gateway.errors import ConfigError
from gateway.store import registers
from gateway.store.database import Store
from gateway.store.registers import Actor, log_act

EVENTS = {
    "hold": "A run, or its removals, waits for a person.",
    "failure": "A sync stopped, or a plan could not be delivered: the first time, then once a day.",
    "recovery": "The first good sync after a failure or a silence.",
    "silence": "No good sync for longer than the connection's limit.",
    "credential": "Credentials end in 30, 7 or 1 day.",
    "year": "Many staff assignments end on one day: one list, school by school.",
    "access": "Somebody opened what is masked to them otherwise, with a reason.",
    "plans": "Plans wait for a person: who answers for them has left, a student has moved, a right has ended, a review "
    "or a consultation is overdue.",
    "digest": "How everything stands, every morning.",
}
"""Everything that people may be told of."""

_MAIL = re.compile(r"[^\s@<>,;\"]+@[^\s@<>,;\"]+\.[^\s@<>,;\"]+")


@dataclass(frozen=True)
class Channel:
    """One address that notices go to. `secret` signs what goes to a webhook."""

    id: int
    kind: str
    address: str = field(repr=False)
    secret: bytes = field(repr=False)
    allow_private: bool
    events: tuple[str, ...]
    zone: ZoneInfo


@dataclass(frozen=True)
class Morning:
    """When the digest of a channel goes out, in its own zone."""

    at: time
    zone: str


def parsed_morning(at: str, zone: str) -> Morning:
    """07:00 and America/Chicago, say. ConfigError for what is no time or no zone."""
    try:
        ZoneInfo(zone)
        return Morning(time.fromisoformat(at), zone)
    except (KeyError, ValueError, OSError):  # what ZoneInfo raises for a name that is none
        raise ConfigError(
            "morning-invalid",
            f"{at!r} in {zone!r} is no time of a day in a time zone.",
            "Give a time like 07:00 and a zone like America/Chicago.",
        ) from None


async def add_email(
    store: Store, district: int, address: str, events: Sequence[str], morning: Morning, actor: Actor
) -> int:
    """A new e-mail address. ConfigError when it is none, or is there already."""
    if not _MAIL.fullmatch(address):
        raise ConfigError(
            "email-invalid", f"{address!r} is no e-mail address.", "Give one, as it@district.example.org."
        )
    return await _add(store, district, "email", address, address, None, False, events, morning, actor)


async def add_webhook(
    store: Store, district: int, url: str, events: Sequence[str], morning: Morning, allow_private: bool, actor: Actor
) -> tuple[int, str]:
    """A new webhook: its number, and its secret, which cannot be shown again."""
    key = secrets.token_bytes(32)
    made = await _add(
        store, district, "webhook", url, http.checked_origin(url), key, allow_private, events, morning, actor
    )
    return made, f"whsec_{base64.b64encode(key).decode()}"  # Standard Webhooks 1.0: how a symmetric secret is written


async def _add(
    store: Store,
    district: int,
    kind: str,
    address: str,
    shown: str,
    key: bytes | None,
    allow_private: bool,
    events: Sequence[str],
    morning: Morning,
    actor: Actor,
) -> int:
    unknown = [event for event in events if event not in EVENTS]
    if unknown or not events:
        raise ConfigError(
            "event-unknown",
            f"There is no event {unknown[0]!r}." if unknown else "A channel without events would never be used.",
            f"Choose from: {', '.join(EVENTS)}.",
        )
    async with store.transaction(district) as c:
        if any(channel.address == address for channel in await _opened(store, c)):
            raise ConfigError("channel-exists", f"Notices go to {shown} already.", "`planbridge notices channels`.")
        made = await c.scalar(
            text(
                "INSERT INTO channel (district_id, kind, shown, sealed_address, sealed_secret, allow_private, events, "
                "  digest_at, zone, digested_on) "
                "VALUES (:district, :kind, :shown, :address, :key, :allow_private, :events, :at, :zone, "
                # A morning that is over is not made up for.
                "  CAST(now() AT TIME ZONE :zone AS date) - CAST(CAST(now() AT TIME ZONE :zone AS time) < :at AS int)) "
                "RETURNING id"
            ),
            {
                "district": district,
                "kind": kind,
                "shown": shown,
                "address": store.secrets.seal(address.encode()),
                "key": store.secrets.seal(key) if key is not None else None,
                "allow_private": allow_private,
                "events": list(events),
                "at": morning.at,
                "zone": morning.zone,
            },
        )
        await log_act(c, district, actor, "notices-add", str(made), {"kind": kind, "to": shown, "events": list(events)})
    return int(made)


async def remove(store: Store, district: int, channel: int, actor: Actor) -> None:
    """Send nothing there any more, not even what waits. ConfigError when there is none of that number."""
    async with store.transaction(district) as c:
        shown = await c.scalar(text("DELETE FROM channel WHERE id = :id RETURNING shown"), {"id": channel})
        if shown is None:
            raise unknown_channel(channel)
        await log_act(c, district, actor, "notices-remove", str(channel), {"to": shown})


def unknown_channel(channel: int) -> ConfigError:
    return ConfigError(
        "channel-unknown", f"There is no channel {channel}.", "`planbridge notices channels` lists them."
    )


async def listed(store: Store, district: int) -> list[dict[str, Any]]:
    """Every channel, without what is secret of it."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT id, kind, shown, array_to_json(events) AS events, to_char(digest_at, 'HH24:MI') AS digest_at, "
                "zone, allow_private FROM channel ORDER BY id"
            )
        )
        return [dict(row._mapping) for row in rows]


async def opened(store: Store, district: int) -> list[Channel]:
    """Every channel with its address and its secret, to send something."""
    async with store.transaction(district) as c:
        return await _opened(store, c)


async def get(store: Store, district: int, channel: int) -> Channel:
    """One channel, opened. ConfigError when there is none of that number."""
    for found in await opened(store, district):
        if found.id == channel:
            return found
    raise unknown_channel(channel)


async def everywhere(store: Store) -> list[tuple[str, Channel]]:
    """(name of the district, channel), over all districts."""
    async with store.owner.begin() as c:
        rows = await c.execute(
            text("SELECT d.name, ch.* FROM channel ch JOIN district d ON d.id = ch.district_id ORDER BY ch.id")
        )
        return [(row.name, _channel(store, row)) for row in rows]


async def _opened(store: Store, c: AsyncConnection) -> list[Channel]:
    return [_channel(store, row) for row in await c.execute(text("SELECT * FROM channel ORDER BY id"))]


def _channel(store: Store, row: Any) -> Channel:
    return Channel(
        row.id,
        row.kind,
        store.secrets.open(row.sealed_address).decode(),
        store.secrets.open(row.sealed_secret) if row.sealed_secret is not None else b"",
        row.allow_private,
        tuple(row.events),
        ZoneInfo(row.zone),
    )


async def set_heartbeat(
    store: Store, district: int, connection: str, url: str | None, post: bool, allow_private: bool, actor: Actor
) -> None:
    """Have a URL called after each good run of a connection; None ends that."""
    found = await registers.connection(store, district, connection)
    shown = http.checked_origin(url) if url is not None else None
    async with store.transaction(district) as c:
        await c.execute(text("DELETE FROM heartbeat WHERE connection_id = :id"), {"id": found.id})
        if url is not None:
            await c.execute(
                text(
                    "INSERT INTO heartbeat (connection_id, district_id, shown, sealed_url, method, allow_private) "
                    "VALUES (:connection, :district, :shown, :url, :method, :allow_private)"
                ),
                {
                    "connection": found.id,
                    "district": district,
                    "shown": shown,
                    "url": store.secrets.seal(url.encode()),
                    "method": "POST" if post else "GET",
                    "allow_private": allow_private,
                },
            )
        await log_act(c, district, actor, "heartbeat", found.name, {"to": shown})


async def heartbeats(store: Store, district: int) -> list[dict[str, Any]]:
    """Where good runs are reported, when one was last, and how often that failed in a row."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT n.name AS connection, h.shown, h.method, h.called_at, h.failures, h.error_code "
                "FROM heartbeat h JOIN connection n ON n.id = h.connection_id ORDER BY n.id"
            )
        )
        return [dict(row._mapping) for row in rows]
