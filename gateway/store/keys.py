"""The keys that sign access tokens: made, shared by all processes, renewed with an overlap, and what a token says.

What reads and writes tokens takes megabytes and is loaded by the first token: a worker never sees one.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.database import Store
from gateway.store.registers import Actor, log_act

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

US = Actor("Planbridge", "system")
LASTS = timedelta(days=90)
"""After this a key gets a successor by itself."""
AHEAD = timedelta(hours=1)
"""So long a new key is published before it signs: whoever keeps our key set knows it by then."""
OVERLAP = timedelta(days=1)
"""So long a key is accepted and published after its successor began to sign: longer than any token lives."""
DISTRICT = "planbridge_district"
"""The claim that names the district."""
_FRESH = 60.0  # seconds that keys are held before they are read again
_RELOAD = 1.0  # at most so often for a key that is not known: anybody can name one
_LONGEST = 4096
_SEEN = 4096


@dataclass(frozen=True)
class Said:
    """What a token with a good signature of ours says: where to look it up. What it allows stands there."""

    district: int
    jti: str
    expires: float


@dataclass
class _Ring:
    """Of one process: the keys by id, the oldest first, and the tokens whose signatures were good."""

    keys: "dict[str, ECKey]" = field(default_factory=dict)
    made: dict[str, datetime] = field(default_factory=dict)
    read_at: float = float("-inf")
    seen: dict[bytes, Said] = field(default_factory=dict)


_RINGS: "WeakKeyDictionary[Store, _Ring]" = WeakKeyDictionary()


async def sign(store: Store, claims: Mapping[str, Any]) -> str:
    """An access token that says this, under the key that signs today. # RFC 9068 2"""
    from joserfc import jwt

    ring = await _ring(store)
    if not ring.keys or datetime.now(UTC) - max(ring.made.values()) > LASTS:
        await _renew(store)
        ring = await _ring(store, again=0.0)
    key = ring.keys[signing(ring.made, datetime.now(UTC))]
    return jwt.encode({"alg": "ES256", "kid": key.kid, "typ": "at+jwt"}, dict(claims), key, algorithms=["ES256"])


async def said(store: Store, token: str) -> Said | None:
    """What an access token says that we signed, for us, and that has not expired; None for any other text."""
    if len(token) > _LONGEST or not token.isascii():
        return None
    ring = await _ring(store)
    digest = hashlib.sha256(token.encode()).digest()
    found = ring.seen.get(digest)
    if found is None:
        found = await _checked(store, ring, token)
        if found is None:
            return None
        if len(ring.seen) >= _SEEN:
            ring.seen.clear()
        ring.seen[digest] = found
    return found if found.expires > time.time() else None


async def published(store: Store) -> list[dict[str, Any]]:
    """The public halves of all keys that are accepted, as JWKs, the newest first. # RFC 7517"""
    ring = await _ring(store)
    return [{**key.as_dict(private=False), "alg": "ES256", "use": "sig"} for key in reversed(ring.keys.values())]


async def rotate(store: Store, actor: Actor, *, at_once: bool = False) -> str:
    """A new key; its id. The present one signs until the new one was published long enough, and is accepted after
    that for as long as tokens live. `at_once`, where a key may be in other hands: every other key, and so every token,
    is worth nothing from now on; other processes learn it within a minute."""
    async with store.owner.begin() as c:
        await _lock(c)
        if at_once:
            await c.execute(text("DELETE FROM signing_key"))
            await c.execute(text("DELETE FROM client_token"))
        kid = await _make(store, c, actor, at_once)
    await _ring(store, again=0.0)
    return kid


def signing(made: Mapping[str, datetime], now: datetime) -> str:
    """Which key signs, of those that were made then, the oldest first: the newest that was published long enough."""
    ready = [kid for kid, at in made.items() if at + AHEAD <= now]
    return ready[-1] if ready else next(iter(made))


def outlived(made: Mapping[str, datetime], now: datetime) -> Sequence[str]:
    """The keys that no token needs any more: whose successor has been signing for long enough."""
    kids = list(made)
    return [kid for kid, after in pairwise(kids) if made[after] + AHEAD + OVERLAP <= now]


async def _checked(store: Store, ring: _Ring, token: str) -> Said | None:
    from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaims  # type: ignore[import-untyped]
    from joserfc import jwt
    from joserfc.errors import JoseError

    try:
        kid = _kid(token)
        if kid not in ring.keys:
            ring = await _ring(store, again=_RELOAD)
        if kid not in ring.keys:
            return None
        decoded = jwt.decode(token, ring.keys[kid], algorithms=["ES256"])
        must = {"iss": {"essential": True, "value": store.address}, "aud": {"essential": True, "value": store.address}}
        claims = JWTAccessTokenClaims(decoded.claims, decoded.header, must)
        claims.validate(now=int(time.time()))
        return Said(int(claims[DISTRICT]), str(claims["jti"]), float(claims["exp"]))
    except (JoseError, ValueError, KeyError, TypeError):  # of what anybody may send
        return None


def _kid(token: str) -> str:
    from joserfc.jws import extract_compact

    return str(extract_compact(token.encode()).headers().get("kid", ""))


async def _ring(store: Store, again: float = _FRESH) -> _Ring:
    """The keys, read anew where they were read longer ago than `again` seconds."""
    from joserfc.jwk import ECKey

    ring = _RINGS.setdefault(store, _Ring())
    if time.monotonic() - ring.read_at < again:
        return ring
    async with store.transaction() as c:
        rows = (await c.execute(text("SELECT kid, sealed, created_at FROM signing_key ORDER BY created_at, kid"))).all()
    made = {row.kid: row.created_at for row in rows}
    gone = outlived(made, datetime.now(UTC))
    if gone or ring.keys.keys() - made.keys():
        ring.seen.clear()
    ring.keys = {
        row.kid: ring.keys.get(row.kid) or ECKey.import_key(msgspec.json.decode(store.secrets.open(row.sealed)))
        for row in rows
        if row.kid not in gone
    }
    ring.made = {kid: at for kid, at in made.items() if kid not in gone}
    ring.read_at = time.monotonic()
    return ring


async def _renew(store: Store) -> None:
    """A key where there is none, or the newest is old; of all processes that find that, one makes it."""
    async with store.owner.begin() as c:
        await _lock(c)
        newest = await c.scalar(text("SELECT max(created_at) FROM signing_key"))
        if newest is None or datetime.now(UTC) - newest > LASTS:
            await _make(store, c, US, False)


async def _make(store: Store, c: AsyncConnection, actor: Actor, at_once: bool) -> str:
    from joserfc.jwk import ECKey

    key = ECKey.generate_key("P-256", auto_kid=True)
    kid = str(key.kid)
    rows = await c.execute(text("SELECT kid, created_at FROM signing_key ORDER BY created_at, kid"))
    made: dict[str, datetime] = {row.kid: row.created_at for row in rows}
    gone = list(outlived(made, datetime.now(UTC)))
    await c.execute(text("DELETE FROM signing_key WHERE kid = ANY(:gone)"), {"gone": gone})
    await c.execute(
        text("INSERT INTO signing_key (kid, sealed) VALUES (:kid, :sealed)"),
        {"kid": kid, "sealed": store.secrets.seal(msgspec.json.encode(key.as_dict(private=True)))},
    )
    # The key is everybody's, so every district can read who renewed it; nothing was renewed by the first.
    if not made and not at_once:
        return kid
    for district in (await c.execute(text("SELECT id FROM district ORDER BY id"))).scalars():
        await log_act(c, district, actor, "signing-key", kid, {"at_once": at_once})
    return kid


async def _lock(c: AsyncConnection) -> None:
    await c.execute(text("SELECT pg_advisory_xact_lock(hashtext('planbridge.signing_key'))"))
