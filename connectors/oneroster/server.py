"""How a OneRoster server is asked for a page: the address of its version, the order, the filter."""

import asyncio
from datetime import UTC, datetime

from connectors.oneroster.catalogue import Version
from connectors.oneroster.envelope import Answer, answer
from connectors.oneroster.settings import Dialect
from gateway.errors import ConfigError
from gateway.http import Http, Reply

NOT_OFFERED = (404, 405, 410, 501)
"""What servers answer where they do not have a collection."""
LONG_AGO, FAR_AHEAD = datetime(1990, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)
"""Since the one everything changed, since the other nothing."""


class Server:
    """One server, spoken to as `dialect` says. Which version it is of is found with the first request where nobody
    said so: an address of 1.2 that is not there sends it to 1.1."""

    def __init__(self, dialect: Dialect, http: Http) -> None:
        self.dialect = dialect
        self.version: Version | None = dialect.version
        self._http = http
        self._finding = asyncio.Lock()

    async def page(self, name: str, offset: int, limit: int, *, natural: bool = False, filter: str = "") -> Answer:
        """A page of a collection: sorted by sourcedId, if not left in its `natural` order."""
        params: dict[str, str | int] = {"limit": limit, "offset": offset}
        if not natural:
            params |= {"sort": "sourcedId", "orderBy": "asc"}
        if filter:
            params["filter"] = filter
        return answer(name, await self.get(name, params), limit)

    async def get(self, name: str, params: dict[str, str | int]) -> Reply:
        """The answer to a request for a collection."""
        if self.version is None:
            async with self._finding:
                if self.version is None:
                    return await self._first(name, params)
        return await self._http.get(self.dialect.address(name, self.version), params)

    async def _first(self, name: str, params: dict[str, str | int]) -> Reply:
        try:
            reply = await self._http.get(self.dialect.address(name, "1.2"), params)
            missing: ConfigError | None = None
        except ConfigError as error:  # a web page for addresses that it does not have
            if error.code != "http-html-instead-of-json":
                raise
            missing = error
        if missing is not None or reply.status == 404:
            older = await self._http.get(self.dialect.address("orgs", "1.1"), {"limit": 1, "offset": 0})
            if older.status in (200, 403):
                self.version = "1.1"
                return await self._http.get(self.dialect.address(name, "1.1"), params)
        if missing is not None:
            raise missing
        self.version = "1.2"
        return reply


def changed_since(moment: datetime) -> str:
    """The filter for what changed after a moment."""
    return f"dateLastModified>'{spelt(moment)}'"


def spelt(moment: datetime) -> str:
    """# OneRoster 1.2: UTC, with milliseconds"""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
