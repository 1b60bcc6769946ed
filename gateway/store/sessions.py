"""Sessions of people who signed in: how long they last, and that they end with the person's place on the roster."""

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from gateway import clock
from gateway.store.clients import fingerprint
from gateway.store.database import Store, Transaction
from gateway.store.present import STANDS, live, shut_out
from gateway.store.registers import Actor, log_act

LASTS_HOURS = 12
IDLE_MINUTES = 30
NOTED_SECONDS = 60
"""A session that was used is written down so often at most."""
ROSTER = Actor("roster", "system")
"""Who ends the sessions of whoever left: the publication that took them away."""


@dataclass(frozen=True)
class Session:
    """Somebody who is signed in: the person by today's id, what the roster says of them, and how they came in."""

    id: int
    district: int
    district_name: str
    person: str
    doc: dict[str, Any]
    means: str
    second_factor: bool

    @property
    def actor(self) -> Actor:
        return whoever(self.person)


def whoever(person: str) -> Actor:
    """Somebody who signed in, as acts name them: they outlive a purge, so by the id and no name."""
    return Actor(person, "account", person=person)


async def begin(c: Transaction, district: int, person: str, means: str, *, second_factor: bool) -> str:
    """A session for somebody who proved who they are; returns its secret, which names its district."""
    token = f"{district}.{secrets.token_urlsafe(32)}"
    await c.execute(text("DELETE FROM session WHERE ends_at < now()"))
    await c.execute(
        text(
            "INSERT INTO session (id_hash, district_id, person_id, means, second_factor, ends_at) VALUES (:hash, "
            "  :district, CAST(:person AS uuid), :means, :factor, now() + make_interval(hours => :hours))"
        ),
        {
            "hash": fingerprint(token),
            "district": district,
            "person": person,
            "means": means,
            "factor": second_factor,
            "hours": LASTS_HOURS,
        },
    )
    said = {"means": means, "second_factor": second_factor}
    await log_act(c, district, whoever(person), "sign-in", person, said)
    return token


async def found(store: Store, token: str) -> Session | None:
    """Whose session this is; None once it is over, was ended, or its person is not on the roster any more."""
    district = district_of(token)
    if district is None:
        return None
    async with store.transaction(district) as c:
        row = (
            await c.execute(
                text(
                    "SELECT s.id, d.name AS district_name, CAST(e.id AS text) AS person, e.doc, s.means, "
                    "  s.second_factor, s.used_at < now() - make_interval(secs => :noted) AS to_note "
                    "FROM session s JOIN district d ON d.id = s.district_id "
                    "JOIN entity e ON e.id = planbridge_survivor(s.person_id) "
                    "WHERE s.id_hash = :hash AND s.ends_at > now() AND d.suspended_at IS NULL "
                    "AND s.used_at > now() - make_interval(mins => :idle) "
                    f"AND NOT {shut_out('s.person_id')} AND {STANDS}"
                ),
                {
                    "hash": fingerprint(token),
                    "idle": IDLE_MINUTES,
                    "noted": NOTED_SECONDS,
                    "district": district,
                    "today": clock.today().isoformat(),
                },
            )
        ).one_or_none()
        if row is None:
            return None
        if row.to_note:
            await c.execute(text("UPDATE session SET used_at = now() WHERE id = :id"), {"id": row.id})
    return Session(
        row.id, district, row.district_name, row.person, row.doc, row.means, row.second_factor
    )  # fmt: skip


def district_of(token: str) -> int | None:
    """The district that a secret of ours names: only there it is looked for."""
    number = token.partition(".")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else None


async def district_named(store: Store, name: str) -> tuple[int, str] | None:
    """The district in which somebody wants to sign in: the one they name, or the only one that there is."""
    if "\0" in name:  # PostgreSQL takes every other character
        return None
    async with store.transaction() as c:
        rows = await c.execute(
            text(
                "SELECT id, name FROM district WHERE suspended_at IS NULL AND (name = :name OR :name = '') "
                "ORDER BY id LIMIT 2"
            ),
            {"name": name},
        )
        found = [(int(row.id), str(row.name)) for row in rows]
    return found[0] if len(found) == 1 else None


async def district_name(store: Store, district: int) -> str:
    async with store.transaction() as c:
        return str(await c.scalar(text("SELECT name FROM district WHERE id = :id"), {"id": district}))


async def close(store: Store, session: Session) -> None:
    """They sign out."""
    async with store.transaction(session.district) as c:
        await c.execute(text("DELETE FROM session WHERE id = :id"), {"id": session.id})
        await log_act(c, session.district, session.actor, "sign-out", session.person, {})


async def listed(store: Store, district: int, person: str) -> list[dict[str, Any]]:
    """Somebody's open sessions, the newest first: number, means, begun, last used, end."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT id, means, second_factor, began_at, used_at, ends_at FROM session "
                "WHERE person_id = CAST(:person AS uuid) AND ends_at > now() ORDER BY began_at DESC, id DESC"
            ),
            {"person": person},
        )
        return [dict(row._mapping) for row in rows]


async def end_all(store: Store, district: int, person: str, actor: Actor, only: int | None = None) -> int:
    """End somebody's sessions, or one of them by its number, and what programs got for them; returns how many."""
    async with store.transaction(district) as c:
        ended = await end(c, district, person, tokens=only is None, only=only)
        await log_act(c, district, actor, "sessions-end", person, {"sessions": ended})
    return ended


# What else opens something as somebody. What is being issued meanwhile waits its turn, and finds its consent gone.
_TOKENS = {
    "client_token": "person",
    "authorization_code": "person_id",
    "refresh_token": "person_id",
    "lti_session": "person_id",
}


async def end(c: Transaction, district: int, person: str, *, tokens: bool = False, only: int | None = None) -> int:
    """The same in the caller's transaction, without a word about it."""
    await in_turn(c, person)
    values = {"district": district, "person": person, "only": only}
    whose = "district_id = :district AND planbridge_survivor({}) = planbridge_survivor(CAST(:person AS uuid))"
    one = " AND id = CAST(:only AS bigint)" if only is not None else ""
    ended = await c.execute(text(f"DELETE FROM session WHERE {whose.format('person_id')}{one}"), values)
    for table, column in _TOKENS.items() if tokens else ():
        await c.execute(text(f"DELETE FROM {table} WHERE {whose.format(column)}"), values)
    return ended.rowcount


async def in_turn(c: Transaction, person: str) -> None:
    """Until the transaction ends, nobody else ends what is open for this person, or issues something for them."""
    await c.execute(
        text(
            "SELECT pg_advisory_xact_lock(hashtext('planbridge.person'), "
            "hashtext(CAST(planbridge_survivor(CAST(:person AS uuid)) AS text)))"
        ),
        {"person": person},
    )


async def follow(c: Transaction, publication: int) -> int:
    """End what is open for people of the publication's district who are not on its roster any more, in the transaction
    that publishes it: there is no moment in which the one is so and the other not. Returns how many sessions and
    tokens that were."""
    district = await c.scalar(text("SELECT district_id FROM publication WHERE id = :id"), {"id": publication})
    values = {"district": district, "today": clock.today().isoformat()}
    ended = 0
    for table, column in {"session": "person_id", **_TOKENS}.items():
        done = await c.execute(
            text(
                f"DELETE FROM {table} t WHERE t.district_id = :district AND t.{column} = ANY(ARRAY("
                f"  SELECT p.id FROM (SELECT DISTINCT {column} AS id FROM {table} WHERE district_id = :district "
                f"    AND {column} IS NOT NULL) p WHERE NOT {live('p.id')}))"
            ),
            values,
        )
        ended += done.rowcount
    if ended:
        await log_act(c, district, ROSTER, "sessions-end", "left the roster", {"sessions": ended})
    return ended
