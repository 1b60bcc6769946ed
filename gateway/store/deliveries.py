"""The ledger: which object went where, with which content, and what the other side said to it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import clock
from gateway.connector import Document, Loss, Receipt
from gateway.errors import ConfigError
from gateway.store import turns
from gateway.store.database import Store
from gateway.store.registers import Actor, Connection
from gateway.store.runs import Fenced


@dataclass(frozen=True)
class Delivery:
    """One plan version on its way to one destination, or taken back from there; `fence` is this attempt's number.
    `overwrite`: why a person lets it take the place of what others wrote there; empty where nobody does. `because` and
    `cause`: why it is taken back, in words and by what. `doorway`: it is a link and nothing of the plan."""

    id: int
    district: int
    plan: str
    version: int
    connection: int
    fence: int
    overwrite: str = ""
    kind: Literal["push", "withdraw"] = "push"
    because: str = ""
    cause: str = ""
    doorway: bool = False


@dataclass(frozen=True)
class Cause:
    """One root cause: of how many records the destination said it, how many were not sent because of that, and the id
    under which its host finds one of the refusals. Status 0: found before anything was sent."""

    status: int
    message: str
    resources: Sequence[str] = ()
    refused: int = 0
    not_sent: int = 0
    trace: str = ""


async def queue(
    c: AsyncConnection, district: int, plan: str, version: int, connection: int, actor: Actor, overwrite: str = ""
) -> int:
    """A new delivery, waiting for the worker, in the place of those of the same plan that wait for it still."""
    made = int(
        await c.scalar(
            text(
                "INSERT INTO delivery (district_id, plan_id, version, connection_id, state, actor, overwrite) VALUES "
                "(:district, CAST(:plan AS uuid), :version, :connection, 'queued', CAST(:actor AS json), :overwrite) "
                "RETURNING id"
            ),
            {
                "district": district,
                "plan": plan,
                "version": version,
                "connection": connection,
                "actor": actor.as_json(),
                "overwrite": overwrite or None,
            },
        )
    )
    await turns.supersede(c, plan, connection, made)
    return made


async def queue_all(c: AsyncConnection, district: int, connection: Connection, actor: Actor) -> list[int]:
    """A new delivery, and its line among the acts, for the newest version of every plan that was not sent there yet, or
    was and is parked. What was taken back from there, or is on its way, is left alone; of what is there as a doorway
    the newest version goes as one."""
    rows = await c.execute(
        text(
            "WITH made AS (INSERT INTO delivery (district_id, plan_id, version, connection_id, state, actor, doorway) "
            "  SELECT :district, p.id, v.version, :connection, 'queued', CAST(:actor AS json), coalesce(l.doorway, "
            "    false) FROM plan p "
            "  JOIN LATERAL (SELECT max(version) AS version FROM plan_version v WHERE v.plan_id = p.id) v "
            "    ON v.version IS NOT NULL "
            "  LEFT JOIN LATERAL (SELECT version, state, kind, doorway FROM delivery d WHERE d.plan_id = p.id "
            "    AND d.connection_id = :connection ORDER BY d.id DESC LIMIT 1) l ON true "
            "  WHERE p.state NOT IN ('revoked', 'entered_in_error', 'archived') AND coalesce("
            "    l.kind = 'push' AND l.state <> 'sending' AND (l.version < v.version "
            "      OR l.state NOT IN ('queued', 'delivered', 'rehearsed')), true) ORDER BY p.id "
            "  RETURNING id, plan_id, version), "
            "noted AS (INSERT INTO plan_event (district_id, plan_id, act, actor, detail) "
            "  SELECT :district, plan_id, 'push', CAST(:actor AS json), json_build_object('version', version, "
            "    'destination', CAST(:destination AS text)) FROM made), "
            "over AS (UPDATE delivery o SET state = 'superseded', told = true, next_at = NULL, finished_at = now(), "
            "  reason = 'Delivery ' || m.id || ' is newer and goes instead.' FROM made m "
            "  WHERE o.plan_id = m.plan_id AND o.connection_id = :connection AND o.state = 'queued') "
            "SELECT id FROM made ORDER BY id"
        ),
        {"district": district, "connection": connection.id, "actor": actor.as_json(), "destination": connection.name},
    )
    return list(rows.scalars())


async def of_plan(c: AsyncConnection, plan: str, most: int) -> list[int]:
    """Numbers of a plan's deliveries, the newest first."""
    rows = await c.execute(
        text("SELECT id FROM delivery WHERE CAST(plan_id AS text) = :plan ORDER BY id DESC LIMIT :most"),
        {"plan": plan, "most": most},
    )
    return list(rows.scalars())


async def newest(c: AsyncConnection, delivery: int) -> int:
    """The newest delivery of the same plan to the same destination."""
    return int(
        await c.scalar(
            text(
                "SELECT max(n.id) FROM delivery d JOIN delivery n ON n.plan_id = d.plan_id "
                "AND n.connection_id = d.connection_id WHERE d.id = :id"
            ),
            {"id": delivery},
        )
    )


_TAKE = (
    "UPDATE delivery SET state = 'sending', fence = fence + 1, next_at = NULL "
    "WHERE id = ANY(:ids) AND state IN ('queued', 'sending') "
    "RETURNING id, district_id, CAST(plan_id AS text), version, connection_id, fence, "
    "coalesce(overwrite, ''), kind, coalesce(because, ''), coalesce(cause, ''), doorway"
)


async def destination(store: Store, district: int, delivery: int) -> int | None:
    """The connection that a delivery goes to; None where there is no such delivery any more."""
    async with store.transaction(district) as c:
        found: int | None = await c.scalar(text("SELECT connection_id FROM delivery WHERE id = :id"), {"id": delivery})
    return found


async def take(
    store: Store, district: int, connection: int, most: int, under_way: Sequence[int] = ()
) -> list[Delivery]:
    """Take what waits for a destination, the oldest first, of each plan one; also what an attempt that died left, but
    nothing of the plans that are `under_way` in this one. Where a newer one of the plan waits, what was handed back or
    left goes no more: the newer one may be there to take it back. None when nothing waits, or all has to wait longer.
    """
    now = clock.now()
    async with store.transaction(district) as c:
        await turns.rest(c, connection, now)
        rows = await c.execute(
            text(
                "SELECT id FROM (SELECT DISTINCT ON (plan_id) id, tries FROM delivery o WHERE connection_id = :to "
                "  AND (state = 'sending' OR (state = 'queued' AND coalesce(next_at, :now) <= :now)) "
                "  AND plan_id <> ALL (ARRAY(SELECT plan_id FROM delivery WHERE id = ANY(:under_way))) "
                "  AND NOT EXISTS (SELECT FROM delivery n WHERE n.plan_id = o.plan_id AND n.id > o.id "
                "    AND n.connection_id = o.connection_id AND n.state = 'queued') "
                "  ORDER BY plan_id, id DESC) d ORDER BY tries, id LIMIT :most"
            ),
            {"to": connection, "now": now, "most": most, "under_way": list(under_way)},
        )
        ids = list(rows.scalars())
        await turns.supersede_older(c, connection, ids)
        taken = await c.execute(text(_TAKE), {"ids": ids})
        return sorted((Delivery(*row) for row in taken), key=lambda one: one.id)


async def hold_fence(c: AsyncConnection, delivery: Delivery) -> None:
    """Fenced where another attempt has taken the delivery over."""
    mine = await c.scalar(
        text("SELECT id FROM delivery WHERE id = :id AND fence = :fence AND state = 'sending' FOR SHARE"),
        {"id": delivery.id, "fence": delivery.fence},
    )
    if mine is None:
        raise Fenced


# A claim takes the last answer away: what was sent and has none may have arrived. What was ended is there still.
OURS = (
    "(l.delivered_sha256 IS NOT NULL OR l.remote_id <> '' OR l.ended_on IS NOT NULL "
    "OR (l.sent_sha256 IS NOT NULL AND coalesce(l.status BETWEEN 200 AND 299, true)))"
)


async def remote_id(c: AsyncConnection, connection: int, document: Document) -> str:
    """The id that the destination gave an object; empty where it gave none."""
    found: str | None = await c.scalar(
        text(
            "SELECT remote_id FROM ledger WHERE connection_id = :connection AND resource = :resource "
            "AND identity = :identity"
        ),
        {"connection": connection, "resource": document.resource, "identity": document.identity},
    )
    return found or ""


async def announce(store: Store, delivery: Delivery, document: Document, remote_id: str) -> None:
    """Write down into which record a value is about to be put; it counts as delivered only when that was answered."""
    async with store.transaction(delivery.district) as c:
        await hold_fence(c, delivery)
        await c.execute(
            text(
                "UPDATE ledger SET remote_id = :remote_id "
                "WHERE connection_id = :connection AND resource = :resource AND identity = :identity"
            ),
            {"remote_id": remote_id, **_place(delivery, document)},
        )


async def refuse(store: Store, delivery: Delivery, document: Document, receipt: Receipt) -> None:
    """Write down that an object was not sent, and why: it takes nobody's place in the ledger that has one."""
    async with store.transaction(delivery.district) as c:
        await hold_fence(c, delivery)
        await c.execute(
            text(
                "INSERT INTO ledger (district_id, connection_id, resource, identity, delivery_id, shared, status, "
                "  message) VALUES (:district, :connection, :resource, :identity, :delivery, :shared, :status, "
                "  :message) "
                "ON CONFLICT (connection_id, resource, identity) DO UPDATE SET delivery_id = excluded.delivery_id, "
                "  status = excluded.status, message = excluded.message, at = now() "
                "WHERE ledger.sent_sha256 IS NULL"
            ),
            {
                "district": delivery.district,
                **_place(delivery, document),
                "delivery": delivery.id,
                "shared": document.create_only,
                "status": receipt.status,
                "message": told(receipt),
            },
        )


def _place(delivery: Delivery, document: Document) -> dict[str, Any]:
    """Where an object stands in the ledger."""
    return {"connection": delivery.connection, "resource": document.resource, "identity": document.identity}


def told(receipt: Receipt) -> str:
    """What the destination said, with the id under which its host finds it."""
    return f"{receipt.message} [correlation-id {receipt.trace}]" if receipt.trace else receipt.message


@dataclass(frozen=True)
class Finished:
    """How a delivery ended: delivered, or parked with its reason and its root causes, and with what it waits for where
    that comes by itself. `facts`: by what it was judged, see rechecks; empty where nothing was sent."""

    delivery: Delivery
    state: str
    losses: Sequence[Loss] = ()
    reason: str | None = None
    waits: str = ""
    causes: Sequence[Cause] = ()
    facts: str = ""


async def finish(store: Store, district: int, ended: Sequence[Finished]) -> list[Exception | None]:
    """End deliveries; Fenced in the place of one that another attempt has taken over."""
    rows = [
        {
            "id": one.delivery.id,
            "fence": one.delivery.fence,
            "state": one.state,
            "losses": [vars(loss) for loss in one.losses],
            "reason": one.reason,
            "waits": one.waits or None,
            "causes": [vars(cause) for cause in one.causes],
            "facts": one.facts,
        }
        for one in ended
    ]
    async with store.begun(district, (_FINISH, {"rows": json.dumps(rows)})) as (_, [over]):
        held = {row.id for row in over}
    return [None if one.delivery.id in held else Fenced() for one in ended]


_FINISH = (
    "WITH over AS (UPDATE delivery d SET state = a.state, losses = a.losses, reason = a.reason, "
    "  waits = a.waits, causes = a.causes, finished_at = now() "
    "  FROM json_to_recordset(CAST(:rows AS json)) AS a (id bigint, fence int, state text, losses json, "
    "    reason text, waits text, causes json, facts text) "
    "  WHERE d.id = a.id AND d.fence = a.fence AND d.state = 'sending' "
    "  RETURNING d.id, d.district_id, d.plan_id, d.connection_id, a.facts), "
    "judged AS (INSERT INTO recheck (connection_id, plan_id, district_id, facts) "
    "  SELECT connection_id, plan_id, district_id, facts FROM over WHERE facts <> '' "
    "  ON CONFLICT (connection_id, plan_id) DO UPDATE SET facts = excluded.facts, at = now()) "
    "SELECT id FROM over"
)


async def waiting(c: AsyncConnection, connection: int) -> list[tuple[int, str, str]]:
    """Parked deliveries to a destination that may end by themselves, as (delivery, for what it waits, student): of each
    plan the newest, unless a later one is there."""
    rows = await c.execute(
        text(
            "SELECT d.id, d.waits, CAST(p.student_id AS text) AS student FROM delivery d "
            "JOIN plan p ON p.id = d.plan_id "
            "WHERE d.connection_id = :connection AND d.state = 'parked' AND d.waits IS NOT NULL AND NOT EXISTS ("
            "  SELECT FROM delivery l WHERE l.plan_id = d.plan_id AND l.connection_id = d.connection_id "
            "  AND l.id > d.id) ORDER BY d.id"
        ),
        {"connection": connection},
    )
    return [(row.id, row.waits, row.student) for row in rows]


async def again(c: AsyncConnection, delivery: int) -> bool:
    """Queue a delivery that waits once more; false where somebody else has done so. It goes on to wait where this pass
    is not carried out (an outage, a blackout)."""
    mine = await c.scalar(
        text(
            "UPDATE delivery SET state = 'queued', reason = NULL, causes = NULL, finished_at = NULL "
            "WHERE id = :id AND state = 'parked' AND waits IS NOT NULL RETURNING id"
        ),
        {"id": delivery},
    )
    return mine is not None


async def park(store: Store, district: int, delivery: int, reason: str, fence: int | None = None) -> None:
    """Set a delivery aside with a reason; it can be sent again. `fence`: unless another attempt has taken it over."""
    async with store.transaction(district) as c:
        await c.execute(
            text(
                "UPDATE delivery SET state = 'parked', reason = :reason, causes = CAST(:causes AS json), "
                "finished_at = now() WHERE id = :id AND state IN ('queued', 'sending') "
                "AND fence = coalesce(CAST(:fence AS int), fence)"
            ),
            {"id": delivery, "reason": reason, "causes": json.dumps([vars(_cause(reason))]), "fence": fence},
        )


def _cause(reason: str) -> Cause:
    """What stopped a delivery as a whole, with its correlation id apart: that differs where the cause is the same."""
    found = re.search(r" ?[\[(]correlation-id ([0-9A-Fa-f-]+)[\])]|, correlation-id ([0-9A-Fa-f-]+)(?=\])", reason)
    if found is None:
        return Cause(0, reason)
    return Cause(0, reason[: found.start()] + reason[found.end() :], trace=found[1] or found[2])


async def pause_destination(store: Store, district: int, delivery: int, because: str) -> None:
    """Stop the destination's connection until a person mends it. One that rests for another reason does so already."""
    async with store.transaction(district) as c:
        await c.execute(
            text(
                "UPDATE connection SET paused_because = :because, paused_code = 'credentials' "
                "WHERE id = (SELECT connection_id FROM delivery WHERE id = :delivery) "
                "AND coalesce(paused_code, 'credentials') = 'credentials'"
            ),
            {"delivery": delivery, "because": because},
        )


async def status(c: AsyncConnection, delivery: int) -> dict[str, Any]:
    """A delivery with its receipts and losses. ConfigError when there is none."""
    row = (
        await c.execute(
            text(
                "SELECT d.id, CAST(d.plan_id AS text) AS plan, d.version, n.name AS destination, d.kind, d.cause, "
                "  d.because, d.overwrite, d.state, d.reason, d.waits, d.tries, d.next_at, "
                "  coalesce(d.causes, '[]') AS causes, d.losses, d.doorway, d.audience, d.rehearsed, "
                "  d.created_at, d.finished_at, coalesce((SELECT json_agg(json_build_object("
                "    'resource', l.resource, 'status', l.status, 'attempts', l.attempts, 'message', l.message, "
                "    'delivered', CASE d.kind WHEN 'push' THEN l.delivered_sha256 IS NOT NULL "
                "      AND l.delivered_sha256 = l.sent_sha256 ELSE coalesce(l.status BETWEEN 200 AND 299, false) END, "
                "    'adopted', l.adopted) "
                "    ORDER BY l.at, l.resource) FROM ledger l WHERE l.delivery_id = d.id), '[]') AS receipts "
                "FROM delivery d JOIN connection n ON n.id = d.connection_id WHERE d.id = :id"
            ),
            {"id": delivery},
        )
    ).one_or_none()
    if row is None:
        raise unknown(delivery)
    return dict(row._mapping)


def unknown(delivery: int) -> ConfigError:
    return ConfigError(
        "delivery-unknown", f"There is no delivery {delivery}.", "`planbridge refused` lists those that are parked."
    )


async def causes(c: AsyncConnection, connection: int | None = None) -> list[dict[str, Any]]:
    """Why deliveries are parked now: a cause once for each destination, with how many plans, refused records and unsent
    ones it explains, the one that explains most first. Of each plan only its newest delivery counts."""
    rows = await c.execute(
        text(
            "SELECT n.name AS destination, x.status, x.message, count(DISTINCT d.plan_id) AS plans, "
            "  sum(x.refused) AS refused, sum(x.not_sent) AS not_sent, max(x.trace) AS trace, "
            "  array(SELECT DISTINCT json_array_elements_text(l.value) FROM unnest(array_agg(x.resources)) "
            "    AS l(value) ORDER BY 1) AS resources "
            "FROM delivery d JOIN connection n ON n.id = d.connection_id, "
            "json_to_recordset(coalesce(d.causes, json_build_array(json_build_object('status', 0, 'message', "
            "  coalesce(d.reason, ''), 'resources', '[]'::json, 'refused', 0, 'not_sent', 0, 'trace', '')))) "
            "AS x(status int, message text, resources json, refused int, not_sent int, trace text) "
            "WHERE d.state = 'parked' AND d.connection_id = coalesce(:connection, d.connection_id) AND NOT EXISTS ("
            "  SELECT FROM delivery l WHERE l.plan_id = d.plan_id AND l.connection_id = d.connection_id "
            "  AND l.id > d.id) "
            "GROUP BY 1, 2, 3 ORDER BY sum(x.refused) + sum(x.not_sent) DESC, plans DESC, 1, 3"
        ),
        {"connection": connection},
    )
    return [dict(row._mapping) for row in rows]


async def profile(c: AsyncConnection, connection: int) -> dict[str, Any] | None:
    """The delivery profile of a destination, or None when the connection is not one."""
    found: dict[str, Any] | None = await c.scalar(
        text("SELECT profile FROM destination WHERE connection_id = :id"), {"id": connection}
    )
    return found


async def set_profile(c: AsyncConnection, district: int, connection: int, profile: dict[str, Any]) -> None:
    """Make a connection a destination with this delivery profile."""
    await c.execute(
        text(
            "INSERT INTO destination (connection_id, district_id, profile) "
            "VALUES (:connection, :district, CAST(:profile AS json)) "
            "ON CONFLICT (connection_id) DO UPDATE SET profile = excluded.profile"
        ),
        {"connection": connection, "district": district, "profile": json.dumps(profile)},
    )
