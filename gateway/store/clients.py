"""The programs that may call our API: their secrets and tokens, kept as hashes only, and what each may do."""

import asyncio
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.access import CLIENTS, Section
from gateway.errors import ConfigError
from gateway.store import purposes
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
    "events.read": "Follow what happened, as ids: beside it, of each thing the scope that opens it.",
    "webhooks.write": "Have events sent to the client's own web addresses.",
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
    "plans.write": "Write drafts of plans and move plans through their steps.",
    "deliveries.read": "See what became of a delivery.",
    "deliveries.write": "Send a finalized plan to a destination.",
}
"""Every scope there is, with what it allows. None opens names, demographics, needs or the text of a plan by itself:
for `plans.read` and `results.read` the district also grants sections."""

TOKEN_SECONDS = 3600


@dataclass(frozen=True)
class Client:
    """A program that may call, which district it belongs to, and what it, or this token of it, may do. While its
    district is suspended it may do nothing."""

    id: str
    district: int
    name: str
    scopes: frozenset[str]
    suspended: bool = False
    kind: str = "vendor"
    purpose: str = "planning"
    sections: frozenset[Section] = frozenset()


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
                    "SELECT n.district_id, n.name, n.secret_hash, n.scopes, d.suspended_at IS NOT NULL AS suspended "
                    "FROM client n JOIN district d ON d.id = n.district_id WHERE n.id = :id AND n.revoked_at IS NULL"
                ),
                {"id": client_id},
            )
        ).one_or_none()
    right = await asyncio.to_thread(_is_secret, secret, row.secret_hash if row else _NOBODY)
    if row is None or not right:
        return None
    return Client(client_id, row.district_id, row.name, frozenset(row.scopes), row.suspended)


async def issue_token(store: Store, client: Client, scopes: Iterable[str]) -> str:
    """An opaque token for these scopes, good for TOKEN_SECONDS; the client's expired ones are dropped."""
    token = secrets.token_urlsafe(32)
    async with store.transaction() as c:
        await c.execute(
            text("DELETE FROM client_token WHERE client_id = :id AND expires_at < now()"), {"id": client.id}
        )
        await c.execute(
            text(
                "INSERT INTO client_token (token_hash, client_id, scopes, expires_at) "
                "VALUES (:hash, :id, CAST(:scopes AS json), now() + make_interval(secs => :seconds))"
            ),
            {
                "hash": fingerprint(token),
                "id": client.id,
                "scopes": json.dumps(sorted(scopes)),
                "seconds": TOKEN_SECONDS,
            },
        )
    return token


async def token_client(store: Store, token: str) -> Client | None:
    """The client that holds this token, with the scopes of the token; None once it has expired or was revoked."""
    async with store.transaction() as c:
        row = (
            await c.execute(
                text(
                    "SELECT n.id, n.district_id, n.name, t.scopes, d.suspended_at IS NOT NULL AS suspended, "
                    "  n.kind, n.purpose, n.sections "
                    "FROM client_token t JOIN client n ON n.id = t.client_id JOIN district d ON d.id = n.district_id "
                    "WHERE t.token_hash = :hash AND t.expires_at > now() AND n.revoked_at IS NULL"
                ),
                {"hash": fingerprint(token)},
            )
        ).one_or_none()
    if row is None:
        return None
    return Client(
        row.id,
        row.district_id,
        row.name,
        frozenset(row.scopes),
        row.suspended,
        row.kind,
        row.purpose,
        frozenset(row.sections),
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
