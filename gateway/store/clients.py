"""The programs that may call our API: their secrets and tokens, kept as hashes only, and what each may do."""

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.access import CLIENTS, Section
from gateway.errors import ConfigError
from gateway.scopes import ONEROSTER
from gateway.store import keys, purposes
from gateway.store.consents import checked_sections
from gateway.store.database import Store
from gateway.store.registers import Actor, log_act

SCOPES = {
    "connections.read": "See which systems are connected and whether they are paused.",
    "runs.read": "See runs, their counts and why they are held.",
    "runs.write": "Start a pull.",
    "runs.undo": "Undo a run and every later one of its connection.",
    "holds.decide": "Approve or refuse a held run.",
    "changes.read": "Follow which entities were added, changed and removed, by kind and id.",
    "notices.read": "See what people were told, without whom.",
    "identity.read": "See who waits to be told apart, and whom they resemble: ids and codes.",
    "identity.decide": "Say who is who: confirm, refuse, merge, split, undo.",
    "rejects.read": "See what was set aside and why, without the records themselves.",
    "rejects.replay": "Have stored records, and those that were set aside, read once more.",
    "crosswalks.read": "See the district's own code tables and overrides, and how many codes have no word.",
    "crosswalks.write": "Change the district's code tables and overrides, and undo changes.",
    "students.read": "See which students there are: ids, schools and grades.",
    "plans.read": "See what a plan says, as far as its sections were granted and the person may for whom it asks.",
    "results.read": "List results of students whom the person may see for whom it asks; never a number about a class.",
    "plan.write": "Write drafts of plans and move plans through their steps, for the educator whom the token names.",
    "record.read": "Read running records, progress and consents, as far as sections were granted and the person may.",
    "deliveries.read": "See what became of a delivery.",
    "deliveries.write": "Send a finalized plan to a destination.",
    "input.write": "Add input and evidence to plans and records, also without a person.",
    "tokens.introspect": "Ask of any token of the district whether it is good, and for what.",
    **ONEROSTER,
}
"""Every scope there is, with what it allows. None of our own opens names, demographics, needs or the text of a plan by
itself: for `plans.read` and `results.read` the district also grants sections. Those of OneRoster need an agreement."""

TOKEN_SECONDS = 3600


@dataclass(frozen=True)
class Client:
    """A program that may call, which district it belongs to, and what it may do. While its district is suspended it
    may do nothing. `default` is what a token of it may do where nothing was asked for."""

    id: str
    district: int
    name: str
    scopes: frozenset[str]
    suspended: bool = False
    kind: str = "vendor"
    purpose: str = "planning"
    sections: frozenset[Section] = frozenset()
    default: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Held:
    """Whose token it is, for which person of the roster it was issued, if for one, and what it may do."""

    client: Client
    person: str | None
    scopes: frozenset[str]


@dataclass(frozen=True)
class Grant:
    """What a program is for, of which kind it is (sis, lms, vendor), and which sections of a record it may get."""

    kind: str = "vendor"
    purpose: str = "planning"
    sections: Sequence[str] = ()


async def add(
    store: Store,
    district: int,
    name: str,
    scopes: Iterable[str],
    actor: Actor,
    grant: Grant = Grant(),
) -> tuple[str, str]:
    """A new client: its id and its secret. The secret is not kept and cannot be shown again. Refused, and on record,
    where it is to judge staff, classes or schools."""
    await purposes.refuse_judging(store, district, grant.purpose, name, actor)
    async with store.transaction(district) as c:
        return await add_in(c, district, name, scopes, actor, grant)


async def add_in(
    c: AsyncConnection,
    district: int,
    name: str,
    scopes: Iterable[str],
    actor: Actor,
    grant: Grant = Grant(),
) -> tuple[str, str]:
    """The same in the caller's transaction."""
    granted = sorted(checked_sections(grant.sections))
    if grant.kind not in CLIENTS:
        raise ConfigError(
            "client-kind-unknown", f"There is no kind of program {grant.kind!r}.", f"Choose from: {', '.join(CLIENTS)}."
        )
    wanted = sorted(set(scopes))
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown or not wanted:
        what = f"There is no scope {unknown[0]!r}." if unknown else "A client needs at least one scope."
        raise ConfigError("scope-unknown" if unknown else "scope-missing", what, f"Choose from: {', '.join(SCOPES)}.")
    client_id, secret = f"client-{secrets.token_hex(8)}", secrets.token_urlsafe(32)
    hashed = await asyncio.to_thread(_hashed, secret)
    await c.execute(
        text(
            "INSERT INTO client (id, district_id, name, secret_hash, scopes, kind, purpose, sections) "
            "VALUES (:id, :district, :name, :hash, CAST(:scopes AS json), :kind, :purpose, CAST(:sections AS json))"
        ),
        {
            "id": client_id,
            "district": district,
            "name": name,
            "hash": hashed,
            "scopes": json.dumps(wanted),
            "kind": grant.kind,
            "purpose": grant.purpose,
            "sections": json.dumps(granted),
        },
    )
    detail = {"name": name, "scopes": wanted, "kind": grant.kind, "purpose": grant.purpose, "sections": granted}
    await log_act(c, district, actor, "client-add", client_id, detail)
    return client_id, secret


async def listed(store: Store, district: int) -> list[dict[str, Any]]:
    """The district's clients, the oldest first: id, name, scopes, kind, purpose, sections, created_at, revoked_at."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT id, name, scopes, kind, purpose, sections, created_at, revoked_at FROM client "
                "WHERE district_id = :district ORDER BY created_at, id"
            ),
            {"district": district},
        )
        return [dict(row._mapping) for row in rows]


async def revoke(store: Store, district: int, client_id: str, actor: Actor) -> None:
    """Shut a client out at once and for good. ConfigError when the district has no such client at work."""
    async with store.transaction(district) as c:
        revoked = await c.scalar(
            text(
                "UPDATE client SET revoked_at = now() "
                "WHERE id = :id AND district_id = :district AND revoked_at IS NULL RETURNING id"
            ),
            {"id": client_id, "district": district},
        )
        if revoked is None:
            raise ConfigError(
                "client-unknown", f"There is no client {client_id!r} at work.", "`planbridge client list` shows them."
            )
        await c.execute(text("DELETE FROM client_token WHERE client_id = :id"), {"id": client_id})
        await log_act(c, district, actor, "client-revoke", client_id, {})


async def authenticate(store: Store, client_id: str, secret: str) -> Client | None:
    """The client that has this id and secret; None when there is none, which takes as long to find out."""
    async with store.transaction() as c:
        row = (
            await c.execute(
                text(
                    f"SELECT {_CLIENT}, n.secret_hash FROM client n JOIN district d ON d.id = n.district_id "
                    "WHERE n.id = :id AND n.revoked_at IS NULL"
                ),
                {"id": client_id},
            )
        ).one_or_none()
    hashed = row.secret_hash if row is not None and row.secret_hash else _NOBODY
    right = await asyncio.to_thread(_is_secret, secret, hashed)
    return _client(row) if row is not None and right else None


async def issue_token(store: Store, client: Client, scopes: Iterable[str], person: str | None = None) -> str:
    """An access token of this client, for this person of the roster if for one, with these scopes, good for
    TOKEN_SECONDS; the client's expired ones are dropped."""
    async with store.transaction(client.district) as c:
        return await issue_token_in(store, c, client, scopes, person)


async def issue_token_in(
    store: Store, c: AsyncConnection, client: Client, scopes: Iterable[str], person: str | None = None
) -> str:
    """The same in the caller's transaction, which is the client's district's."""
    now, jti, granted = int(time.time()), secrets.token_urlsafe(16), sorted(scopes)
    token = await keys.sign(
        store,
        {
            "iss": store.address,
            "aud": store.address,
            "sub": person or client.id,
            "client_id": client.id,
            "scope": " ".join(granted),
            "jti": jti,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            keys.DISTRICT: client.district,
        },
    )
    await c.execute(text("DELETE FROM client_token WHERE client_id = :id AND expires_at < now()"), {"id": client.id})
    await c.execute(
        text(
            "INSERT INTO client_token (jti, district_id, client_id, person, scopes, expires_at) VALUES "
            "(:jti, :district, :id, CAST(:person AS uuid), CAST(:scopes AS json), now() + make_interval(secs => :secs))"
        ),
        {
            "jti": jti,
            "district": client.district,
            "id": client.id,
            "person": person,
            "scopes": json.dumps(granted),
            "secs": TOKEN_SECONDS,
        },
    )
    return token


async def token_client(store: Store, token: str) -> Held | None:
    """Whose token this is; None once it has expired or was revoked."""
    said = await keys.said(store, token)
    if said is None:
        return None
    async with store.transaction(said.district) as c:
        return await held(c, said)


async def held(c: AsyncConnection, said: keys.Said) -> Held | None:
    """The same in the caller's transaction, which is of the district that the token names. What the token allows is
    what was kept when it was issued: a signature alone opens nothing."""
    row = (
        await c.execute(
            text(
                f"SELECT {_CLIENT}, t.scopes AS granted, CAST(t.person AS text) AS person "
                "FROM client_token t JOIN client n ON n.id = t.client_id JOIN district d ON d.id = n.district_id "
                "WHERE t.jti = :jti AND t.expires_at > now() AND n.revoked_at IS NULL"
            ),
            {"jti": said.jti},
        )
    ).one_or_none()
    return None if row is None else Held(_client(row), row.person, frozenset(row.granted))


_CLIENT = (
    "n.id, n.district_id, n.name, n.scopes, d.suspended_at IS NOT NULL AS suspended, n.kind, n.purpose, n.sections, "
    "n.default_scopes"
)


def _client(row: Any) -> Client:
    return Client(
        row.id,
        row.district_id,
        row.name,
        frozenset(row.scopes),
        row.suspended,
        row.kind,
        row.purpose,
        frozenset(row.sections),
        frozenset(row.scopes if row.default_scopes is None else row.default_scopes),
    )


def fingerprint(token: str) -> str:
    """As what a token is kept."""
    # A token has 256 random bits: it cannot be guessed from a fast hash, and is looked up by it.
    return hashlib.sha256(token.encode()).hexdigest()


def _hashed(secret: str) -> str:
    return _with_salt(secret, secrets.token_hex(16))


def _is_secret(secret: str, hashed: str) -> bool:
    return hmac.compare_digest(_with_salt(secret, hashed.split("$")[1]), hashed)


def _with_salt(secret: str, salt: str) -> str:
    # 16 MB and about 50 ms a try (RFC 7914)
    digest = hashlib.scrypt(secret.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1)
    return f"scrypt-14-8-1${salt}${digest.hex()}"


_NOBODY = f"scrypt-14-8-1${'00' * 16}$"
