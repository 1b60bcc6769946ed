"""What programs get to act for a person who allowed it: codes that serve once, and refresh tokens that are rotated."""

import hmac
import json
import re
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text

from gateway.errors import ConfigError
from gateway.store import accounts, clients, keys, sessions
from gateway.store.clients import Client, fingerprint
from gateway.store.database import Store, Transaction
from gateway.store.present import on_roster
from gateway.store.registers import Actor, log_act

CODE_SECONDS = 60
REFRESH_DAYS = 30
"""So long after they allowed it somebody is asked again, however often the program came."""


@dataclass(frozen=True)
class Allowed:
    """For whom a program may act, and with which scopes. `family`: all that came of this one consent."""

    person: str
    scopes: Sequence[str]
    family: str
    second_factor: bool


@dataclass(frozen=True)
class Issued:
    access: str = field(repr=False)
    refresh: str | None = field(repr=False)
    scopes: Sequence[str]


async def set_redirects(store: Store, district: int, client_id: str, uris: Sequence[str], actor: Actor) -> None:
    """The addresses to which people may be sent back with a code, letter by letter. ConfigError where one is not one
    that nobody else can listen at, or the district has no such client at work."""
    for uri in uris:
        if not _SAFE.fullmatch(uri):
            raise ConfigError(
                "redirect-uri", "An address to be sent back to begins with https:// and has no # in it.",
                "On one's own machine http://127.0.0.1:... and http://[::1]:... will do.",
            )  # fmt: skip
    async with store.transaction(district) as c:
        done = await c.execute(
            text(
                "UPDATE client SET redirect_uris = CAST(:uris AS json) "
                "WHERE id = :id AND district_id = :district AND revoked_at IS NULL"
            ),
            {"uris": json.dumps(list(uris)), "id": client_id, "district": district},
        )
        if not done.rowcount:
            raise ConfigError(
                "client-unknown", f"There is no client {client_id!r} at work.", "`planbridge client list` shows them."
            )
        await log_act(c, district, actor, "client-redirects", client_id, {"uris": list(uris)})


# Scheme and host in full: http://127.0.0.1:x@elsewhere begins like this machine and is not it. RFC 8252 7.3
_SAFE = re.compile(
    r"(https://[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{1,5})?|http://(127\.0\.0\.1|\[::1\]):[0-9]{1,5})([/?][!-\"$-\[\]-~]*)?"
)


async def redirects(store: Store, client: Client) -> Sequence[str]:
    """The addresses that are registered for a client."""
    async with store.transaction(client.district) as c:
        found = await c.scalar(text("SELECT redirect_uris FROM client WHERE id = :id"), {"id": client.id})
    return tuple(found or ())


async def add_code(
    store: Store, client: Client, person: str, redirect_uri: str, challenge: str, scopes: Sequence[str], factor: bool
) -> str:
    """A code for what somebody just allowed, good for a minute; that they did is on record."""
    code = secrets.token_urlsafe(32)
    async with store.transaction(client.district) as c:
        await c.execute(text("DELETE FROM authorization_code WHERE expires_at < now() - interval '1 day'"))
        await c.execute(
            text(
                "INSERT INTO authorization_code (code_hash, district_id, client_id, person_id, redirect_uri, "
                "  challenge, scopes, family, second_factor, expires_at) VALUES (:hash, :district, :client, "
                "  CAST(:person AS uuid), :redirect_uri, :challenge, CAST(:scopes AS json), CAST(:family AS uuid), "
                "  :factor, now() + make_interval(secs => :seconds))"
            ),
            {
                "hash": fingerprint(code),
                "district": client.district,
                "client": client.id,
                "person": person,
                "redirect_uri": redirect_uri,
                "challenge": challenge,
                "scopes": json.dumps(list(scopes)),
                "family": str(uuid.uuid4()),
                "factor": factor,
                "seconds": CODE_SECONDS,
            },
        )
        actor = Actor(person, "account", person=person)
        await log_act(c, client.district, actor, "client-allowed", client.id, {"scopes": list(scopes)})
    return code


async def take_code(store: Store, client: Client, code: str, redirect_uri: str, challenge: str) -> Allowed | None:
    """What a code stands for, once. None where it does not, or not for this client, address and challenge. A code that
    comes again was seen by somebody else: all that was issued for it is revoked."""
    async with store.transaction(client.district) as c:
        row = (
            await c.execute(
                text(
                    "SELECT CAST(person_id AS text) AS person, redirect_uri, challenge, scopes, "
                    "  CAST(family AS text) AS family, second_factor, used_at, expires_at > now() AS good "
                    "FROM authorization_code WHERE code_hash = :hash AND client_id = :client FOR UPDATE"
                ),
                {"hash": fingerprint(code), "client": client.id},
            )
        ).one_or_none()
        if row is None:
            return None
        if row.used_at is not None:
            await _revoke_family(c, client, row.family, "code-used-again")
            return None
        right = hmac.compare_digest(row.challenge.encode(), challenge.encode()) and row.redirect_uri == redirect_uri
        if not row.good or not right:
            return None
        await c.execute(
            text("UPDATE authorization_code SET used_at = now() WHERE code_hash = :hash"), {"hash": fingerprint(code)}
        )
    return Allowed(row.person, row.scopes, row.family, row.second_factor)


async def take_refresh(store: Store, client: Client, token: str) -> tuple[Allowed, datetime] | None:
    """What a refresh token stands for, once, and until when. One that comes again was copied: all of its family is
    revoked."""
    async with store.transaction(client.district) as c:
        row = (
            await c.execute(
                text(
                    "SELECT CAST(person_id AS text) AS person, scopes, CAST(family AS text) AS family, second_factor, "
                    "  used_at, expires_at, expires_at > now() AS good FROM refresh_token "
                    "WHERE token_hash = :hash AND client_id = :client FOR UPDATE"
                ),
                {"hash": fingerprint(token), "client": client.id},
            )
        ).one_or_none()
        if row is None:
            return None
        if row.used_at is not None:
            await _revoke_family(c, client, row.family, "refresh-used-again")
            return None
        if not row.good:
            return None
        await c.execute(
            text("UPDATE refresh_token SET used_at = now() WHERE token_hash = :hash"), {"hash": fingerprint(token)}
        )
    return Allowed(row.person, row.scopes, row.family, row.second_factor), row.expires_at


async def _revoke_family(c: Transaction, client: Client, family: str, because: str) -> None:
    values = {"family": family, "client": client.id, "district": client.district, "days": REFRESH_DAYS}
    await _lock_family(c, family)
    # What is being issued this moment for the first use is not there to be deleted: this row keeps it from coming.
    await c.execute(
        text(
            "INSERT INTO family_token VALUES (:district, CAST(:family AS uuid), '', "
            "  now() + make_interval(days => :days)) ON CONFLICT DO NOTHING"
        ),
        values,
    )
    await c.execute(
        text(
            "DELETE FROM client_token WHERE client_id = :client AND jti IN "
            "(SELECT jti FROM family_token WHERE family = CAST(:family AS uuid))"
        ),
        values,
    )
    await c.execute(text("DELETE FROM refresh_token WHERE family = CAST(:family AS uuid)"), values)
    program = Actor(client.name, "client", client=client.id)
    await log_act(c, client.district, program, "tokens-revoked", client.id, {"because": because})


async def _lock_family(c: Transaction, family: str) -> None:
    await c.execute(text("SELECT pg_advisory_xact_lock(hashtext('planbridge.family'), hashtext(:f))"), {"f": family})


async def issue(
    store: Store, client: Client, allowed: Allowed, scopes: Sequence[str], until: datetime | None = None
) -> Issued | None:
    """An access token with these scopes, and the next refresh token, which lasts as long as the one before it. None
    where the person is not on the roster any more, or is suspended, or the consent was revoked meanwhile."""
    async with store.transaction(client.district) as c:
        await sessions.in_turn(c, allowed.person)
        if await on_roster(c, client.district, allowed.person) is None or await accounts.is_suspended(
            c, allowed.person
        ):
            return None
        await _lock_family(c, allowed.family)
        if not await c.scalar(text(_STANDS), {"family": allowed.family}):
            return None
        access = await clients.issue_token_in(store, c, client, scopes, allowed.person)
        said = await keys.said(store, access)
        assert said is not None
        values = {
            "district": client.district,
            "family": allowed.family,
            "jti": said.jti,
            "seconds": clients.TOKEN_SECONDS,
        }
        await c.execute(text("DELETE FROM family_token WHERE expires_at < now()"))
        await c.execute(
            text(
                "INSERT INTO family_token VALUES "
                "(:district, CAST(:family AS uuid), :jti, now() + make_interval(secs => :seconds))"
            ),
            values,
        )
        refresh = secrets.token_urlsafe(32)
        await c.execute(text("DELETE FROM refresh_token WHERE expires_at < now()"))
        await c.execute(
            text(
                "INSERT INTO refresh_token (token_hash, district_id, client_id, person_id, scopes, family, "
                "  second_factor, expires_at) VALUES (:hash, :district, :client, CAST(:person AS uuid), "
                "  CAST(:scopes AS json), CAST(:family AS uuid), :factor, "
                "  coalesce(CAST(:until AS timestamptz), now() + make_interval(days => :days)))"
            ),
            {
                "hash": fingerprint(refresh),
                "district": client.district,
                "client": client.id,
                "person": allowed.person,
                "scopes": json.dumps(list(allowed.scopes)),
                "family": allowed.family,
                "factor": allowed.second_factor,
                "until": until,
                "days": REFRESH_DAYS,
            },
        )
    return Issued(access, refresh, scopes)


# Of a consent that was ended nothing is left that it could go on from.
_STANDS = """
    SELECT (EXISTS (SELECT FROM authorization_code WHERE family = CAST(:family AS uuid))
        OR EXISTS (SELECT FROM refresh_token WHERE family = CAST(:family AS uuid)))
    AND NOT EXISTS (SELECT FROM family_token WHERE family = CAST(:family AS uuid) AND jti = '')
"""


async def end_refresh(store: Store, client: Client, token: str) -> None:
    """End a refresh token of this client with all that came of the same consent. # RFC 7009 2.1"""
    async with store.transaction(client.district) as c:
        family = await c.scalar(
            text(
                "SELECT CAST(family AS text) FROM refresh_token WHERE token_hash = :hash AND client_id = :client "
                "AND used_at IS NULL"
            ),
            {"hash": fingerprint(token), "client": client.id},
        )
        if family is not None:
            await _revoke_family(c, client, family, "ended by the program")


async def exchange(
    store: Store, client: Client, person: str, scopes: Sequence[str], token: str, until: float
) -> Issued | None:
    """An access token for somebody whom the district's provider vouched for, without a refresh token. None where the
    provider's token was exchanged before."""
    async with store.transaction(client.district) as c:
        first = await c.execute(
            text(
                "INSERT INTO used_once (district_id, client_id, what, until) "
                "VALUES (:district, :client, :what, to_timestamp(:until)) ON CONFLICT DO NOTHING"
            ),
            {"district": client.district, "client": client.id, "what": fingerprint(token), "until": until},
        )
        if not first.rowcount:
            return None
        access = await clients.issue_token_in(store, c, client, scopes, person)
        actor = Actor(client.name, "client", person, client.id)
        await log_act(c, client.district, actor, "token-exchange", client.id, {"scopes": list(scopes)})
    return Issued(access, None, scopes)
