"""Launches of the LTI tool: of which platform they may be, what is used once, whose page is open, who may register."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from gateway import clock
from gateway.identity import Candidates
from gateway.store.clients import fingerprint
from gateway.store.database import Store, Transaction
from gateway.store.districts import refuse_suspended
from gateway.store.present import STANDS, shut_out
from gateway.store.registers import Actor, log_act
from gateway.store.sessions import district_of, whoever
from gateway.store.ties import OVER

LOGIN_MINUTES = 10
"""How long a platform may take to say who is there."""
PAGE_MINUTES = 60
"""How long a launched page is open: whoever needs it longer launches it again, in one step."""
INVITED_HOURS = 72
SOURCED_ID = "sourcedId"
"""Stands among identifier systems for the key by which a connected system knows a person."""


@dataclass(frozen=True)
class Platform:
    """A connection by which a platform is registered, as far as it is told before a district is known."""

    district: int
    connection: int
    client: str
    deployments: Sequence[str]


async def platforms(store: Store, issuer: str) -> list[Platform]:
    """The registrations at a platform, of every district that is not suspended, but for those that a person paused."""
    if "\0" in issuer:  # PostgreSQL takes every other character
        return []
    async with store.transaction() as c:
        rows = await c.execute(text("SELECT * FROM planbridge_lti_platforms(:issuer)"), {"issuer": issuer})
        return [Platform(r.district_id, r.connection_id, r.client_id, tuple(r.deployments or ())) for r in rows]


# --- a login under way ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Login:
    """What a launch is held against when it comes back."""

    issuer: str
    client: str
    target: str
    nonce: str


async def begin(store: Store, issuer: str, client: str, target: str, browser: str) -> tuple[str, Login]:
    """A new login of this browser: its state, and what it is held against."""
    state, login = secrets.token_urlsafe(32), Login(issuer, client, target, secrets.token_urlsafe(24))
    async with store.transaction() as c:
        await c.execute(text("DELETE FROM lti_login WHERE expires_at < now()"))
        await c.execute(
            text(
                "INSERT INTO lti_login VALUES (:state, :browser, :nonce, :issuer, :client, :target, "
                "now() + make_interval(mins => :minutes))"
            ),
            {
                **vars(login),
                "state": fingerprint(state),
                "browser": fingerprint(browser),
                "minutes": LOGIN_MINUTES,
            },
        )
    return state, login


async def take(store: Store, state: str, browser: str) -> Login | None:
    """The login with this state, once, in the browser that began it; None otherwise."""
    async with store.transaction() as c:
        row = (
            await c.execute(
                text(
                    "DELETE FROM lti_login WHERE state_hash = :state AND browser_hash = :browser "
                    "AND expires_at > now() RETURNING issuer, client_id, target, nonce"
                ),
                {"state": fingerprint(state), "browser": fingerprint(browser)},
            )
        ).one_or_none()
    return None if row is None else Login(*row)


async def spend(c: Transaction, platform: Platform, what: str, until: float) -> bool:
    """Use up the id of a message; False where it was used before."""
    done = await c.execute(
        text(
            "INSERT INTO lti_used (district_id, connection_id, what, until) "
            "VALUES (:district, :connection, :what, to_timestamp(:until)) ON CONFLICT DO NOTHING"
        ),
        {
            "district": platform.district,
            "connection": platform.connection,
            "what": fingerprint(what),
            "until": until,
        },
    )
    return bool(done.rowcount)


# --- who is there ---------------------------------------------------------------------------------------------------


async def people(c: Transaction, district: int, number: str, student: str, staff: str) -> list[tuple[str, Any]]:
    """Who on the roster today has this number in a system that the settings name for students, or for staff; in either
    for everybody else: by id, with what the roster says."""
    rows = await c.execute(
        text(
            "SELECT CAST(e.id AS text) AS id, e.doc, EXISTS (SELECT FROM link l WHERE l.kind = 'person' "
            "  AND l.key = :number AND l.entity_id = e.id) AS keyed FROM entity e "
            f"WHERE {STANDS} AND (EXISTS (SELECT FROM json_array_elements(e.doc->'identifiers') i "
            "    WHERE i->>'value' = :number) "
            "  OR EXISTS (SELECT FROM link l WHERE l.kind = 'person' AND l.key = :number AND l.entity_id = e.id)) "
            "ORDER BY e.id"
        ),
        {"number": number, "district": district, "today": clock.today().isoformat()},
    )
    named = {"student": [Candidates.read(student)], "staff": [Candidates.read(staff)]}
    return [
        (row.id, row.doc)
        for row in rows
        if _is_meant(
            row.doc, number, row.keyed, named.get(row.doc.get("population"), [*named["student"], *named["staff"]])
        )
    ]


def _is_meant(doc: Mapping[str, Any], number: str, keyed: bool, systems: Sequence[Candidates]) -> bool:
    """Whether it is a number of one of these systems; the key of a source counts where that is named."""
    stated = [one for one in doc.get("identifiers", ()) if one["value"] == number]
    named = [system for of in systems for system in of.named]
    return (
        (bool(stated) and any(of.open for of in systems))
        or any(system.has(one) for system in named for one in stated)
        or (keyed and any(system.name == SOURCED_ID for system in named))
    )


async def classes(c: Transaction, keys: Sequence[str]) -> list[str]:
    """The classes on the roster that have one of these keys in a connected system."""
    rows = await c.execute(
        text("SELECT DISTINCT CAST(entity_id AS text) AS id FROM link WHERE kind = 'class' AND key = ANY(:keys)"),
        {"keys": list(keys)},
    )
    return [row.id for row in rows]


async def finished(c: Transaction) -> dict[str, str]:
    """Student -> the newest of their plans that is under way and has a finished version."""
    rows = await c.execute(
        text(
            "SELECT DISTINCT ON (student) CAST(planbridge_survivor(p.student_id) AS text) AS student, "
            "  CAST(p.id AS text) AS id FROM plan p WHERE p.state <> ALL(:over) "
            "AND EXISTS (SELECT FROM plan_version v WHERE v.plan_id = p.id) ORDER BY student, p.created_at DESC, p.id"
        ),
        {"over": list(OVER)},
    )
    return {row.student: row.id for row in rows}


async def district_of_plan(store: Store, plan: str) -> str:
    """The name of the district in which somebody signs in to see a plan; nothing where there is none."""
    async with store.transaction() as c:
        return str(
            await c.scalar(text("SELECT planbridge_district_of_plan(CAST(:plan AS uuid))"), {"plan": plan}) or ""
        )


# --- a page that is open --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Open:
    """A launched page: whose, on which connection, whether they came as staff, from which course, shown where."""

    district: int
    connection: int
    person: str
    doc: Mapping[str, Any]
    staff: bool
    sections: Sequence[str]
    frames: Sequence[str]

    @property
    def actor(self) -> Actor:
        return whoever(self.person)


async def open_page(
    c: Transaction, platform: Platform, person: str, *, staff: bool, sections: Sequence[str], frames: Sequence[str]
) -> str:
    """Open a page for somebody whom a launch told apart; returns its secret, which names its district."""
    token = f"{platform.district}.{secrets.token_urlsafe(32)}"
    await c.execute(text("DELETE FROM lti_session WHERE ends_at < now()"))
    await c.execute(
        text(
            "INSERT INTO lti_session (id_hash, district_id, connection_id, person_id, staff, sections, frames, "
            "  ends_at) VALUES (:hash, :district, :connection, CAST(:person AS uuid), :staff, :sections, :frames, "
            "now() + make_interval(mins => :minutes))"
        ),
        {
            "hash": fingerprint(token),
            "district": platform.district,
            "connection": platform.connection,
            "person": person,
            "staff": staff,
            "sections": list(sections),
            "frames": list(frames),
            "minutes": PAGE_MINUTES,
        },
    )
    await log_act(c, platform.district, whoever(person), "launch", person, {"connection": platform.connection})
    return token


async def found(store: Store, token: str) -> Open | None:
    """Whose page this is; None once it is over, was ended, its platform was paused by a person, or its person is not on
    the roster any more."""
    district = district_of(token)
    if district is None:
        return None
    async with store.transaction(district) as c:
        row = (
            await c.execute(
                text(
                    "SELECT s.connection_id, CAST(e.id AS text) AS person, e.doc, s.staff, s.sections, s.frames "
                    "FROM lti_session s JOIN district d ON d.id = s.district_id "
                    "JOIN connection n ON n.id = s.connection_id "
                    "JOIN entity e ON e.id = planbridge_survivor(s.person_id) "
                    "WHERE s.id_hash = :hash AND s.ends_at > now() AND d.suspended_at IS NULL "
                    "AND coalesce(n.paused_code, '') <> 'person' "
                    f"AND NOT {shut_out('s.person_id')} AND {STANDS}"
                ),
                {"hash": fingerprint(token), "district": district, "today": clock.today().isoformat()},
            )
        ).one_or_none()
    return None if row is None else Open(district, *row)


async def close_page(store: Store, token: str) -> None:
    """End a page, if it is one."""
    if (district := district_of(token)) is not None:
        async with store.transaction(district) as c:
            await c.execute(text("DELETE FROM lti_session WHERE id_hash = :hash"), {"hash": fingerprint(token)})


# --- an invitation to register --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Invitation:
    """What a link to register a platform was made for: the connection's name, and addresses of the district's own
    network that it may lead to."""

    district: int
    district_name: str
    name: str
    private_addresses: Sequence[str]


async def invite(store: Store, district: int, name: str, private_addresses: Sequence[str], actor: Actor) -> str:
    """A link's secret, which works once, for three days."""
    token = f"{district}.{secrets.token_urlsafe(32)}"
    async with store.transaction(district) as c:
        await refuse_suspended(c, district)
        await c.execute(text("DELETE FROM lti_invitation WHERE expires_at < now()"))
        await c.execute(
            text(
                "INSERT INTO lti_invitation (token_hash, district_id, name, private_addresses, expires_at) VALUES "
                "(:hash, :district, :name, CAST(:private AS json), now() + make_interval(hours => :hours))"
            ),
            {
                "hash": fingerprint(token),
                "district": district,
                "name": name,
                "private": json.dumps(list(private_addresses)),
                "hours": INVITED_HOURS,
            },
        )
        await log_act(c, district, actor, "lti-invite", name, {})
    return token


async def invited(store: Store, token: str, *, use: bool = False) -> Invitation | None:
    """What a link is for; None where it opens nothing. Looking uses nothing up."""
    district = district_of(token)
    if district is None:
        return None
    which = "token_hash = :hash AND used_at IS NULL AND expires_at > now()"
    taken = f"UPDATE lti_invitation SET used_at = now() WHERE {which} RETURNING district_id, name, private_addresses"
    looked = f"SELECT district_id, name, private_addresses FROM lti_invitation WHERE {which}"
    async with store.transaction(district) as c:
        row = (
            await c.execute(
                text(
                    f"WITH i AS ({taken if use else looked}) SELECT d.id, d.name AS district_name, i.name, "
                    "i.private_addresses FROM i JOIN district d ON d.id = i.district_id WHERE d.suspended_at IS NULL"
                ),
                {"hash": fingerprint(token)},
            )
        ).one_or_none()
    return None if row is None else Invitation(*row)


async def give_back(store: Store, token: str) -> None:
    """Let a link work again by which nothing was registered."""
    async with store.transaction(district_of(token)) as c:
        await c.execute(
            text("UPDATE lti_invitation SET used_at = NULL WHERE token_hash = :hash"), {"hash": fingerprint(token)}
        )
