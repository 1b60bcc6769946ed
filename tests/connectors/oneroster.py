"""A OneRoster service being read: settings for it, a source that talks to it over a socket, all its pages."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from starlette.types import ASGIApp

from connectors.oneroster import CONNECTOR
from connectors.oneroster.client import RestSource
from connectors.oneroster.settings import OneRosterSettings
from gateway.connector import START, Page, Resource
from gateway.http import Http, MemoryTokens
from tests.serving import serve

RESOURCES = {resource.name: resource for resource in CONNECTOR.resources}
USERS = RESOURCES["users"]


def configured(**given: Any) -> OneRosterSettings:
    return OneRosterSettings.model_validate(given)


@asynccontextmanager
async def opened(
    app: ASGIApp, setting: Callable[[str], dict[str, Any]] = lambda base: {}, **given: Any
) -> AsyncIterator[RestSource]:
    """A source that talks to `app` over a socket. `setting` gives more settings, from the address."""
    with serve(app) as base:
        needed = {"base_url": base, "token_url": f"{base}/token", "client_id": "demo-client"}
        needed |= {"client_secret": "demo-secret", "allow_private": True}
        async with talking(configured(**needed | setting(base) | given)) as source:
            yield source


@asynccontextmanager
async def talking(settings: OneRosterSettings) -> AsyncIterator[RestSource]:
    """A source as these settings say."""
    auth = CONNECTOR.auth(settings)
    async with Http(auth, tokens=MemoryTokens(), network=settings.network, attempts=2, timeout=5) as http:
        assert CONNECTOR.open_source is not None
        source = await CONNECTOR.open_source(settings, http)
        assert isinstance(source, RestSource)
        yield source
        await source.close()


async def every_page(source: RestSource, resource: Resource = USERS) -> dict[str, Page]:
    """All pages by cursor, pulled side by side as far as cursors are known."""
    pages: dict[str, Page] = {}
    waiting = [START]
    while waiting:
        answers = await asyncio.gather(*(source.pull(resource, cursor) for cursor in waiting), return_exceptions=True)
        pulled = [answer for answer in answers if isinstance(answer, Page)]
        for error in (answer for answer in answers if isinstance(answer, BaseException)):
            raise error
        pages |= dict(zip(waiting, pulled, strict=True))
        waiting = [cursor for page in pulled for cursor in page.next]
    return pages


def keys(pages: dict[str, Page]) -> list[str]:
    return [msgspec.json.decode(row)["sourcedId"] for page in pages.values() for row in page.rows]
