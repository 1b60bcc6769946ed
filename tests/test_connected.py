"""A connection as it is opened: whoever opens it, in one process, shares its pace."""

import asyncio
import time

from connectors.oneroster.twin import twin
from gateway.connected import opened
from gateway.store import registers
from gateway.store.database import Store
from gateway.store.registers import Actor
from synthetic import build
from tests.serving import serve


async def test_a_pull_and_a_check_share_the_requests_a_second(store: Store, district: int, actor: Actor) -> None:
    with serve(twin(build(schools=1, students=5, seed=1))) as url:
        settings = {
            "base_url": url,
            "token_url": f"{url}/token",
            "client_id": "demo-client",
            "allow_private": True,
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
