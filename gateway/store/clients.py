"""The programs that may call our API: their secrets and tokens, kept as hashes only, and what each may do."""

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import clock
from gateway.access import CLIENTS, Section
from gateway.errors import ConfigError, Refused
from gateway.scopes import ONEROSTER
from gateway.store import credentials, keys, purposes, standing
from gateway.store.consents import checked_sections
from gateway.store.credentials import NO_KEYS, Keys
from gateway.store.database import Ask, Store, together
from gateway.store.present import live, shut_out
from gateway.store.registers import Actor, log_act
from gateway.store.secret_hashes import NOBODY, fits, hashed

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
    "plan.write": "Write drafts of plans and move plans through their steps, for the educator whom the token names.",
    "record.read": "Read running records, progress and consents, as far as sections were granted and the person may.",
    "deliveries.read": "See what became of a delivery.",
    "deliveries.write": "Send a finalized plan to a destination.",
    "destinations.write": "Choose how far a destination is rolled out, and what of plans it gets.",
    "input.write": "Add input and evidence to plans and records, also without a person.",
    "vendors.read": "See the agreements with vendors, and which fields were really read under them.",
    "vendors.end": "End an agreement with a vendor at once and for good.",
    "sandbox": "In a sandbox: let days pass, have refusals made, and let its teacher allow things. Elsewhere nothing.",
    "tokens.introspect": "Ask of any token of the district whether it is good, and for what.",
    **ONEROSTER,
}
"""Every scope there is, with what it allows. None of our own opens names, demographics, needs or the text of a plan by
itself: for `plans.read` and `results.read` the district also grants sections. Those of OneRoster need an agreement."""

ADMIN = frozenset(
    {
        *("connections.read", "runs.read", "runs.write", "runs.undo", "holds.decide", "notices.read"),
        *("identity.read", "identity.decide", "rejects.read", "rejects.replay", "crosswalks.read", "crosswalks.write"),
        *("vendors.read", "vendors.end", "tokens.introspect", "destinations.write"),
    }
)
"""What runs the district itself. A vendor's program is not given these, and one that has them from before may no more:
no agreement says whom they reach."""
FOR_VENDORS = SCOPES.keys() - ADMIN

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
    """Whose token it is, for which person of the roster it was issued, if for one, what it may do, and from when to
    when."""

    client: Client
    person: str | None
    scopes: frozenset[str]
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class Grant:
    """What a program is for, of which kind it is (sis, lms, vendor), which sections of a record it may get, which of
    its scopes a token has where none are asked for (all, where none are named), and its keys, if it proves itself by
    them."""

    kind: str = "vendor"
    purpose: str = "planning"
    sections: Sequence[str] = ()
    default: Sequence[str] = ()
    keys: Keys = NO_KEYS


async def add(
    store: Store,
    district: int,
    name: str,
    scopes: Iterable[str],
    actor: Actor,
    grant: Grant = Grant(),
) -> tuple[str, str]:
    """A new client: its id and its secret, which is empty where it has keys. The secret is not kept and cannot be shown
    again. Refused, and on record,
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
    if grant.kind == "vendor" and (ours := sorted(ADMIN & set(wanted))):
        raise Refused(
            "scope-not-for-vendors",
            f"{ours[0]!r} is for the district's own systems: no agreement says what a vendor sees by it.",
            "Leave it out, or add the program with --kind sis if it is the district's own.",
        )
    if more := sorted(set(grant.default) - set(wanted)):
        raise ConfigError(
            "scope-default",
            f"{more[0]!r} is to be given by itself and is not among the client's scopes.",
            "Name it with --scope as well.",
        )
    client_id, secret = f"client-{secrets.token_hex(8)}", "" if grant.keys else secrets.token_urlsafe(32)
    hash = await asyncio.to_thread(hashed, secret) if secret else None
    await c.execute(
        text(
            "INSERT INTO client (id, district_id, name, secret_hash, scopes, kind, purpose, sections, default_scopes, "
            "  jwks, jwks_url) "
            "VALUES (:id, :district, :name, :hash, CAST(:scopes AS json), :kind, :purpose, CAST(:sections AS json), "
            "  CAST(:default AS json), CAST(:jwks AS json), :url)"
        ),
        {
            "id": client_id,
            "district": district,
            "name": name,
            "hash": hash,
            "scopes": json.dumps(wanted),
            "kind": grant.kind,
            "purpose": grant.purpose,
            "sections": json.dumps(granted),
            "default": json.dumps(sorted(set(grant.default))) if grant.default else None,
            **grant.keys.columns,
        },
    )
    detail = {"name": name, "scopes": wanted, "kind": grant.kind, "purpose": grant.purpose, "sections": granted}
    detail |= ({"default": sorted(set(grant.default))} if grant.default else {}) | (
        grant.keys.told if grant.keys else {}
    )
    await log_act(c, district, actor, "client-add", client_id, detail)
    return client_id, secret


async def listed(store: Store, district: int) -> list[dict[str, Any]]:
    """The district's clients, the oldest first: id, name, scopes, kind, purpose, sections, created_at, revoked_at, how
    each proves itself, how often somebody named it and could not prove it, and which scopes it nearly asked for."""
    async with store.transaction(district) as c:
        nearly = await credentials.misses(c, district)
        rows = await c.execute(
            text(
                "SELECT id, name, scopes, default_scopes, kind, purpose, sections, created_at, revoked_at, "
                "  CASE WHEN jwks_url IS NOT NULL THEN 'keys at ' || jwks_url WHEN jwks IS NOT NULL THEN 'keys' "
                "    ELSE 'secret' END AS proof, "
                "  CASE WHEN old_secret_until > now() THEN old_secret_until END AS old_secret_until, "
                "  sealed_oauth1 IS NOT NULL AS oauth1, refused, refused_at "
                "FROM client WHERE district_id = :district ORDER BY created_at, id"
            ),
            {"district": district},
        )
        return [{**row._mapping, "scopes_missed": nearly.get(row.id, {})} for row in rows]


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
        await standing.note_ended(store, c, district, standing.REVOKED_CLIENT, client_id, "", actor)


async def authenticate(store: Store, client_id: str, secret: str) -> Client | None:
    """The client that has this id and secret; None when there is none, which takes as long to find out."""
    found = await proving(store, client_id)
    right = await asyncio.to_thread(fits, secret, found.hashes[0] if found and found.hashes else NOBODY)
    if found is not None and not right and len(found.hashes) > 1:
        right = await asyncio.to_thread(fits, secret, found.hashes[1])
    return found.client if found is not None and right else None


@dataclass(frozen=True)
class Proving:
    """A client, and by what it proves itself: hashes of its secrets, its keys, its sealed secret for OAuth 1.0a."""

    client: Client
    hashes: Sequence[str]
    keys: Keys
    sealed_oauth1: bytes | None


async def proving(store: Store, client_id: str) -> Proving | None:
    """The client of this id, before it has proved anything; None where none is at work."""
    async with store.transaction() as c:
        row = (
            await c.execute(
                text(
                    f"SELECT {_CLIENT}, n.secret_hash, n.jwks, n.jwks_url, n.sealed_oauth1, "
                    "  CASE WHEN n.old_secret_until > now() THEN n.old_secret_hash END AS old_hash "
                    "FROM client n JOIN district d ON d.id = n.district_id WHERE n.id = :id AND n.revoked_at IS NULL"
                ),
                {"id": client_id},
            )
        ).one_or_none()
    if row is None:
        return None
    hashes = [hash for hash in (row.secret_hash, row.old_hash) if hash]
    return Proving(_client(row), hashes, Keys(row.jwks, row.jwks_url), row.sealed_oauth1)


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


async def end_token(c: AsyncConnection, jti: str, client_id: str) -> bool:
    """End a token of this client; whether there was one."""
    done = await c.execute(
        text("DELETE FROM client_token WHERE jti = :jti AND client_id = :id"), {"jti": jti, "id": client_id}
    )
    return bool(done.rowcount)


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
    [rows] = await together(c, holding(said))
    return of_holding(rows[0]) if rows else None


def holding(said: keys.Said) -> Ask:
    """What is asked for that."""
    return _HOLDING, {"jti": said.jti, "district": said.district, "today": clock.today().isoformat()}


def of_holding(row: Any) -> Held:
    """What came of it. What the program itself may no more, no token of it may."""
    client = _client(row)
    return Held(client, row.person, client.scopes & set(row.granted), row.issued_at, row.expires_at)


async def held_by_api_token(c: AsyncConnection, token_hash: str) -> Held | None:
    """What a token of automation allows: all that its program may; None once it is over or was revoked."""
    row = (
        await c.execute(
            text(
                f"SELECT {_CLIENT}, t.created_at, t.expires_at FROM api_token t JOIN client n ON n.id = t.client_id "
                "JOIN district d ON d.id = n.district_id "
                "WHERE t.token_hash = :hash AND t.expires_at > now() AND n.revoked_at IS NULL"
            ),
            {"hash": token_hash},
        )
    ).one_or_none()
    return None if row is None else Held(_client(row), None, frozenset(row.scopes), row.created_at, row.expires_at)


_CLIENT = (
    "n.id, n.district_id, n.name, n.scopes, d.suspended_at IS NOT NULL AS suspended, n.kind, n.purpose, n.sections, "
    "n.default_scopes"
)
_HOLDING = (
    f"SELECT {_CLIENT}, t.scopes AS granted, CAST(t.person AS text) AS person, t.issued_at, t.expires_at "
    "FROM client_token t JOIN client n ON n.id = t.client_id JOIN district d ON d.id = n.district_id "
    "WHERE t.jti = :jti AND t.expires_at > now() AND n.revoked_at IS NULL "
    # whoever left, or is shut out, acts no more, through nobody
    f"AND (t.person IS NULL OR ({live('t.person')} AND NOT {shut_out('t.person')}))"
)


def _client(row: Any) -> Client:
    never = ADMIN if row.kind == "vendor" else frozenset()
    return Client(
        row.id,
        row.district_id,
        row.name,
        frozenset(row.scopes) - never,
        row.suspended,
        row.kind,
        row.purpose,
        frozenset(row.sections),
        frozenset(row.scopes if row.default_scopes is None else row.default_scopes) - never,
    )


def fingerprint(token: str) -> str:
    """As what a token is kept."""
    # A token has 256 random bits: it cannot be guessed from a fast hash, and is looked up by it.
    return hashlib.sha256(token.encode()).hexdigest()
