"""How Canvas is asked: addresses with SIS ids, pages, its bucket of requests, and what its refusals mean."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from gateway.connector import Receipt
from gateway.errors import AuthError, ConfigError
from gateway.http import Http, Reply, same_origin

_SPARE = 100.0  # units that others who use the same token are left; a request books 50 before it begins
_LEAK = 10.0  # units a second. # Canvas: request_throttle
_LONGEST_REST = 10.0
_PAGE = 100  # rows; Canvas gives no more
_MOST_PAGES = 1_000


class Unwilling(Exception):
    """Another answer than was hoped for."""

    def __init__(self, reply: Reply, what: str) -> None:
        super().__init__(reply.status)
        self.status = reply.status
        self._reply = reply
        self._what = what

    @property
    def receipt(self) -> Receipt:
        """For whoever wrote."""
        return Receipt(self.status, message=_why(self._reply, self._what))

    @property
    def error(self) -> ConfigError:
        """For whoever only looked."""
        return ConfigError(
            "canvas-refused",
            f"{self._reply.name} answered {self.status}: {_why(self._reply, self._what)}",
            "See which permissions and scopes connectors/canvas/README.md asks for.",
        )


class Server:
    """One Canvas. It is asked slowly where its bucket of requests is nearly full. AuthError until somebody `agreed`."""

    def __init__(self, base_url: str, http: Http, *, agreed: bool = True) -> None:
        self.agreed = agreed
        self._root = f"{base_url}/api/v1"
        self._http = http
        self._rests_until = 0.0

    async def found(self, path: str, what: str) -> dict[str, Any] | None:
        """One object; None where there is none. Unwilling where it may not be read."""
        reply = await self._get(f"{self._root}/{path}")
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise Unwilling(reply, what)
        return _object(reply)

    async def rows(self, path: str, what: str, query: Sequence[tuple[str, str]] = ()) -> list[dict[str, Any]]:
        """All rows of a list, page by page: what leads to the next is taken as it comes. # Canvas: Pagination"""
        url = f"{self._root}/{path}?{urlencode([*query, ('per_page', str(_PAGE))])}"
        rows: list[dict[str, Any]] = []
        for _ in range(_MOST_PAGES):
            reply = await self._get(url)
            if reply.status != 200:
                raise Unwilling(reply, what)
            got = reply.json()
            rows += [row for row in got if isinstance(row, dict)] if isinstance(got, list) else []
            following = _next(reply.headers.get("link", ""))
            if not following:
                return rows
            url = same_origin(self._root, following)
        raise ConfigError(
            "canvas-endless",
            f"{reply.name} gives one page after the other without an end.",
            "Ask who runs this Canvas.",
        )

    async def write(self, verb: str, path: str, body: Mapping[str, Any] | None, what: str) -> dict[str, Any]:
        """What Canvas answered. Only a POST makes something, and so is never repeated by itself."""
        await self._rest()
        sent = None if body is None else msgspec.json.encode(body)
        reply = await self._http.send(verb, f"{self._root}/{path}", json=sent, repeatable=verb != "POST")
        self._mind(reply)
        if reply.status not in (200, 201):
            raise Unwilling(reply, what)
        return _object(reply)

    async def _get(self, url: str) -> Reply:
        await self._rest()
        reply = await self._http.get(url)
        self._mind(reply)
        return reply

    async def _rest(self) -> None:
        if not self.agreed:
            raise AuthError(
                "grant-missing",
                "Nobody has let Planbridge into this Canvas yet.",
                "Run `planbridge connections authorize` with the name of this connection.",
            )
        if (rest := self._rests_until - time.monotonic()) > 0:
            await asyncio.sleep(rest)

    def _mind(self, reply: Reply) -> None:
        """Canvas refuses what is over the brim: whoever waits until some has leaked is never refused."""
        self._rests_until = time.monotonic() + rest(reply.headers.get("x-rate-limit-remaining", ""))


def rest(told: str) -> float:
    """Seconds until the next request, by what Canvas says is left in its bucket."""
    left = float(told) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", told) else _SPARE
    return min(max(_SPARE - left, 0.0) / _LEAK, _LONGEST_REST)


def by_sis(kind: str, id: str) -> str:
    """An SIS id in a path. # Canvas: SIS IDs; a slash is one even where it is escaped, so such ids are spelt in hex"""
    if re.search(r"[/\\\"?#%]", id) or id.strip() != id or id.endswith((".json", ".")):
        return f"hex:{kind}:{id.encode().hex()}"
    return f"{kind}:{quote(id, safe='')}"


def _next(link: str) -> str:
    for part in re.split(r",\s*(?=<)", link):
        found = re.fullmatch(r"\s*<([^>]*)>\s*;(.*)", part)
        if found and re.search(r"\brel\s*=\s*\"?next\"?", found[2], re.IGNORECASE):
            return found[1]
    return ""


def _object(reply: Reply) -> dict[str, Any]:
    got = reply.json()
    return got if isinstance(got, dict) else {}


def _why(reply: Reply, what: str) -> str:
    """What a refusal means, in words that are the same for the same cause and repeat nothing that was sent."""
    if reply.status == 403:
        return f"The account that Planbridge uses in Canvas, or its key, may not {what}."
    if reply.status == 404:
        return (
            f"Canvas does not know what is needed to {what}, or does not show it to the account that Planbridge uses."
        )
    named = _fields(reply)
    about = f" It names: {', '.join(named)}." if named else ""
    return f"Canvas did not {what}.{about} Give whoever runs it this correlation-id: {reply.correlation_id}."


def _fields(reply: Reply) -> list[str]:
    """The names of the fields that a refusal is about; its texts may quote what was sent."""
    try:
        errors = msgspec.json.decode(reply.body).get("errors")
    except (msgspec.DecodeError, AttributeError, RecursionError):
        return []
    return [name for name in errors if re.fullmatch(r"[a-z_]{1,40}", name)] if isinstance(errors, dict) else []
