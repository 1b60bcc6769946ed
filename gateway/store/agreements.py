"""Who hosts a destination, and the agreement under which another agency is sent plans."""

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.access import JUDGING, Section
from gateway.errors import ConfigError, Refused
from gateway.store import standing, withdrawals
from gateway.store.database import Store
from gateway.store.purposes import judging
from gateway.store.registers import Actor, Connection, log_act

# What was said of a connection holds for the one that is to take its place, or took it: the same agency runs it.
_OF = (
    "connection_id IN (SELECT CAST(:connection AS int) UNION SELECT old_id FROM succession WHERE new_id = :connection)"
)


async def hosted_by(c: AsyncConnection, connection: int) -> str:
    """The agency that hosts a connection; empty where the district does so itself."""
    found: str | None = await c.scalar(
        text(f"SELECT agency FROM hosting WHERE {_OF} ORDER BY connection_id DESC LIMIT 1"), {"connection": connection}
    )
    return found or ""


async def host(c: AsyncConnection, connection: Connection, agency: str, actor: Actor) -> None:
    """Say who hosts a connection; empty: the district itself. Agreements with another agency do not count then."""
    await c.execute(
        text(
            "INSERT INTO hosting (connection_id, district_id, agency) VALUES (:connection, :district, :agency) "
            "ON CONFLICT (connection_id) DO UPDATE SET agency = excluded.agency"
        ),
        {"connection": connection.id, "district": connection.district, "agency": agency.strip()},
    )
    await log_act(c, connection.district, actor, "hosted-by", connection.name, {"agency": agency.strip()})


async def refuse(c: AsyncConnection, connection: Connection, today: date) -> None:
    """Refused where another agency hosts a destination and no agreement with it is in force today."""
    agency = await hosted_by(c, connection.id)
    if not agency:
        return
    rows = await c.execute(
        text(
            f"SELECT reference, from_on, until_on FROM agreement WHERE {_OF} AND agency = :agency "
            "AND ended_at IS NULL AND purpose <> ALL(:judging) ORDER BY until_on DESC"
        ),
        {"connection": connection.id, "agency": agency, "judging": list(JUDGING)},
    )
    known = rows.all()
    if any(row.from_on <= today <= row.until_on for row in known):
        return
    last = (
        f" The last one, {known[0].reference}, holds from {known[0].from_on} until {known[0].until_on}."
        if known
        else ""
    )
    raise Refused(
        "agreement-missing",
        f"{connection.name} is hosted by {agency}, and no agreement with it is in force today.{last}",
        f"Record the one that was signed: planbridge agreements add {connection.name} --reference ... --from DATE "
        "--until DATE.",
    )


@dataclass(frozen=True)
class Terms:
    """What was agreed: for what, which sections of a plan (None: it names none), and whether each student's family has
    to consent. Where the district hosts a destination itself, its own word."""

    purpose: str = "planning"
    sections: frozenset[Section] | None = None
    needs_consent: bool = False


async def terms(c: AsyncConnection, connection: Connection, today: date) -> Terms:
    """The terms under which a destination is sent plans today: what every agreement in force covers together. Where
    one of them asks for consents, so do all: else another one would take the families' word away."""
    agency = await hosted_by(c, connection.id)
    if not agency:
        return Terms()
    rows = await c.execute(
        text(
            f"SELECT purpose, sections, needs_consent FROM agreement WHERE {_OF} AND agency = :agency "
            "AND ended_at IS NULL AND purpose <> ALL(:judging) AND :today BETWEEN from_on AND until_on ORDER BY id"
        ),
        {"connection": connection.id, "agency": agency, "judging": list(JUDGING), "today": today},
    )
    found = [Terms(r.purpose, None if r.sections is None else frozenset(r.sections), r.needs_consent) for r in rows]
    if not found:
        return Terms(sections=frozenset(), needs_consent=True)
    named = [one.sections for one in found if one.sections is not None]
    covered = None if len(named) < len(found) else frozenset[Section]().union(*named)
    return Terms(found[0].purpose, covered, any(one.needs_consent for one in found))


async def names(c: AsyncConnection, connection: Connection) -> list[str]:
    """Under which names consents know a destination: its own, those of connections whose place it took, and the
    agency that hosts it."""
    rows = await c.execute(
        text(f"SELECT name FROM connection WHERE {_OF.replace('connection_id', 'id')}"), {"connection": connection.id}
    )
    found = [f"destination:{name}" for name in rows.scalars()]
    agency = await hosted_by(c, connection.id)
    return [*found, *([f"organization:{agency}"] if agency else [])]


async def add(
    c: AsyncConnection,
    connection: Connection,
    reference: str,
    begin: date,
    end: date,
    actor: Actor,
    terms: Terms = Terms(),
) -> int:
    """Record an agreement with the agency that hosts a destination, for these days. ConfigError where none does,
    Refused where it is to judge staff, classes or schools by what helps a student."""
    if terms.purpose in JUDGING:
        raise judging(terms.purpose)
    agency = await hosted_by(c, connection.id)
    if not agency:
        raise ConfigError(
            "hosted-here",
            f"{connection.name} is hosted by the district itself: it needs no agreement.",
            f"If another agency hosts it, say so first: planbridge agreements host {connection.name} --agency NAME.",
        )
    if end < begin or not reference.strip():
        raise ConfigError(
            "agreement-incomplete",
            "An agreement has a reference, and ends no earlier than it begins.",
            "Give --reference, and --from before --until.",
        )
    made = await c.scalar(
        text(
            "INSERT INTO agreement (district_id, connection_id, agency, reference, from_on, until_on, actor, purpose, "
            "  sections, needs_consent) VALUES (:district, :connection, :agency, :reference, :begin, :end, "
            "  CAST(:actor AS json), :purpose, CAST(:sections AS json), :needs_consent) RETURNING id"
        ),
        {
            "district": connection.district,
            "connection": connection.id,
            "agency": agency,
            "reference": reference.strip(),
            "begin": begin,
            "end": end,
            "actor": actor.as_json(),
            "purpose": terms.purpose,
            "sections": None if terms.sections is None else json.dumps(sorted(terms.sections)),
            "needs_consent": terms.needs_consent,
        },
    )
    detail = {"agency": agency, "reference": reference.strip(), "from": begin.isoformat(), "until": end.isoformat()}
    await log_act(c, connection.district, actor, "agreement", connection.name, detail)
    return int(made)


async def end(store: Store, c: AsyncConnection, district: int, agreement: int, because: str, actor: Actor) -> None:
    """End an agreement now: nothing is sent under it any more, also after a restore. Refused without a reason."""
    if not because.strip():
        raise Refused("reason-missing", "Ending an agreement needs a reason.", "Give --because.")
    found = await c.scalar(
        text(
            "UPDATE agreement SET ended_at = now(), ended_because = :because WHERE id = :id AND ended_at IS NULL "
            "RETURNING id"
        ),
        {"id": agreement, "because": because},
    )
    if found is None:
        raise ConfigError(
            "agreement-unknown", f"There is no agreement {agreement} in force.", "`planbridge agreements` lists them."
        )
    await log_act(c, district, actor, "agreement-ended", str(agreement), {"because": because})
    await withdrawals.look_soon(c, district)
    await standing.note_ended(store, c, district, standing.ENDED_AGREEMENT, agreement, because, actor)


async def listed(c: AsyncConnection) -> list[dict[str, Any]]:
    """Every agreement, the last to end first."""
    rows = await c.execute(
        text(
            "SELECT a.id, n.name AS destination, a.agency, a.reference, a.from_on, a.until_on, a.purpose, "
            "  a.sections, a.needs_consent, a.ended_at, a.ended_because FROM agreement a "
            "JOIN connection n ON n.id = a.connection_id "
            "ORDER BY a.until_on DESC, a.id"
        )
    )
    return [dict(row._mapping) for row in rows]
