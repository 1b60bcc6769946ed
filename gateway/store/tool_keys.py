"""The keys by which the LTI tool signs what it says to platforms: made, renewed with an overlap, published.

They are other keys than those of access tokens, because LTI wants RSA; their life is the same: see gateway.store.keys.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.database import Store
from gateway.store.keys import LASTS, US, outlived, signing
from gateway.store.registers import Actor, log_act

if TYPE_CHECKING:
    from joserfc.jwk import RSAKey

ALGORITHM = "RS256"
"""# Security Framework 1.1, 5.1: what every platform can check."""
_BITS = 2048


async def sign(store: Store, claims: Mapping[str, Any]) -> str:
    """A JWT that says this, under the key that signs today."""
    from joserfc import jwt

    key = await current(store)
    return jwt.encode({"alg": ALGORITHM, "kid": key.kid}, dict(claims), key, algorithms=[ALGORITHM])


async def current(store: Store) -> "RSAKey":
    """The key that signs today; one is made where there is none, or the newest is old."""
    keys, made = await _keys(store)
    if not keys or datetime.now(UTC) - max(made.values()) > LASTS:
        async with store.owner.begin() as c:
            await _lock(c)
            newest = await c.scalar(text("SELECT max(created_at) FROM tool_key"))
            if newest is None or datetime.now(UTC) - newest > LASTS:
                await _make(store, c, US, False)
        keys, made = await _keys(store)
    return keys[signing(made, datetime.now(UTC))]


async def published(store: Store) -> list[dict[str, Any]]:
    """The public halves of all keys that may have signed what is still good, as JWKs, the newest first. There is one
    from the first question on: platforms ask before anything is signed. # RFC 7517"""
    await current(store)
    keys, _ = await _keys(store)
    return [{**key.as_dict(private=False), "alg": ALGORITHM, "use": "sig"} for key in reversed(keys.values())]


async def listed(store: Store) -> list[dict[str, Any]]:
    """Every key that is published, the newest first: id, when it was made, whether it signs."""
    signs = (await current(store)).kid
    _, made = await _keys(store)
    return [{"key": kid, "made_at": at, "signs": kid == signs} for kid, at in reversed(made.items())]


async def rotate(store: Store, actor: Actor, *, at_once: bool = False) -> str:
    """A new key; its id. The present one signs until the new one was published long enough, and stays published for as
    long as anything that it signed. `at_once`, where a key may be in other hands: it is the only one from now on."""
    async with store.owner.begin() as c:
        await _lock(c)
        if at_once:
            await c.execute(text("DELETE FROM tool_key"))
        return await _make(store, c, actor, at_once)


async def _keys(store: Store) -> tuple[dict[str, "RSAKey"], dict[str, datetime]]:
    """The keys by id and when they were made, the oldest first, without those that nobody needs any more. They are
    read each time: a launch that signs nothing does not need them."""
    from joserfc.jwk import RSAKey

    async with store.transaction() as c:
        rows = (await c.execute(text("SELECT kid, sealed, created_at FROM tool_key ORDER BY created_at, kid"))).all()
    made = {row.kid: row.created_at for row in rows}
    gone = outlived(made, datetime.now(UTC))
    kept = [row for row in rows if row.kid not in gone]
    keys = {row.kid: RSAKey.import_key(msgspec.json.decode(store.secrets.open(row.sealed))) for row in kept}
    return keys, {row.kid: row.created_at for row in kept}


async def _make(store: Store, c: AsyncConnection, actor: Actor, at_once: bool) -> str:
    from joserfc.jwk import RSAKey

    key = RSAKey.generate_key(_BITS, auto_kid=True)
    rows = await c.execute(text("SELECT kid, created_at FROM tool_key ORDER BY created_at, kid"))
    made: dict[str, datetime] = {row.kid: row.created_at for row in rows}
    await c.execute(
        text("DELETE FROM tool_key WHERE kid = ANY(:gone)"), {"gone": list(outlived(made, datetime.now(UTC)))}
    )
    await c.execute(
        text("INSERT INTO tool_key (kid, sealed) VALUES (:kid, :sealed)"),
        {"kid": key.kid, "sealed": store.secrets.seal(msgspec.json.encode(key.as_dict(private=True)))},
    )
    # As with the keys of tokens: every district can read who renewed what is everybody's.
    if made or at_once:
        for district in (await c.execute(text("SELECT id FROM district ORDER BY id"))).scalars():
            await log_act(c, district, actor, "tool-key", str(key.kid), {"at_once": at_once})
    return str(key.kid)


async def _lock(c: AsyncConnection) -> None:
    await c.execute(text("SELECT pg_advisory_xact_lock(hashtext('planbridge.tool_key'))"))
