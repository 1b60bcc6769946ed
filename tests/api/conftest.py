"""The API on a real socket, a district for it to serve, and credentials for its callers."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from argon2 import PasswordHasher
from fastapi import FastAPI
from sqlalchemy import text

from gateway import api, clock, vendors
from gateway.settings import Settings
from gateway.store import clients
from gateway.store.clients import SCOPES, Client, Grant
from gateway.store.database import Store
from gateway.store.registers import Actor
from gateway.vendors import Terms
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
            # how long an answer takes says how busy the machine is
            async with httpx.AsyncClient(base_url=url, verify=False, event_hooks=hooks, timeout=60) as http:
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
    """Makes a client of a district, of its own systems, and gives the header with its token: with all scopes, or those
    that are named; for itself, or for a person, for whom its agreement then lets it write."""

    async def header(
        district: int, *scopes: str, person: str | None = None, sections: Sequence[str] = ()
    ) -> dict[str, str]:
        made = await clients.add(store, district, "planner", scopes or SCOPES, actor, Grant("sis", sections=sections))
        if person is not None:
            await agree(store, district, made[0])
        return await token(store, district, made[0], person=person, scopes=scopes or SCOPES)

    return header


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords hashed with little: what argon2 takes from whoever guesses, it takes from tests too."""
    monkeypatch.setattr("gateway.accounts.HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


async def token(
    store: Store, district: int, client: str, *, person: str | None = None, scopes: Iterable[str] = SCOPES
) -> dict[str, str]:
    """The header with a token of a client, for itself or for a person."""
    issued = await clients.issue_token(store, Client(client, district, "planner", frozenset(SCOPES)), scopes, person)
    return {"Authorization": f"Bearer {issued}"}


async def agree(store: Store, district: int, client: str, **differing: Any) -> None:
    """An agreement in force with a program, that lets it do everything but take all at once."""
    today = clock.today()
    terms = Terms(
        **{
            "purpose": "planning", "basis": "school_official", "signer": "Ottoline Farrow", "document": "A-1",
            "breach_contact": "privacy@vendor.example.org", "begin": today, "until": today + timedelta(days=3650),
            "collections": dict.fromkeys(vendors.COLLECTIONS), "authoring": True,
        }
        | differing
    )  # fmt: skip
    values = {"district": district, "client": client, "begin": terms.begin, "until": terms.until}
    async with store.transaction(district) as c:
        made = await c.scalar(
            text(
                "INSERT INTO vendor_agreement (district_id, client_id, version, begin_on, until_on) "
                "VALUES (:district, :client, 1, :begin, :until) RETURNING id"
            ),
            values,
        )
        await c.execute(
            text(
                "INSERT INTO vendor_terms (district_id, agreement_id, version, terms, actor) "
                "VALUES (:district, :id, 1, CAST(:terms AS json), '{}')"
            ),
            {"district": district, "id": made, "terms": vendors.as_json(terms)},
        )
        await c.execute(
            text(
                "INSERT INTO reach (district_id, agreement_id, collection, sourced_id, visible) "
                "SELECT :district, :id, 'students', CAST(id AS text), true FROM entity WHERE kind = 'person' "
                "AND doc->>'population' = 'student'"
            ),
            {"district": district, "id": made},
        )
