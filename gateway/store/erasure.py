"""What a DELETE leaves behind: rows in the files until they are written anew, and the log of every write."""

import asyncio
import time
from enum import Enum

from psycopg.errors import InsufficientPrivilege
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.database import DatabaseError, Store

PATIENCE_SECONDS = 30.0
"""How long readers may still look at what was deleted, and how long a table may be busy."""


class Erased(Enum):
    """How far it went."""

    WHOLLY = "wholly"
    BUT_FOR_THE_LOG = "but for the log"
    """The server is not ours: its write-ahead log, replicas and backups are with those who run it."""
    NOT_YET = "not yet"
    """Tables were busy, or somebody still looked at the deleted rows: to be tried again."""


async def tables(c: AsyncConnection) -> list[str]:
    """Every table in which districts have rows."""
    rows = await c.execute(
        text(
            "SELECT t.relname FROM pg_attribute a JOIN pg_class t ON t.oid = a.attrelid "
            "WHERE a.attname = 'district_id' AND t.relkind = 'r' AND t.relnamespace = 'public'::regnamespace ORDER BY 1"
        )
    )
    return list(rows.scalars())


async def erase(store: Store) -> Erased:
    """Write the districts' tables anew without their deleted rows, and let go of the log of writes that tells of them.

    Each table is locked while it is written, readers wait for as long.
    """
    async with store.owner.connect() as connection:
        c = await connection.execution_options(isolation_level="AUTOCOMMIT")
        if not await _nobody_looks(c):
            return Erased.NOT_YET
        try:
            await c.execute(text(f"SET lock_timeout = '{PATIENCE_SECONDS:.0f}s'"))
            # Statistics hold samples of the rows; only the owner of the whole database may write them anew.
            for table in (*await tables(c), "pg_statistic"):
                await c.execute(text(f"VACUUM (FULL, ANALYZE) {table}"))
            await c.execute(text("RESET lock_timeout"))
        except DatabaseError:
            await c.invalidate()
            return Erased.NOT_YET
        try:
            await c.execute(text("SELECT pg_switch_wal()"))
            await c.execute(text("CHECKPOINT"))
        except DatabaseError as error:
            if isinstance(error.orig, InsufficientPrivilege):
                return Erased.BUT_FOR_THE_LOG
            raise
    return Erased.WHOLLY


async def _nobody_looks(c: AsyncConnection) -> bool:
    """Whether, in good time, no transaction is left that began before now: it would have the rows copied."""
    now = await c.scalar(text("SELECT CAST(pg_current_xact_id() AS text)"))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        looking = await c.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND age(backend_xmin) > age(xid(CAST(:now AS xid8)))"
            ),
            {"now": now},
        )
        if not looking:
            return True
        await asyncio.sleep(0.2)
    return False
