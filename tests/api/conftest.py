"""The API on a real socket, a district for it to serve, and credentials for its callers."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from gateway import api
from gateway.settings import Settings
from gateway.store import clients
from gateway.store.clients import SCOPES
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests import overheard
from tests.api.world import World, populate

Bearer = Callable[..., Awaitable[dict[str, str]]]


@asynccontextmanager
async def serving(application: FastAPI, trusted_proxy: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """The application on a free loopback port, in this event loop: it shares the test's store."""
    proxies = {"proxy_headers": trusted_proxy is not None, "forwarded_allow_ips": trusted_proxy}
    # asyncio sets TCP_NODELAY only where the protocol is named; without it each answer waits 40 ms
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(application, log_level="critical", lifespan="off", ws="none", **proxies))
        task = asyncio.create_task(server.serve([listener]))
        while not server.started and not task.done():  # noqa: ASYNC110 it has no event to wait for
            await asyncio.sleep(0.01)
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            # nothing is https here: to read who vouches for whom would take longer than most of the requests
            hooks = {"response": [overheard.refused_in_silence]}
            async with httpx.AsyncClient(base_url=url, verify=False, event_hooks=hooks) as http:
                yield http
        finally:
            server.should_exit = True
            await task


@pytest.fixture
def application(store: Store, settings: Settings) -> FastAPI:
    return api.create_app(store, settings)


@pytest.fixture
async def http(application: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(application) as client:
        yield client


@pytest.fixture
async def world(store: Store, district: int, actor: Actor, tmp_path: Path) -> World:
    return await populate(store, district, actor, tmp_path / "roster")


@pytest.fixture
def bearer(store: Store, actor: Actor) -> Bearer:
    """Makes a client of a district and gives the header with its token: with all scopes, or those that are named."""

    async def header(district: int, *scopes: str) -> dict[str, str]:
        client_id, secret = await clients.add(store, district, "planner", scopes or SCOPES, actor)
        client = await clients.authenticate(store, client_id, secret)
        assert client is not None
        return {"Authorization": f"Bearer {await clients.issue_token(store, client, client.scopes)}"}

    return header
