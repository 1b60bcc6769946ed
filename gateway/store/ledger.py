"""The ledger, written for many objects at once: what is about to be sent where, and what was answered to it."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.connector import Document, Receipt
from gateway.store.database import Store
from gateway.store.deliveries import OURS, Delivery, told
from gateway.store.runs import Fenced


@dataclass(frozen=True)
class LedgerRow:
    """What is known of one object at the destination. `delivered_sha256` is set by a 2xx answer only. `ours`: it was
    taken from us, or may have been: we sent it and never heard. `revision` is what its last receipt said; `sent_sha256`
    is what was sent last, `heard` that it was answered; `ended`: it was given its last day."""

    delivered_sha256: str | None
    remote_id: str
    ours: bool = False
    revision: str = ""
    sent_sha256: str | None = None
    heard: bool = True
    ended: bool = False


@dataclass(frozen=True)
class Known:
    """What of a plan's objects, and of those that plans share, is known: by the document's name. `left` is what was
    delivered of the plan alone and not ended, the last sent first; without a body."""

    rows: Mapping[str, LedgerRow] = field(default_factory=dict)
    left: Sequence[Document] = ()


@dataclass(frozen=True)
class Claim:
    """An object that is about to be sent with this content."""

    delivery: Delivery
    document: Document
    sha256: str


@dataclass(frozen=True)
class Answer:
    """What was answered to a claim. `ended_on`: what was sent gave the object its last day."""

    claim: Claim
    receipt: Receipt
    ended_on: date | None = None


async def known(c: AsyncConnection, connection: int, plans: Collection[str]) -> dict[str, Known]:
    """What is known at a destination of each of these plans."""
    rows = await c.execute(
        text(
            "SELECT CAST(w.plan AS text) AS plan, l.shared, l.resource, l.identity, l.at, "
            "  CASE WHEN l.sent_sha256 = l.delivered_sha256 THEN l.delivered_sha256 END AS delivered_sha256, "
            f"  l.remote_id, {OURS} AS ours, l.revision, l.sent_sha256, "
            "  l.status IS NOT NULL AS heard, "
            "  l.ended_on IS NOT NULL AS ended, l.delivered_sha256 IS NOT NULL OR l.remote_id <> '' AS there "
            "FROM (SELECT d.plan_id AS plan, l.* FROM delivery d JOIN ledger l ON l.delivery_id = d.id "
            "    WHERE d.plan_id = ANY(CAST(:plans AS uuid[])) AND d.connection_id = :connection AND NOT l.shared "
            "  UNION ALL SELECT NULL, l.* FROM ledger l WHERE l.shared AND l.connection_id = :connection) l "
            "CROSS JOIN LATERAL (SELECT l.plan) w ORDER BY l.at DESC, l.resource"
        ),
        {"connection": connection, "plans": list(plans)},
    )
    shared: dict[str, LedgerRow] = {}
    own: dict[str, dict[str, LedgerRow]] = {plan: {} for plan in plans}
    left: dict[str, list[Document]] = {plan: [] for plan in plans}
    for row in rows:
        document = Document(row.resource, json.loads(row.identity), {})
        facts = LedgerRow(
            row.delivered_sha256, row.remote_id, row.ours, row.revision, row.sent_sha256, row.heard, row.ended
        )
        (shared if row.plan is None else own[row.plan])[document.name] = facts
        if row.plan is not None and row.there and not row.ended:
            left[row.plan].append(document)
    return {plan: Known({**shared, **own[plan]}, left[plan]) for plan in plans}


async def claim(store: Store, district: int, claims: Sequence[Claim]) -> list[LedgerRow | Exception]:
    """Say that these objects, no two the same, are about to be sent; what is known of each, or Fenced where another
    attempt has taken its delivery over.

    Once another content was on its way nobody knows which one arrived: what was delivered before counts no more.
    An object that has this content already stays with the delivery that brought it.
    """
    rows = [
        {
            **place(one.delivery, one.document),
            "delivery": one.delivery.id,
            "sha256": one.sha256,
            "shared": one.document.create_only,
        }
        for one in claims
    ]
    values = {"district": district, "rows": json.dumps(rows), "asked": _attempts(one.delivery for one in claims)}
    async with store.begun(district, (_CLAIM, values)) as (_, [made]):
        found = {f"{row.resource} {row.identity}": LedgerRow(row.delivered_sha256, row.remote_id) for row in made}
    return [found.get(one.document.name) or Fenced() for one in claims]


_HELD = (
    "WITH held AS MATERIALIZED (SELECT d.id FROM delivery d "
    "  JOIN json_to_recordset(CAST(:asked AS json)) AS a (id bigint, fence int) "
    "  ON a.id = d.id AND a.fence = d.fence WHERE d.state = 'sending' ORDER BY d.id FOR SHARE OF d) "
)
"""Those deliveries that no other attempt has taken over, and that none can until this transaction ends."""

_CLAIM = (
    f"{_HELD}"
    "INSERT INTO ledger (district_id, connection_id, resource, identity, delivery_id, sent_sha256, shared) "
    "SELECT CAST(:district AS int), connection, resource, identity, delivery, sha256, shared "
    "FROM json_to_recordset(CAST(:rows AS json)) AS a (connection int, resource text, identity text, "
    "  delivery bigint, sha256 text, shared boolean) WHERE delivery IN (SELECT id FROM held) ORDER BY 2, 3, 4 "
    "ON CONFLICT (connection_id, resource, identity) DO UPDATE SET "
    "  delivery_id = CASE WHEN ledger.delivered_sha256 = excluded.sent_sha256 "
    "    AND ledger.sent_sha256 = excluded.sent_sha256 THEN ledger.delivery_id "
    "    ELSE excluded.delivery_id END, "
    "  delivered_sha256 = CASE WHEN ledger.sent_sha256 = excluded.sent_sha256 "
    "    THEN ledger.delivered_sha256 END, "
    "  status = CASE WHEN ledger.delivered_sha256 = excluded.sent_sha256 "
    "    AND ledger.sent_sha256 = excluded.sent_sha256 THEN ledger.status END, "
    "  ended_on = NULL, sent_sha256 = excluded.sent_sha256 "
    "RETURNING resource, identity, delivered_sha256, remote_id"
)


async def record(store: Store, district: int, answers: Sequence[Answer]) -> list[Exception | None]:
    """Write down what the destination answered. Only a 2xx makes a content delivered."""
    values = {
        "rows": json.dumps([_row(one) for one in answers]),
        "asked": _attempts(one.claim.delivery for one in answers),
    }
    async with store.begun(district, (_RECORD, values)) as (_, [rows]):
        held = {row.id for row in rows}
    return [None if one.claim.delivery.id in held else Fenced() for one in answers]


_RECORD = (
    f"{_HELD}, written AS (UPDATE ledger l SET status = a.status, message = a.message, attempts = l.attempts + 1, "
    "  at = now(), "
    "  delivered_sha256 = CASE WHEN a.delivered THEN a.sha256 ELSE l.delivered_sha256 END, "
    "  remote_id = CASE WHEN a.delivered THEN a.remote_id ELSE l.remote_id END, "
    "  revision = CASE WHEN a.delivered THEN a.revision ELSE l.revision END, "
    "  adopted = CASE WHEN a.delivered THEN a.adopted ELSE l.adopted END, "
    "  ended_on = CASE WHEN a.delivered THEN coalesce(a.ended_on, l.ended_on) ELSE l.ended_on END "
    "  FROM json_to_recordset(CAST(:rows AS json)) AS a (connection int, resource text, identity text, "
    "    delivery bigint, status int, message text, delivered boolean, sha256 text, remote_id text, revision text, "
    "    adopted boolean, ended_on date) "
    "  WHERE l.connection_id = a.connection AND l.resource = a.resource AND l.identity = a.identity "
    "  AND a.delivery IN (SELECT id FROM held)) "
    "SELECT id FROM held"
)


def _row(answer: Answer) -> dict[str, Any]:
    receipt = answer.receipt
    return {
        **place(answer.claim.delivery, answer.claim.document),
        "delivery": answer.claim.delivery.id,
        "status": receipt.status,
        "message": told(receipt),
        "delivered": receipt.delivered,
        "sha256": answer.claim.sha256,
        "remote_id": receipt.remote_id,
        "revision": receipt.revision,
        "adopted": receipt.adopted,
        "ended_on": None if answer.ended_on is None else answer.ended_on.isoformat(),
    }


def _attempts(deliveries: Iterable[Delivery]) -> str:
    return json.dumps([{"id": id, "fence": fence} for id, fence in {(one.id, one.fence) for one in deliveries}])


def place(delivery: Delivery, document: Document) -> dict[str, Any]:
    """Where an object stands in the ledger."""
    return {"connection": delivery.connection, "resource": document.resource, "identity": document.identity}
