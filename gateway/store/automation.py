"""Tokens of a district's own automation: shown once, kept as hashes, and never without an end."""

import json
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from gateway import clock
from gateway.errors import ConfigError
from gateway.store import clients, sessions, standing
from gateway.store.clients import SCOPES, Held, fingerprint
from gateway.store.database import Store, Transaction
from gateway.store.registers import Actor, log_act

PREFIX = "pbt_"
"""By which such a token is known wherever one turns up that should not."""
LONGEST = timedelta(days=366)


async def add(store: Store, district: int, name: str, scopes: Sequence[str], until: datetime, actor: Actor) -> str:
    """A new token, which cannot be shown again. ConfigError where there is no such scope, the name is taken, or it
    would last longer than a year."""
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        what = f"There is no scope {unknown[0]!r}." if unknown else "A token needs at least one scope."
        raise ConfigError("scope-unknown" if unknown else "scope-missing", what, f"Choose from: {', '.join(SCOPES)}.")
    if not clock.now() < until <= clock.now() + LONGEST:
        raise ConfigError(
            "token-until", "A token ends within a year from now.", "Give --until as a day of the coming year."
        )
    secret = f"{PREFIX}{district}.{secrets.token_urlsafe(32)}"
    id = f"token-{secrets.token_hex(8)}"
    async with store.transaction(district) as c:
        values = {
            "id": id,
            "district": district,
            "name": name,
            "hash": fingerprint(secret),
            "scopes": json.dumps(sorted(set(scopes))),
            "until": until,
        }
        taken = text("SELECT EXISTS (SELECT FROM api_token WHERE name = :name AND revoked_at IS NULL)")
        if await c.scalar(taken, values):
            raise ConfigError(
                "token-exists", f"There is a token {name!r} at work.", "Choose another name, or revoke that one first."
            )
        # It calls as a program without a secret, so that all that is kept of programs is kept of it.
        await c.execute(
            text(
                "INSERT INTO client (id, district_id, name, scopes, kind) "
                "VALUES (:id, :district, :name, CAST(:scopes AS json), 'it')"
            ),
            values,
        )
        await c.execute(
            text(
                "INSERT INTO api_token (district_id, client_id, name, token_hash, expires_at) "
                "VALUES (:district, :id, :name, :hash, :until)"
            ),
            values,
        )
        said = {"name": name, "scopes": sorted(set(scopes)), "until": until.isoformat()}
        await log_act(c, district, actor, "token-add", id, said)
    return secret


async def listed(store: Store, district: int) -> list[dict[str, Any]]:
    """The tokens, the newest first: name, client, scopes, when made, when they end, whether revoked."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT t.name, t.client_id AS client, n.scopes, t.created_at, t.expires_at, t.used_on, t.revoked_at "
                "FROM api_token t JOIN client n ON n.id = t.client_id ORDER BY t.created_at DESC, t.client_id"
            )
        )
        return [dict(row._mapping) for row in rows]


async def revoke(store: Store, district: int, name: str, actor: Actor) -> None:
    """Let a token open nothing any more, at once. ConfigError where none of that name is at work."""
    async with store.transaction(district) as c:
        id = await c.scalar(
            text(
                "UPDATE api_token SET revoked_at = now() WHERE name = :name AND revoked_at IS NULL RETURNING client_id"
            ),
            {"name": name},
        )
        if id is None:
            raise ConfigError("token-unknown", f"There is no token {name!r} at work.", "`planbridge tokens list`.")
        await c.execute(text("UPDATE client SET revoked_at = now() WHERE id = :id"), {"id": id})
        await log_act(c, district, actor, "token-revoke", id, {"name": name})
        await standing.note_ended(store, c, district, standing.REVOKED_CLIENT, id, "", actor)


def district_of(token: str) -> int | None:
    """The district that such a token names; None where it is no such token."""
    return sessions.district_of(token.removeprefix(PREFIX)) if token.startswith(PREFIX) else None


async def held(c: Transaction, token: str) -> Held | None:
    """What a token of the transaction's district allows; None once it is over or was revoked."""
    hash = fingerprint(token)
    found = await clients.held_by_api_token(c, hash)
    if found is not None:  # written once a day: so a token that nobody needs shows
        await c.execute(
            text(
                "UPDATE api_token SET used_on = current_date "
                "WHERE token_hash = :hash AND used_on IS DISTINCT FROM current_date"
            ),
            {"hash": hash},
        )
    return found
