"""What is taken back from destinations: asked for or due, object by object, and what nobody was told of yet."""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.connector import Document, Receipt
from gateway.store import turns
from gateway.store.database import Store
from gateway.store.deliveries import OURS, Delivery, hold_fence
from gateway.store.notices import UNTOLD_DELIVERY
from gateway.store.registers import Actor

Cause = Literal["person", "consent", "plan", "agreement", "left", "rights", "audience"]

_HELD = f"NOT l.shared AND l.sent_sha256 IS NOT NULL AND l.ended_on IS NULL AND {OURS}"
EVERY = "interval '1 hour'"


@dataclass(frozen=True)
class Held:
    """A plan of which a destination has something. `taken_back`: the plan is; `left`: the student is not on the
    district's rosters since yesterday or longer."""

    plan: str
    student: str
    connection: int
    version: int
    taken_back: bool
    left: bool


async def queue(
    c: AsyncConnection, district: int, plan: str, connection: int, actor: Actor, because: str, cause: Cause
) -> int:
    """A new withdrawal, waiting for the worker, in the place of whatever of the plan waits to be sent there."""
    made = await c.scalar(
        text(
            "INSERT INTO delivery (district_id, plan_id, version, connection_id, state, actor, kind, because, cause) "
            "SELECT :district, CAST(:plan AS uuid), coalesce(max(version), 1), :connection, 'queued', "
            "  CAST(:actor AS json), 'withdraw', :because, :cause FROM delivery "
            "WHERE plan_id = CAST(:plan AS uuid) AND connection_id = :connection RETURNING id"
        ),
        {
            "district": district,
            "plan": plan,
            "connection": connection,
            "actor": actor.as_json(),
            "because": because,
            "cause": cause,
        },
    )
    await turns.supersede(c, plan, connection, int(made))
    return int(made)


async def holders(c: AsyncConnection, plan: str) -> list[int]:
    """The destinations that have something of a plan, or may have, or to which it is on its way."""
    rows = await c.execute(
        text(
            "SELECT DISTINCT d.connection_id FROM delivery d WHERE d.plan_id = CAST(:plan AS uuid) "
            "AND (d.state IN ('queued', 'sending') "
            f"  OR EXISTS (SELECT FROM ledger l WHERE l.delivery_id = d.id AND {_HELD})) ORDER BY 1"
        ),
        {"plan": plan},
    )
    return list(rows.scalars())


async def own_objects(c: AsyncConnection, plan: str, connection: int) -> list[tuple[Document, str]]:
    """What was delivered of a plan alone, with the ids that the destination gave: the last sent first, because it may
    refer to what was sent before it. They have no body."""
    rows = await c.execute(
        text(
            "SELECT l.resource, l.identity, l.remote_id FROM ledger l JOIN delivery d ON d.id = l.delivery_id "
            f"WHERE d.plan_id = CAST(:plan AS uuid) AND l.connection_id = :connection AND {_HELD} "
            "ORDER BY l.at DESC, l.resource"
        ),
        {"plan": plan, "connection": connection},
    )
    return [(Document(row.resource, json.loads(row.identity), {}), row.remote_id) for row in rows]


async def needed(c: AsyncConnection, delivery: Delivery, document: Document, remote_id: str) -> bool:
    """Whether another plan has the very same object there, as two plans of one student have one role of a teacher."""
    return bool(
        await c.scalar(
            text(
                "SELECT EXISTS (SELECT FROM ledger l JOIN delivery d ON d.id = l.delivery_id "
                "WHERE l.connection_id = :connection AND l.resource = :resource AND l.remote_id = :remote_id "
                f"AND l.remote_id <> '' AND d.plan_id <> CAST(:plan AS uuid) AND {_HELD})"
            ),
            {
                "connection": delivery.connection,
                "resource": document.resource,
                "remote_id": remote_id,
                "plan": delivery.plan,
            },
        )
    )


async def claim(store: Store, delivery: Delivery, document: Document) -> None:
    """Say that an object is about to be taken back: until that is answered nobody knows whether it is there, and a
    later delivery sends it again."""
    async with store.transaction(delivery.district) as c:
        await hold_fence(c, delivery)
        await c.execute(
            text(
                "UPDATE ledger SET sent_sha256 = 'taking back', status = NULL WHERE connection_id = :connection "
                "AND resource = :resource AND identity = :identity"
            ),
            {"connection": delivery.connection, "resource": document.resource, "identity": document.identity},
        )


async def record(
    store: Store, delivery: Delivery, document: Document, receipt: Receipt, last_day: date | None = None
) -> None:
    """What the destination answered. A 2xx: the object is not there any more, or ended on its `last_day`; the next
    delivery sends it again. Its receipt stays."""
    async with store.transaction(delivery.district) as c:
        await hold_fence(c, delivery)
        gone = (
            "sent_sha256 = NULL, delivered_sha256 = NULL, remote_id = '', revision = '', lost = NULL, "
            "  ended_on = :last_day, "
            if receipt.delivered
            else "sent_sha256 = coalesce(delivered_sha256, sent_sha256), "
        )
        await c.execute(
            text(
                f"UPDATE ledger SET {gone} delivery_id = :delivery, status = :status, message = :message, at = now(), "
                "  attempts = attempts + 1 "
                "WHERE connection_id = :connection AND resource = :resource AND identity = :identity"
            ),
            {
                "delivery": delivery.id,
                "status": receipt.status,
                "message": "taken back" if receipt.delivered else receipt.message,
                "connection": delivery.connection,
                "resource": document.resource,
                "identity": document.identity,
            }
            | ({"last_day": last_day} if receipt.delivered else {}),
        )


async def due(store: Store) -> list[int]:
    """The districts in which nobody has looked for an hour whether what destinations have may stay there, or in which
    something has ended since. Read as the owner, over all districts: a hint; `look` decides."""
    async with store.owner.begin() as c:
        rows = await c.execute(
            text(
                f"SELECT id FROM district d WHERE (swept_at IS NULL OR swept_at < now() - {EVERY}) "
                "AND suspended_at IS NULL AND EXISTS (SELECT FROM delivery t WHERE t.district_id = d.id) ORDER BY id"
            )
        )
        return list(rows.scalars())


async def look(c: AsyncConnection, district: int) -> bool:
    """Whether that look is the caller's."""
    mine = await c.scalar(
        text(
            "UPDATE district SET swept_at = now() WHERE id = :district "
            f"AND (swept_at IS NULL OR swept_at < now() - {EVERY}) RETURNING id"
        ),
        {"district": district},
    )
    return mine is not None


async def look_soon(c: AsyncConnection, district: int) -> None:
    """In the transaction in which something ends that deliveries stand on: the next look is due at once."""
    await c.execute(text("UPDATE district SET swept_at = NULL WHERE id = :district"), {"district": district})


async def held(c: AsyncConnection) -> list[Held]:
    """Each plan at each destination that has something of it, but for those that are being taken back, or were to be
    and could not: there a person is next. None at a destination that is paused."""
    rows = await c.execute(
        text(
            "SELECT DISTINCT CAST(d.plan_id AS text), CAST(planbridge_survivor(p.student_id) AS text), "
            "  d.connection_id, "
            "  (SELECT max(n.version) FROM delivery n WHERE n.plan_id = d.plan_id "
            "    AND n.connection_id = d.connection_id), "
            "  p.state IN ('revoked', 'entered_in_error'), coalesce(p.left_on < current_date, false) "
            "FROM ledger l JOIN delivery d ON d.id = l.delivery_id JOIN plan p ON p.id = d.plan_id "
            f"JOIN connection n ON n.id = d.connection_id WHERE n.paused_because IS NULL AND {_HELD} "
            "AND (SELECT t.kind = 'push' OR t.state NOT IN ('queued', 'sending', 'parked') FROM delivery t "
            "  WHERE t.plan_id = d.plan_id AND t.connection_id = d.connection_id ORDER BY t.id DESC LIMIT 1) "
            "ORDER BY 3, 1"
        )
    )
    return [Held(*row) for row in rows]


@dataclass(frozen=True)
class Untold:
    """Withdrawals at one destination that ended since people were last told, one for each plan: how many by each cause,
    how many objects they took back, and why how many of the plans are still there, or parts of them."""

    connection: int
    name: str
    last: int
    causes: Counter[str]
    objects: int
    kept: Counter[str]


async def untold(c: AsyncConnection) -> list[Untold]:
    """Of each destination; they count as told. What a person took back themselves, and it worked, they know."""
    rows = await c.execute(
        text(
            "WITH over AS (UPDATE delivery d SET told = true FROM connection n WHERE n.id = d.connection_id "
            f"  AND {UNTOLD_DELIVERY} AND d.kind = 'withdraw' "
            "  RETURNING d.id, d.connection_id, n.name, d.cause, d.state, d.reason) "
            "SELECT o.*, (SELECT count(*) FROM ledger l WHERE l.delivery_id = o.id AND l.status BETWEEN 200 AND 299) "
            "  AS objects FROM over o WHERE o.state = 'parked' OR o.cause <> 'person' ORDER BY o.connection_id, o.id"
        )
    )
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row.connection_id, []).append(row)
    return [
        Untold(
            connection,
            theirs[-1].name,
            theirs[-1].id,
            Counter(row.cause for row in theirs),
            sum(row.objects for row in theirs),
            Counter(row.reason or "" for row in theirs if row.state == "parked"),
        )
        for connection, theirs in found.items()
    ]
