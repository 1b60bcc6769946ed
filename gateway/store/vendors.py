"""Agreements with vendors at rest: drafted, approved, in force, ended; and the request for destruction."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import clock, vendors
from gateway.access import JUDGING, SAYS
from gateway.errors import ConfigError, Refused, Unavailable
from gateway.store import denials, previews, purposes, reach, reads, standing
from gateway.store.database import Store, together
from gateway.store.registers import Actor, log_act
from gateway.vendors import Agreement, Terms


async def in_force(c: AsyncConnection, client: str, today: date) -> Agreement:
    """The agreement under which a program is served today. Refused where there is none: nothing is served then.
    Unavailable where what it reaches goes by consents of another day."""
    [rows] = await together(c, (IN_FORCE, {"client": client, "today": today.isoformat()}))
    return agreed(rows[0] if rows else None, client, today)


# Between midnight and the projection of the day nothing is served by a consent that ended with the day before.
_TURNED = (
    "CASE WHEN p.followed_at < CAST(:today AS date) THEN EXISTS (SELECT FROM consent n WHERE n.revoked_at IS NULL "
    "AND lower(n.recipient) IN (lower('program:' || :client), "
    "  (SELECT lower('program:' || o.name) FROM client o WHERE o.id = :client)) "
    "AND CASE WHEN n.permit THEN n.until_on >= CAST(p.followed_at AS date) AND n.until_on < CAST(:today AS date) "
    "  ELSE n.from_on > CAST(p.followed_at AS date) AND n.from_on <= CAST(:today AS date) END) ELSE false END"
)
IN_FORCE = (
    f"SELECT a.id AS agreement, a.version, a.ended_at, CAST(t.terms AS text) AS terms, {_TURNED} AS turned "
    "FROM vendor_agreement a JOIN vendor_terms t ON t.agreement_id = a.id AND t.version = a.version "
    "LEFT JOIN projection p ON p.district_id = a.district_id WHERE a.client_id = :client "
    "ORDER BY a.ended_at IS NOT NULL, a.until_on DESC, a.id DESC LIMIT 1"
)


def agreed(row: Any, client: str, today: date) -> Agreement:
    """The same from what IN_FORCE finds, None for nothing."""
    if row is None or row.agreement is None:
        raise Refused(
            "agreement-none",
            "No agreement with the district is in force for this program: nothing is served.",
            "Ask the district; it records one with `planbridge vendors agree` and approves it.",
        )
    found = Agreement(row.agreement, client, row.version, _terms(row.terms))
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
    if row.turned:
        raise Unavailable(
            "consent-turned",
            "A consent about this program ended or began with this day; what it is served is being made anew.",
            "Ask again in some minutes.",
        )
    return found


@lru_cache(maxsize=256)
def _terms(said: str) -> Terms:
    return vendors.from_json(msgspec.json.decode(said))


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


async def known(c: AsyncConnection, district: int, client: str) -> None:
    """ConfigError where the district has, and had, no such program."""
    found = await c.scalar(
        text("SELECT 1 FROM client WHERE id = :client AND district_id = :district"),
        {"client": client, "district": district},
    )
    if found is None:
        raise ConfigError(
            "client-unknown", f"There is no client {client!r} at work.", "`planbridge client list` shows them."
        )


async def open_terms(c: AsyncConnection, client: str) -> Terms | None:
    """The newest terms with a program whose agreement is not over, drafted or approved."""
    found = await c.scalar(
        text("SELECT id FROM vendor_agreement WHERE client_id = :client AND ended_at IS NULL"), {"client": client}
    )
    return None if found is None else (await get(c, found)).terms


async def draft(store: Store, district: int, client: str, terms: Terms, actor: Actor) -> Agreement:
    """Draft terms for a program: of a new agreement, or a change of the one that is open. Nothing changes for the
    vendor before they are approved. ConfigError where the terms or the program are none, Refused, and on record, where
    they are to judge somebody."""
    await purposes.refuse_judging(store, district, terms.purpose, client, actor)
    terms = vendors.checked(terms)
    async with store.transaction(district) as c:
        await known(c, district, client)
        id = await c.scalar(
            text(
                "INSERT INTO vendor_agreement (district_id, client_id) VALUES (:district, :client) "
                "ON CONFLICT (district_id, client_id) WHERE ended_at IS NULL "
                "DO UPDATE SET client_id = excluded.client_id RETURNING id"
            ),
            {"district": district, "client": client},
        )
        version = await c.scalar(
            text(
                "INSERT INTO vendor_terms (district_id, agreement_id, version, terms, actor) SELECT :district, :id, "
                "  coalesce(max(version), 0) + 1, CAST(:terms AS json), CAST(:actor AS json) FROM vendor_terms "
                "WHERE agreement_id = :id RETURNING version"
            ),
            {"district": district, "id": id, "terms": vendors.as_json(terms), "actor": actor.as_json()},
        )
        await log_act(c, district, actor, "vendor-agreement-drafted", str(id), {"client": client, "version": version})
    return Agreement(int(str(id)), client, int(str(version)), terms)


async def approve(
    c: AsyncConnection, district: int, agreement: int, actor: Actor, *, people: int | None = None
) -> previews.Preview:
    """Put the newest draft in force: from now on the vendor sees what these terms reach. Refused to whoever drafted it,
    where anybody else works for the district, and without its number of `people` where it widens much."""
    await reach.alone(c, district)
    drafted = await get(c, agreement)
    row = (
        await c.execute(
            text(
                "SELECT t.approved_at, t.actor->>'name' AS by, a.ended_at, a.version FROM vendor_terms t "
                "JOIN vendor_agreement a ON a.id = t.agreement_id WHERE a.id = :id AND t.version = :version"
            ),
            {"id": agreement, "version": drafted.version},
        )
    ).one()
    if row.ended_at is not None or row.approved_at is not None:
        raise Refused(
            "nothing-to-approve",
            f"Agreement {agreement} {'is over' if row.ended_at else 'has no draft that waits'}.",
            "`planbridge vendors list` shows what waits; `planbridge vendors agree` drafts.",
        )
    if row.by == actor.name and await _others(c, actor.name):
        raise Refused(
            "approver-is-drafter",
            "Whoever drafted an agreement does not approve it as well, where anybody else works for the district.",
            "Have somebody else look at it: `planbridge vendors approve`, with their own name in --as.",
        )
    before = await _approved(c, agreement)
    seen = await preview(c, drafted)
    seen.widening.refuse(people)
    await c.execute(
        text(
            "UPDATE vendor_terms SET approved_at = now(), approved_by = CAST(:actor AS json) "
            "WHERE agreement_id = :id AND version = :version"
        ),
        {"actor": actor.as_json(), "id": agreement, "version": drafted.version},
    )
    await c.execute(
        text(
            "UPDATE vendor_agreement SET version = :version, begin_on = :begin, until_on = :until, "
            "  destroy_by = :destroy WHERE id = :id"
        ),
        {
            "version": drafted.version,
            "begin": drafted.begin,
            "until": drafted.until,
            "destroy": drafted.terms.destroy_by,
            "id": agreement,
        },
    )
    detail = {"client": drafted.client, "version": drafted.version, "people": seen.people, "newly": seen.newly}
    await log_act(c, district, actor, "vendor-agreement-approved", str(agreement), detail)
    if row.version is None:
        await reach.fill(c, district, drafted)
    else:
        await reach.refresh(c, district, agreement)
    agreed, was = drafted.terms.collections, before.collections if before else {}
    await reach.renew(c, agreement, (name for name in agreed if name in was and agreed[name] != was[name]))
    await reach.settle(c, district)
    return seen


async def _others(c: AsyncConnection, name: str) -> bool:
    """Whether somebody else has acted for the district who could approve."""
    roles = [said for said, role in SAYS.items() if role in ("it", "administrator")]
    return bool(
        await c.scalar(
            text(
                "SELECT EXISTS (SELECT FROM act WHERE actor->>'role' = ANY(CAST(:roles AS text[])) "
                "AND actor->>'client' IS NULL AND actor->>'name' <> :name)"
            ),
            {"roles": roles, "name": name},
        )
    )


async def preview(c: AsyncConnection, drafted: Agreement) -> previews.Preview:
    """What a draft would reach, and who of them is not reached by the terms in force, or no longer."""
    before = await _approved(c, drafted.id)
    return await previews.preview(c, drafted.client, drafted.terms, before, clock.today())


async def _approved(c: AsyncConnection, agreement: int) -> Terms | None:
    """The terms that were approved last."""
    version = await c.scalar(text("SELECT version FROM vendor_agreement WHERE id = :id"), {"id": agreement})
    return (await get(c, agreement, version)).terms if version is not None else None


async def listed(c: AsyncConnection) -> list[dict[str, Any]]:
    """Every agreement with a vendor, those that are not over first: state, days, and whether a draft waits."""
    rows = await c.execute(
        text(
            "SELECT a.id, a.client_id AS client, n.name, a.version, a.begin_on, a.until_on, a.ended_at, "
            "  a.ended_because, a.destroy_by, a.destroyed_on, "
            "  (SELECT max(t.version) FROM vendor_terms t WHERE t.agreement_id = a.id "
            "    AND t.version > coalesce(a.version, 0)) AS draft FROM vendor_agreement a "
            "LEFT JOIN client n ON n.id = a.client_id ORDER BY a.ended_at IS NOT NULL, a.id"
        )
    )
    return [{**row._mapping, "state": _state(row, clock.today())} for row in rows]


def _state(row: Any, today: date) -> str:
    if row.ended_at is not None:
        return "ended"
    if row.version is None:
        return "drafted"
    if today < row.begin_on:
        return "to come"
    return "in force" if today <= row.until_on else "over"


async def shown(c: AsyncConnection, agreement: int) -> dict[str, Any]:
    """One agreement with every version of its terms, who drafted and who approved it."""
    await get(c, agreement)
    [one] = [row for row in await listed(c) if row["id"] == agreement]
    rows = await c.execute(
        text(
            "SELECT version, terms, actor, at, approved_by, approved_at FROM vendor_terms WHERE agreement_id = :id "
            "ORDER BY version"
        ),
        {"id": agreement},
    )
    request = await c.scalar(text("SELECT destruction FROM vendor_agreement WHERE id = :id"), {"id": agreement})
    return one | {"destruction": request, "versions": [dict(row._mapping) for row in rows]}


async def end(
    store: Store, c: AsyncConnection, district: int, agreement: int, because: str, actor: Actor
) -> dict[str, Any]:
    """End an agreement now and for good: its tokens are worth nothing, nothing is reached by it, also after a restore.
    Returns what the vendor ever received, and the request to destroy it. Refused without a reason."""
    if not because.strip():
        raise Refused("reason-missing", "Ending an agreement needs a reason.", "Give --because.")
    await reach.alone(c, district)
    found = await get(c, agreement)
    ended = await c.scalar(
        text(
            "UPDATE vendor_agreement SET ended_at = now(), ended_because = :because "
            "WHERE id = :id AND ended_at IS NULL RETURNING id"
        ),
        {"id": agreement, "because": because.strip()},
    )
    if ended is None:
        raise ConfigError(
            "vendor-agreement-unknown",
            f"Agreement {agreement} is over already.",
            "`planbridge vendors show` says what became of it.",
        )
    for table in ("client_token", "refresh_token", "authorization_code"):
        await c.execute(text(f"DELETE FROM {table} WHERE client_id = :client"), {"client": found.client})
    await c.execute(text("DELETE FROM reach WHERE agreement_id = :id"), {"id": agreement})
    await c.execute(
        text("UPDATE bulk_grant SET ended_at = now() WHERE agreement_id = :id AND ended_at IS NULL"), {"id": agreement}
    )
    received = await reads.received(c, found.client)
    request = _request(found, await _name(c, found.client), received, clock.today())
    await c.execute(
        text("UPDATE vendor_agreement SET destruction = :request WHERE id = :id"), {"request": request, "id": agreement}
    )
    await log_act(c, district, actor, "vendor-agreement-ended", str(agreement), {"because": because.strip()})
    await standing.note_ended(store, c, district, standing.ENDED_VENDOR, agreement, because, actor)
    return {"agreement": agreement, "client": found.client, "received": received, "request": request}


async def _name(c: AsyncConnection, client: str) -> str:
    return str(await c.scalar(text("SELECT name FROM client WHERE id = :id"), {"id": client}) or client)


def _request(agreement: Agreement, name: str, received: Sequence[Mapping[str, Any]], today: date) -> str:
    """The letter that asks for destruction. It names nobody: the list of students goes with it apart."""
    terms = agreement.terms
    by = terms.destroy_by or today + timedelta(days=DESTROY_DAYS)
    students = len({row["student"] for row in received})
    what = sorted({f"{row['collection']}: {row['field']}" for row in received})
    return "\n".join(
        (
            f"To {name}.",
            "",
            f"The agreement {terms.document} between you and the district, signed by {terms.signer}, ended on {today}.",
            f"Under it you received data of {students} students. They are in the list that comes with this letter.",
            "",
            *(f"  {one}" for one in what),
            "",
            f"Destroy all of it, with every copy, also at those who work for you and in backups, by {by}. Confirm in "
            "writing when and how that was done, and who answers for it.",
        )
    )


DESTROY_DAYS = 60
"""Within how many days everything is destroyed where the terms name no day."""


async def use(c: AsyncConnection, agreement: int) -> list[dict[str, Any]]:
    """What is read of that which is agreed: see gateway.store.reads."""
    newest = await get(c, agreement)
    row = (await c.execute(text("SELECT version, at FROM vendor_agreement WHERE id = :id"), {"id": agreement})).one()
    terms = (await get(c, agreement, row.version)).terms
    agreed = {name: vendors.fields_of(name) if of is None else of for name, of in terms.collections.items()}
    return await reads.use(c, newest.client, row.at, agreed)


async def destroyed(c: AsyncConnection, district: int, agreement: int, on: date, actor: Actor) -> None:
    """Keep that the vendor confirmed that everything was destroyed. Refused while the agreement goes on."""
    await get(c, agreement)
    found = await c.scalar(
        text("UPDATE vendor_agreement SET destroyed_on = :on WHERE id = :id AND ended_at IS NOT NULL RETURNING id"),
        {"id": agreement, "on": on},
    )
    if found is None:
        raise Refused(
            "agreement-goes-on",
            f"Agreement {agreement} is not over.",
            "End it first: planbridge vendors end, with a reason.",
        )
    await log_act(c, district, actor, "vendor-data-destroyed", str(agreement), {"on": on.isoformat()})


async def opt_out(store: Store, c: AsyncConnection, district: int, student: str, said_by: str, actor: Actor) -> None:
    """Keep a family's word that nothing of the student is directory information, and let it hold at once, also after a
    restore."""
    if not said_by.strip():
        raise ConfigError("opt-out-incomplete", "It is not said who said so.", "Give --by.")
    await reach.alone(c, district)
    await c.execute(
        text(
            "INSERT INTO directory_opt_out (district_id, student_id, said_by, actor) "
            "SELECT :district, CAST(:student AS uuid), :by, CAST(:actor AS json) WHERE NOT EXISTS (SELECT "
            "  FROM directory_opt_out WHERE planbridge_survivor(student_id) = CAST(:student AS uuid) "
            "  AND withdrawn_at IS NULL)"
        ),
        {"district": district, "student": student, "by": said_by.strip(), "actor": actor.as_json()},
    )
    await log_act(c, district, actor, "directory-opt-out", student, {})
    await denials.opted_out(store, c, district, student, actor)
    await reach.follow(c, district)


async def opt_in(store: Store, c: AsyncConnection, district: int, student: str, actor: Actor) -> None:
    """The family takes its word back."""
    await reach.alone(c, district)
    await c.execute(
        text(
            "UPDATE directory_opt_out SET withdrawn_at = now() WHERE withdrawn_at IS NULL "
            "AND planbridge_survivor(student_id) = CAST(:student AS uuid)"
        ),
        {"student": student},
    )
    await log_act(c, district, actor, "directory-opt-in", student, {})
    await denials.opted_in(store, c, student, actor)
    await reach.follow(c, district)
