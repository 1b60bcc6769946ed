"""Bearer tokens, and where the workers that use the same credentials share one."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import msgspec


class Token(msgspec.Struct, frozen=True):
    """A bearer token. `expires_at`, epoch seconds, is when we stop using it: at 90 % of its stated life. `style` is how
    the credentials stood in the request that got it: the next one asks so first."""

    access_token: str
    expires_at: float
    scope: str = ""
    style: str = ""

    def __repr__(self) -> str:
        return f"<Token until {self.expires_at:.0f}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec has one of its own, which shows all
        return [("expires_at", self.expires_at)]


def is_fresh(token: Token) -> bool:
    return token.expires_at > time.time()


class TokenStore(Protocol):
    """Where the workers that use the same credentials share one token."""

    async def get(self, key: str) -> Token | None: ...

    async def put(self, key: str, token: Token) -> None: ...

    async def forget(self, key: str, token: Token) -> None:
        """Remove this token, unless another took its place meanwhile."""

    def renewing(self, key: str) -> AbstractAsyncContextManager[None]:
        """Entered by one at a time over all workers."""


class MemoryTokens:
    """A TokenStore for one process."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, key: str) -> Token | None:
        return self._tokens.get(key)

    async def put(self, key: str, token: Token) -> None:
        self._tokens[key] = token

    async def forget(self, key: str, token: Token) -> None:
        if self._tokens.get(key) == token:
            del self._tokens[key]

    @asynccontextmanager
    async def renewing(self, key: str) -> AsyncIterator[None]:
        async with self._locks.setdefault(key, asyncio.Lock()):
            yield
