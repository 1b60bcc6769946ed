"""Access tokens shared by all workers of a district, encrypted; one renews, the others wait for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from sqlalchemy import text

from gateway.http import Token
from gateway.store.database import Store


class DistrictTokens:
    """The TokenStore of gateway.http over the database."""

    def __init__(self, store: Store, district: int) -> None:
        self._store = store
        self._district = district

    async def get(self, key: str) -> Token | None:
        async with self._store.transaction(self._district) as c:
            sealed = await c.scalar(text("SELECT sealed FROM token WHERE key = :key"), {"key": key})
        return None if sealed is None else self._opened(sealed)

    async def put(self, key: str, token: Token) -> None:
        sealed = self._store.secrets.seal(msgspec.json.encode(token))
        async with self._store.transaction(self._district) as c:
            await c.execute(
                text(
                    "INSERT INTO token (district_id, key, sealed) VALUES (:district, :key, :sealed) "
                    "ON CONFLICT (district_id, key) DO UPDATE SET sealed = excluded.sealed"
                ),
                {"district": self._district, "key": key, "sealed": sealed},
            )

    async def forget(self, key: str, token: Token) -> None:
        """Drop the token, unless somebody has renewed it meanwhile."""
        async with self._store.transaction(self._district) as c:
            sealed = await c.scalar(text("SELECT sealed FROM token WHERE key = :key FOR UPDATE"), {"key": key})
            if sealed is not None and self._opened(sealed) == token:
                await c.execute(text("DELETE FROM token WHERE key = :key"), {"key": key})

    def _opened(self, sealed: bytes) -> Token:
        return msgspec.json.decode(self._store.secrets.open(sealed), type=Token)

    @asynccontextmanager
    async def renewing(self, key: str) -> AsyncIterator[None]:
        """Held by one worker at a time for one key, over all machines."""
        async with self._store.transaction(self._district) as c:
            await c.execute(
                text("SELECT pg_advisory_xact_lock(hashtext('planbridge.token'), hashtext(:key))"),
                {"key": f"{self._district}/{key}"},
            )
            yield
