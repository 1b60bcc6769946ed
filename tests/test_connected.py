"""A connection as it is opened: whoever opens it shares its pace, its token, and a secret that was changed."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from connectors.oneroster.twin import twin
from gateway import registry
from gateway.connected import opened
from gateway.errors import AuthError
from gateway.http import StaticBearer, Token
from gateway.store import registers
from gateway.store.database import Store
from gateway.store.registers import Actor
from gateway.store.tokens import DistrictTokens
from synthetic import build
from tests.peers import OK, Asked, Peer, token_server, whole
from tests.serving import serve


async def test_a_pull_and_a_check_share_the_requests_a_second(store: Store, district: int, actor: Actor) -> None:
    with serve(twin(build(schools=1, students=5, seed=1))) as url:
        settings = {
            "base_url": url,
            "token_url": f"{url}/token",
            "client_id": "demo-client",
            "allow_private": True,  # as it was stored before there was a list
            "requests_per_second": 10,
        }
        await registers.add_connection(
            store, district, "sis", "oneroster", settings, {"client_secret": "demo-secret"}, actor
        )
        connection = await registers.connection(store, district, "sis")
        async with opened(store, connection) as (_, _, one), opened(store, connection) as (_, _, other):
            await one.token()
            began = time.monotonic()
            await asyncio.gather(*(http.get(f"{url}/ims/oneroster/rostering/v1p2/orgs") for http in (one, other) * 3))
            assert time.monotonic() - began >= 5 / 10


async def test_workers_renew_a_token_once_whether_it_is_refused_or_has_ended(
    store: Store, district: int, actor: Actor
) -> None:
    refused: set[str] = set()

    async def data(asked: Asked) -> bytes:
        await asyncio.sleep(0.01)
        return whole(401, {}) if asked.bearer in refused else OK

    async with Peer(token_server(data)) as peer:
        settings = {
            "base_url": peer.url,
            "token_url": f"{peer.url}/token",
            "client_id": "client-1",
            "private_addresses": ["127.0.0.1: a test"],
        }
        await registers.add_connection(store, district, "sis", "oneroster", settings, {"client_secret": "s"}, actor)
        connection = await registers.connection(store, district, "sis")
        async with AsyncExitStack() as stack:
            workers = [(await stack.enter_async_context(opened(store, connection)))[2] for _ in range(3)]

            async def many() -> None:
                await asyncio.gather(*(worker.get(f"{peer.url}/{n}") for worker in workers for n in range(20)))

            await many()
            assert len(peer.to("/token")) == 1
            refused.add("t1")
            await many()
            assert len(peer.to("/token")) == 2
            for worker in workers:  # as the clock would say in half an hour
                assert worker._current is not None
                worker._current = Token(worker._current.access_token, 0.0)
            key = workers[0]._key
            tokens = DistrictTokens(store, district)
            stored = await tokens.get(key)
            assert stored is not None
            await tokens.put(key, Token(stored.access_token, 0.0))
            await many()
            assert len(peer.to("/token")) == 3
    assert {asked.bearer for asked in peer.asked[-20:]} == {"t3"}


async def test_a_secret_that_is_changed_during_a_run_is_read_again_where_it_is_refused(
    store: Store, district: int, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(asked: Asked) -> bytes:
        return OK if asked.bearer == "new" else whole(401, {})

    kind = registry.connector("oneroster")
    fixed = replace(kind, auth=lambda settings: StaticBearer(settings.client_secret.get_secret_value()))
    monkeypatch.setattr(registry, "connector", lambda name: fixed)
    async with Peer(answer) as peer:
        settings = {
            "base_url": peer.url,
            "token_url": f"{peer.url}/token",
            "client_id": "client-1",
            "private_addresses": ["127.0.0.1: a test"],
        }
        await registers.add_connection(store, district, "sis", "oneroster", settings, {"client_secret": "old"}, actor)
        connection = await registers.connection(store, district, "sis")
        async with opened(store, connection) as (_, _, http):
            with pytest.raises(AuthError):
                await http.get(f"{peer.url}/a")
            assert len(peer.asked) == 1
            await registers.change_settings(store, connection, settings, {"client_secret": "new"}, actor)
            assert (await http.get(f"{peer.url}/a")).status == 200
    assert [asked.bearer for asked in peer.asked] == ["old", "old", "new"]


async def test_the_secret_of_another_system_is_not_shown_to_the_one_before_it(
    store: Store, district: int, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A district moves to another vendor while a run still asks the old one, which by now refuses."""
    kind = registry.connector("oneroster")
    fixed = replace(kind, auth=lambda settings: StaticBearer(settings.client_secret.get_secret_value()))
    monkeypatch.setattr(registry, "connector", lambda name: fixed)
    async with Peer(lambda asked: whole(401, {})) as peer:
        settings = {
            "base_url": peer.url,
            "token_url": f"{peer.url}/token",
            "client_id": "client-1",
            "private_addresses": ["127.0.0.1: a test"],
        }
        await registers.add_connection(store, district, "sis", "oneroster", settings, {"client_secret": "old"}, actor)
        connection = await registers.connection(store, district, "sis")
        async with opened(store, connection) as (_, _, http):
            moved = settings | {"base_url": "https://other.example.org"}
            await registers.change_settings(store, connection, moved, {"client_secret": "new"}, actor)
            with pytest.raises(AuthError):
                await http.get(f"{peer.url}/a")
    assert {asked.bearer for asked in peer.asked} == {"old"}
