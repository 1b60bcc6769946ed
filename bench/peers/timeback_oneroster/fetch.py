"""timeback-oneroster reads every user of a OneRoster service, as its documentation streams them, and keeps nothing."""

import asyncio
import sys

from timeback_oneroster import OneRosterClient
from told import told


async def fetch(url: str, page_size: int) -> int:
    credentials = {"client_id": "bench", "client_secret": "bench"}
    client = OneRosterClient(base_url=url, auth_url=f"{url}/token", **credentials)
    rows = 0
    async with client:
        async for _ in client.users.stream(limit=page_size):
            rows += 1
    return rows


told(asyncio.run(fetch(sys.argv[1], int(sys.argv[2]))))
