"""The least that can serve a page: Starlette, the driver's own pool, one statement; no token, no agreement, no log."""

import argparse
import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

ROWS = (
    "SELECT sourced_id, at, gone, user_master_identifier, username, enabled_user, given_name, family_name, "
    "identifier, email, primary_org_id, roles_role, roles_org_ids, grades FROM served_users "
    "ORDER BY district_id, sourced_id LIMIT 100"
)


def application(url: str) -> Starlette:
    """`/rows`: a hundred rows with the columns of a user, as anybody would write it. `/text`: the same number of
    documents that are JSON already, put one behind the other: less work than this there is not."""
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(url, min_size=8, max_size=8, open=False)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with pool:
            yield

    async def rows(request: Request) -> Response:
        async with pool.connection() as c:
            found = await c.execute(ROWS)
            names = [column.name for column in found.description or ()]
            page = [dict(zip(names, row, strict=True)) for row in await found.fetchall()]
        return JSONResponse({"users": [one | {"at": one["at"].isoformat()} for one in page]})

    async def text(request: Request) -> Response:
        async with pool.connection() as c:
            found = await c.execute(
                "SELECT CAST(doc AS text) FROM served_users ORDER BY district_id, sourced_id LIMIT 100"
            )
            page = ",".join([one for (one,) in await found.fetchall()])
        return Response(f'{{"users":[{page}]}}', media_type="application/json")

    return Starlette(routes=[Route("/rows", rows), Route("/text", text)], lifespan=lifespan)


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--port", type=int, required=True)
    port = asked.parse_args().port
    config = uvicorn.Config(
        application(os.environ["BENCH_DATABASE"]), port=port, access_log=False, server_header=False, log_level="error"
    )
    asyncio.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
