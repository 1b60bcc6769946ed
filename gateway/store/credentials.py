"""By what clients prove who they are: second secrets, public keys, OAuth 1.0a secrets, and what serves only once."""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError
from gateway.http import checked_origin
from gateway.store.database import Store
from gateway.store.registers import Actor, log_act
from gateway.store.secret_hashes import hashed

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

LONGEST_OVERLAP = timedelta(days=30)


async def rotate(store: Store, district: int, client_id: str, overlap: timedelta, actor: Actor) -> tuple[str, datetime]:
    """Another secret for a client, and until when the one it had is good beside it. ConfigError when the district has
    no such client at work, or it proves itself by a key."""
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise ConfigError(
            "overlap-invalid",
            "The old secret cannot be kept that long.",
            f"Give at most {LONGEST_OVERLAP.days} days, as 7d, 12h or 30m.",
        )
    secret = secrets.token_urlsafe(32)
    new = await asyncio.to_thread(hashed, secret)
    async with store.transaction(district) as c:
        until: datetime | None = await c.scalar(
            text(
                "UPDATE client SET old_secret_hash = secret_hash, old_secret_until = now() + :overlap, "
                f"secret_hash = :new WHERE {_AT_WORK} AND secret_hash IS NOT NULL RETURNING old_secret_until"
            ),
            {"id": client_id, "district": district, "new": new, "overlap": overlap},
        )
        if until is None:
            raise _unknown(client_id)
        detail = {"old_until": until.isoformat()}
        await log_act(c, district, actor, "client-rotate", client_id, detail)
    return secret, until


async def replace_keys(store: Store, district: int, client_id: str, keys: "Keys", actor: Actor) -> None:
    """From now on a client proves itself by these keys, and by no secret. ConfigError as above."""
    async with store.transaction(district) as c:
        done = await c.execute(
            text(
                "UPDATE client SET jwks = CAST(:jwks AS json), jwks_url = :url, secret_hash = NULL, "
                f"old_secret_hash = NULL, old_secret_until = NULL WHERE {_AT_WORK}"
            ),
            {"id": client_id, "district": district, **keys.columns},
        )
        if not done.rowcount:
            raise _unknown(client_id)
        await log_act(c, district, actor, "client-keys", client_id, keys.told)


async def switch_oauth1(store: Store, district: int, client_id: str, on: bool, actor: Actor) -> str | None:
    """Let a client sign its requests by OAuth 1.0a, or no more: its consumer secret, shown once. It is kept encrypted,
    because a signature can be checked only with the secret itself. ConfigError as above."""
    secret = secrets.token_urlsafe(32) if on else None
    async with store.transaction(district) as c:
        done = await c.execute(
            text(f"UPDATE client SET sealed_oauth1 = :sealed WHERE {_AT_WORK}"),
            {
                "id": client_id,
                "district": district,
                "sealed": None if secret is None else store.secrets.seal(secret.encode()),
            },
        )
        if not done.rowcount:
            raise _unknown(client_id)
        await log_act(c, district, actor, "client-oauth1", client_id, {"on": on})
    return secret


@dataclass(frozen=True)
class Keys:
    """The public keys of a client: themselves, or where they are published. Neither: it has a secret."""

    jwks: Mapping[str, Any] | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        """ConfigError for keys that nobody can verify with, or that are not public, and for an address nobody asks."""
        if self.jwks is not None and self.url is not None:
            raise ConfigError(
                "client-keys-twice", "Keys and an address of keys are two answers.", "Give one of the two."
            )
        if self.url is not None:
            checked_origin(self.url)
        if self.jwks is not None:
            key_set(self.jwks)

    def __bool__(self) -> bool:
        return self.jwks is not None or self.url is not None

    @property
    def columns(self) -> dict[str, Any]:
        return {"jwks": None if self.jwks is None else json.dumps(self.jwks), "url": self.url}

    @property
    def told(self) -> dict[str, Any]:
        """What an act says of them."""
        return {"keys": [key.kid or "" for key in key_set(self.jwks).keys]} if self.jwks else {"keys_at": self.url}


NO_KEYS = Keys()


def key_set(jwks: Mapping[str, Any]) -> "KeySet":
    """The public keys for signatures of a JWK set, or of one JWK. ConfigError where there is none, or a private or a
    shared one among them. # RFC 7517 5"""
    # Loaded where keys are looked at: a worker, which imports this, never does.
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet, RSAKey

    listed: Any = jwks.get("keys", [jwks])
    try:
        given = [one for one in listed if one.get("use", "sig") == "sig"]
        # Looked at before they are read: the library takes a shared secret, or half of a pair, for a key like others.
        public = all(one.get("kty") in ("EC", "RSA", "OKP") and "d" not in one for one in listed)
        keys = KeySet.import_key_set({"keys": given}) if public and given else None
    except (JoseError, ValueError, KeyError, TypeError, AttributeError):
        keys = None
    if keys is None or any(isinstance(key, RSAKey) and key.raw_value.key_size < 2048 for key in keys.keys):
        raise ConfigError(
            "client-keys-unusable",
            "These are no public keys that signatures can be checked with.",
            "Give a JWK set (RFC 7517) of public EC, Ed25519 or RSA keys (2048 bits or more), and no private key.",
        )
    return keys


async def is_first_use(store: Store, district: int, client_id: str, what: str, until: float) -> bool:
    """Whether this client uses this for the first time; it is remembered over all processes until that time."""
    async with store.transaction(district) as c:
        done = await c.execute(
            text(
                "INSERT INTO used_once (district_id, client_id, what, until) "
                "VALUES (:district, :id, :what, to_timestamp(:until)) ON CONFLICT DO NOTHING"
            ),
            {
                "district": district,
                "id": client_id,
                "what": hashlib.sha256(what.encode("utf-8", "surrogatepass")).hexdigest(),
                "until": until,
            },
        )
        return bool(done.rowcount)


async def count_refused(store: Store, client_id: str) -> None:
    """Somebody named this client and could not prove it; nothing where there is no such client."""
    async with store.transaction() as c:
        await c.execute(
            text("UPDATE client SET refused = refused + 1, refused_at = now() WHERE id = :id"), {"id": client_id}
        )


async def count_miss(store: Store, district: int, client_id: str, meant: str) -> None:
    """The client asked for a scope that there is not and nearly is this one."""
    async with store.transaction(district) as c:
        await c.execute(
            text(
                "INSERT INTO scope_miss AS m (district_id, client_id, meant) VALUES (:district, :id, :meant) "
                "ON CONFLICT (client_id, meant) DO UPDATE SET times = m.times + 1, last_at = now()"
            ),
            {"district": district, "id": client_id, "meant": meant},
        )


async def misses(c: AsyncConnection, district: int) -> dict[str, dict[str, int]]:
    """Client -> scope that was nearly asked for -> how often."""
    found: dict[str, dict[str, int]] = {}
    rows = await c.execute(
        text("SELECT client_id, meant, times FROM scope_miss WHERE district_id = :district ORDER BY client_id, meant"),
        {"district": district},
    )
    for row in rows:
        found.setdefault(row.client_id, {})[row.meant] = row.times
    return found


_AT_WORK = "id = :id AND district_id = :district AND revoked_at IS NULL"


def _unknown(client_id: str) -> ConfigError:
    return ConfigError(
        "client-unknown",
        f"There is no client {client_id!r} at work that this can be done with.",
        "`planbridge client list` shows them.",
    )
