"""Where events are sent: addresses and their secrets, sealed; what is on its way to each, and how sending it went."""

import base64
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import http
from gateway.errors import ConfigError
from gateway.events import Event, checked
from gateway.store import events
from gateway.store.clients import Client
from gateway.store.database import Store
from gateway.store.registers import Actor, log_act

OVERLAP_HOURS = 24
"""So long after a rotation the former secret signs too."""
GIVE_UP_HOURS = 24
AT_ONCE = 8
MOST = 20
"""Of one program: each gets every event, and takes a worker's time."""
WAITING = 2_000
"""So many messages wait for one webhook at most: the rest stays in the feed until they are sent."""
GONE = "gone"


@dataclass(frozen=True)
class Webhook:
    """One address that events go to. `secrets` sign what goes there: after a rotation two of them, for a while.
    `stopped` says why nothing is sent any more."""

    id: int
    client: Client
    url: str = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)
    allow_private: bool
    types: tuple[str, ...]
    place: str
    stopped: str | None


@dataclass(frozen=True)
class Message:
    """One event on its way to one webhook, taken for its `attempts`-th attempt. `mark` is always the same."""

    n: int
    mark: str
    event: Event
    attempts: int


async def add(
    store: Store, district: int, client: str, url: str, types: Sequence[str], actor: Actor, *, allow_private: bool
) -> tuple[int, str]:
    """A new webhook of a client, from now on: its number, and its secret, which cannot be shown again. Without types
    it gets every one. ConfigError for an address that may not be asked, or is there already."""
    shown = checked_address(url, allow_private=allow_private)
    key = secrets.token_bytes(32)
    async with store.transaction(district) as c:
        await _of_client(c, client)
        there = await _opened(store, c, client=client)
        if len(there) >= MOST:
            raise ConfigError(
                "webhooks-many", f"This program has {len(there)} webhooks already.", "Remove one, or use one for more."
            )
        if any(one.url == url for one in there):
            raise ConfigError("webhook-exists", f"Events go to {shown} already.", "`planbridge webhooks list`.")
        made = await c.scalar(
            text(
                "INSERT INTO webhook (district_id, client_id, shown, sealed_url, sealed_secret, allow_private, types, "
                "  place) VALUES (:district, :client, :shown, :url, :key, :allow_private, :types, :place) RETURNING id"
            ),
            {
                "district": district,
                "client": client,
                "shown": shown,
                "url": store.secrets.seal(url.encode()),
                "key": store.secrets.seal(key),
                "allow_private": allow_private,
                "types": checked(types),
                "place": str((await events.head(c, district)).place),
            },
        )
        detail = {"client": client, "to": shown, "types": list(types), "allow_private": allow_private}
        await log_act(c, district, actor, "webhook-add", str(made), detail)
    return int(made), _written(key)


def checked_address(url: str, *, allow_private: bool) -> str:
    """What may be shown of an address. ConfigError where events may not go there: only https, but on this machine."""
    shown = http.checked_origin(url)
    if not allow_private and not shown.startswith("https:"):
        raise ConfigError("url-not-https", f"{shown} is not an https address.", "Give one that begins with https.")
    return shown


def _written(key: bytes) -> str:
    return f"whsec_{base64.b64encode(key).decode()}"  # Standard Webhooks 1.0: how a symmetric secret is written


async def _of_client(c: AsyncConnection, client: str) -> None:
    known = await c.scalar(
        text(
            "SELECT 1 FROM client WHERE id = :id AND revoked_at IS NULL "
            "AND district_id = (SELECT nullif(current_setting('planbridge.district', true), '')::int) "
            "FOR NO KEY UPDATE"  # two at once are looked at one after the other
        ),
        {"id": client},
    )
    if known is None:
        raise ConfigError(
            "client-unknown", f"There is no client {client!r} at work.", "`planbridge client list` shows them."
        )


async def get(store: Store, c: AsyncConnection, webhook: int, client: str | None = None) -> Webhook:
    """One webhook, opened; with a client only if it is its own. ConfigError when there is none."""
    for found in await _opened(store, c, webhook=webhook, client=client):
        return found
    raise ConfigError("webhook-unknown", f"There is no webhook {webhook}.", "`planbridge webhooks list` shows them.")


async def _opened(
    store: Store, c: AsyncConnection, *, webhook: int | None = None, client: str | None = None
) -> list[Webhook]:
    rows = await c.execute(
        text(
            "SELECT w.id, w.client_id, w.district_id, w.sealed_url, w.sealed_secret, w.allow_private, w.types, "
            "  w.place, CASE WHEN w.former_until > now() THEN w.sealed_former END AS sealed_former, "
            "  CASE WHEN n.revoked_at IS NULL THEN w.stopped ELSE 'client-revoked' END AS stopped, n.name, n.scopes, "
            "  n.kind, n.purpose, n.sections, d.suspended_at IS NOT NULL AS suspended "
            "FROM webhook w JOIN client n ON n.id = w.client_id JOIN district d ON d.id = w.district_id "
            "WHERE w.id = coalesce(CAST(:webhook AS bigint), w.id) "
            "AND w.client_id = coalesce(CAST(:client AS text), w.client_id) ORDER BY w.id"
        ),
        {"webhook": webhook, "client": client},
    )
    return [
        Webhook(
            row.id,
            Client(
                row.client_id, row.district_id, row.name, frozenset(row.scopes), row.suspended, row.kind, row.purpose,
                frozenset(row.sections),
            ),
            store.secrets.open(row.sealed_url).decode(),
            tuple(store.secrets.open(one) for one in (row.sealed_secret, row.sealed_former) if one is not None),
            row.allow_private,
            tuple(row.types),
            row.place,
            row.stopped,
        )
        for row in rows
    ]  # fmt: skip


async def listed(c: AsyncConnection, client: str | None = None) -> list[dict[str, Any]]:
    """Every webhook, or those of a client, without what is secret: how much waits for it and is parked."""
    rows = await c.execute(
        text(
            "SELECT w.id, w.client_id AS client, w.shown AS to, array_to_json(w.types) AS types, w.stopped, "
            "  count(m.n) FILTER (WHERE m.state = 'waiting') AS waiting, "
            "  count(m.n) FILTER (WHERE m.state = 'parked') AS parked, w.former_until, w.created_at "
            "FROM webhook w LEFT JOIN webhook_message m ON m.webhook_id = w.id "
            "WHERE w.client_id = coalesce(CAST(:client AS text), w.client_id) GROUP BY w.id ORDER BY w.id"
        ),
        {"client": client},
    )
    return [dict(row._mapping) for row in rows]


async def remove(store: Store, c: AsyncConnection, webhook: Webhook, actor: Actor) -> None:
    """Send nothing there any more, not even what waits."""
    await c.execute(text("DELETE FROM webhook WHERE id = :id"), {"id": webhook.id})
    await log_act(c, webhook.client.district, actor, "webhook-remove", str(webhook.id), {"client": webhook.client.id})


async def rotate(store: Store, c: AsyncConnection, webhook: Webhook, actor: Actor) -> str:
    """A new secret, which cannot be shown again; the former one signs beside it for OVERLAP_HOURS."""
    key = secrets.token_bytes(32)
    await c.execute(
        text(
            "UPDATE webhook SET sealed_former = sealed_secret, sealed_secret = :key, "
            "  former_until = now() + make_interval(hours => :hours) WHERE id = :id"
        ),
        {"key": store.secrets.seal(key), "hours": OVERLAP_HOURS, "id": webhook.id},
    )
    await log_act(c, webhook.client.district, actor, "webhook-rotate", str(webhook.id), {"hours": OVERLAP_HOURS})
    return _written(key)


async def resume(c: AsyncConnection, webhook: Webhook, actor: Actor) -> None:
    """Send there again, from now on, what comes; and what waits."""
    await c.execute(text("UPDATE webhook SET stopped = NULL, rests_until = now() WHERE id = :id"), {"id": webhook.id})
    await log_act(c, webhook.client.district, actor, "webhook-resume", str(webhook.id), {"stopped": webhook.stopped})


async def due(store: Store) -> list[tuple[int, int]]:
    """(district, webhook) for which there is something to send or to read in the feed, over all districts. A webhook
    whose feed was not read for ten minutes is looked at anyhow: the further off its place, the dearer is the look."""
    async with store.owner.begin() as c:
        rows = await c.execute(
            text(
                "SELECT w.district_id, w.id FROM webhook w JOIN client n ON n.id = w.client_id "
                "JOIN district d ON d.id = w.district_id WHERE w.stopped IS NULL AND w.rests_until <= now() "
                "AND n.revoked_at IS NULL AND d.suspended_at IS NULL AND ("
                "  EXISTS (SELECT FROM webhook_message m WHERE m.webhook_id = w.id AND m.state = 'waiting' "
                "    AND m.next_at <= now()) "
                "  OR w.looked_at < now() - interval '10 minutes'"
                + "".join(
                    f" OR EXISTS (SELECT FROM {table} t WHERE t.district_id = w.district_id "
                    "AND t.xid >= CAST(split_part(w.place, '-', 3) AS xid8) "
                    "AND t.xid < pg_snapshot_xmin(pg_current_snapshot()))"
                    for table in ("change", "delivery", "plan_event", "reach")
                )
                + ") ORDER BY w.id"
            )
        )
        return [(row.district_id, row.id) for row in rows]


async def room(c: AsyncConnection, webhook: int) -> int:
    """How many messages more may be queued for it; it is locked until the transaction ends, so that one reads the feed
    for it."""
    await c.execute(text("SELECT 1 FROM webhook WHERE id = :id FOR NO KEY UPDATE"), {"id": webhook})
    waiting = await c.scalar(
        text("SELECT count(*) FROM webhook_message WHERE webhook_id = :id AND state = 'waiting'"), {"id": webhook}
    )
    return max(0, WAITING - int(waiting or 0))


async def queue(c: AsyncConnection, webhook: Webhook, told: Sequence[Event], place: str) -> None:
    """Put events on their way, and note up to where the feed is read. An event is queued once."""
    await c.execute(
        text(
            "INSERT INTO webhook_message (district_id, webhook_id, event, mark, subject, ids) "
            "SELECT :district, :webhook, CAST(e AS json), e->>'id', e->>'subject', "
            "  ARRAY(SELECT DISTINCT CAST(v AS uuid) FROM jsonb_array_elements_text(e->'named') v) "
            "FROM jsonb_array_elements(CAST(:events AS jsonb)) WITH ORDINALITY x (e, n) ORDER BY n "
            "ON CONFLICT DO NOTHING"
        ),
        {
            "district": webhook.client.district,
            "webhook": webhook.id,
            "events": json.dumps([_kept(one) for one in told]),
        },
    )
    await c.execute(
        text("UPDATE webhook SET place = :place, looked_at = now() WHERE id = :id"), {"place": place, "id": webhook.id}
    )


def _kept(event: Event) -> dict[str, Any]:
    named = {str(id) for id in (*event.ids.values(), event.student) if _UUID.fullmatch(str(id))}
    return {
        "id": event.id,
        "type": event.type,
        "at": event.at.isoformat(),
        "ids": dict(event.ids),
        "collection": event.collection,
        "about": event.about,
        "student": event.student,
        "subject": event.subject,
        "named": sorted(named),
    }


async def claim(c: AsyncConnection, webhook: int) -> list[Message]:
    """The next ones to be sent, each of another subject, taken: should we die over them, they are due again soon, then
    after longer and longer. One about a subject waits for the one before it."""
    rows = await c.execute(
        text(
            "UPDATE webhook_message m SET attempts = m.attempts + 1, first_at = coalesce(m.first_at, now()), "
            "  next_at = now() + least(interval '30 seconds' * 2 ^ least(m.attempts, 10), interval '2 hours') "
            "FROM (SELECT n FROM webhook_message o WHERE o.webhook_id = :webhook AND o.state = 'waiting' "
            "  AND o.next_at <= now() AND NOT EXISTS (SELECT FROM webhook_message e WHERE e.webhook_id = o.webhook_id "
            "    AND e.subject = o.subject AND e.n < o.n AND e.state = 'waiting') "
            "  ORDER BY n LIMIT :limit FOR UPDATE SKIP LOCKED) d WHERE m.n = d.n "
            "RETURNING m.n, m.mark, m.event, m.attempts"
        ),
        {"webhook": webhook, "limit": AT_ONCE},
    )
    found = [Message(row.n, row.mark, _event(row.event), row.attempts) for row in rows]
    return sorted(found, key=lambda one: one.n)


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _event(kept: dict[str, Any]) -> Event:
    at = datetime.fromisoformat(kept["at"])
    return Event(kept["id"], kept["type"], at, kept["ids"], kept["collection"], kept["about"], kept["student"])


async def sent(c: AsyncConnection, message: Message) -> None:
    await c.execute(text("DELETE FROM webhook_message WHERE n = :n"), {"n": message.n})


async def withhold(c: AsyncConnection, messages: Sequence[Message]) -> None:
    """What may not be told any more goes."""
    await c.execute(text("DELETE FROM webhook_message WHERE n = ANY(:n)"), {"n": [one.n for one in messages]})


async def put_back(c: AsyncConnection, messages: Sequence[Message]) -> None:
    """As if they had not been taken."""
    await c.execute(
        text("UPDATE webhook_message SET attempts = attempts - 1, next_at = now() WHERE n = ANY(:n)"),
        {"n": [one.n for one in messages]},
    )


async def not_sent(c: AsyncConnection, message: Message, reason: str, after: float) -> bool:
    """Why it did not arrive; it is due again no sooner than `after` seconds. A day after the first attempt it is
    parked: whether it was."""
    state = await c.scalar(
        text(
            "UPDATE webhook_message SET reason = :reason, "
            "  next_at = greatest(next_at, now() + make_interval(secs => :after)), "
            "  state = CASE WHEN greatest(next_at, now() + make_interval(secs => :after)) "
            "    > first_at + make_interval(hours => :hours) THEN 'parked' ELSE state END "
            "WHERE n = :n AND attempts = :attempts RETURNING state"
        ),
        {"n": message.n, "attempts": message.attempts, "reason": reason, "after": after, "hours": GIVE_UP_HOURS},
    )
    return bool(state == "parked")


async def rest(c: AsyncConnection, webhook: int, seconds: float) -> None:
    """Send nothing there for so long."""
    await c.execute(
        text(
            "UPDATE webhook SET rests_until = greatest(rests_until, now() + make_interval(secs => :seconds)) "
            "WHERE id = :id"
        ),
        {"seconds": seconds, "id": webhook},
    )


async def stop(c: AsyncConnection, webhook: Webhook, why: str, reason: str, actor: Actor) -> None:
    """Send nothing there until somebody resumes it; what waits is parked."""
    stopped = await c.execute(
        text("UPDATE webhook SET stopped = :why WHERE id = :id AND stopped IS NULL"), {"why": why, "id": webhook.id}
    )
    await c.execute(
        text(
            "UPDATE webhook_message SET state = 'parked', reason = :reason WHERE webhook_id = :id AND state = 'waiting'"
        ),
        {"reason": reason, "id": webhook.id},
    )
    if stopped.rowcount:
        await log_act(c, webhook.client.district, actor, "webhook-stop", str(webhook.id), {"why": why})


async def note(
    c: AsyncConnection, webhook: Webhook, mark: str, type: str, status: int | None, code: str | None, ms: int
) -> None:
    """Keep how one attempt went."""
    await c.execute(
        text(
            "INSERT INTO webhook_attempt (district_id, webhook_id, mark, type, status, code, ms) "
            "VALUES (:district, :webhook, :mark, :type, :status, :code, :ms)"
        ),
        {
            "district": webhook.client.district,
            "webhook": webhook.id,
            "mark": mark,
            "type": type,
            "status": status,
            "code": code,
            "ms": ms,
        },
    )


async def attempts(c: AsyncConnection, webhook: int, limit: int) -> list[dict[str, Any]]:
    """The newest attempts first: which message, its type, when, the status answered or the code of what went wrong, how
    many milliseconds it took."""
    rows = await c.execute(
        text(
            "SELECT at, mark AS message, type, status, code, ms FROM webhook_attempt WHERE webhook_id = :webhook "
            "ORDER BY id DESC LIMIT :limit"
        ),
        {"webhook": webhook, "limit": limit},
    )
    return [dict(row._mapping) for row in rows]


async def parked(c: AsyncConnection, webhook: int) -> list[dict[str, Any]]:
    """What could not be sent, the oldest first, and why."""
    rows = await c.execute(
        text(
            "SELECT mark AS message, event->>'type' AS type, queued_at, attempts, reason FROM webhook_message "
            "WHERE webhook_id = :webhook AND state = 'parked' ORDER BY n"
        ),
        {"webhook": webhook},
    )
    return [dict(row._mapping) for row in rows]


async def replay(c: AsyncConnection, webhook: Webhook, marks: Sequence[str], actor: Actor) -> int:
    """Send what is parked once more, these or all; how many. Each is tried for a day again."""
    done = await c.execute(
        text(
            "UPDATE webhook_message SET state = 'waiting', attempts = 0, first_at = NULL, next_at = now(), "
            "  reason = NULL WHERE webhook_id = :webhook AND state = 'parked' AND (:every OR mark = ANY(:marks))"
        ),
        {"webhook": webhook.id, "every": not marks, "marks": list(marks)},
    )
    await log_act(c, webhook.client.district, actor, "webhook-replay", str(webhook.id), {"messages": done.rowcount})
    return int(done.rowcount)
