"""The database: who connects as whom, and the one transaction function that names the district."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import msgspec
import psycopg
from psycopg.rows import namedtuple_row
from psycopg.types.json import set_json_loads
from sqlalchemy import URL, Connection, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.errors import ConfigError, Unavailable
from gateway.settings import Settings
from gateway.store.embedded import Embedded
from gateway.store.marks import Marks
from gateway.store.purge_file import PurgeFile
from gateway.store.secrets import Secrets

set_json_loads(msgspec.json.decode)  # twice as fast as the standard library's, and claims are JSON

DatabaseError = DBAPIError
Transaction = AsyncConnection
"""One transaction of one district; only the store knows what it is made of."""

Ask = tuple[str, Mapping[str, Any]]
"""A statement with its values, named by colons."""

_NAMED = "set_config('planbridge.district', :district, true)"
STEADY = "pg_advisory_xact_lock_shared(hashtext('planbridge.served'), CAST(:district AS int))"

APP_ROLE = "planbridge_app"
IDLE_LIMIT_MS = 60_000
"""A worker that was stopped inside a transaction loses it after this, so that a successor can go on."""


class Store:
    """The database, open. `engine` acts as planbridge_app (row-level security holds), `owner` as the owner.
    `address` is where the API is reached, and so what access tokens name as their issuer."""

    def __init__(self, url: URL, secrets: Secrets, purges: PurgeFile, address: str = "") -> None:
        self.url = url
        self.address = address
        self.secrets = secrets
        self.marks = Marks(secrets)
        self.purges = purges
        self.engine = _engine(url, as_app=True)
        self.owner = _engine(url, as_app=False)

    @classmethod
    async def open(cls, settings: Settings) -> "Store":
        """Start the embedded server unless a database is named; refuse a schema this program does not know, and
        purge again whom a restored database forgot to be purged."""
        store = await cls.reach(settings)
        await asyncio.to_thread(migrate, store.url)
        from gateway.store.remembering import catch_up  # it works on a store

        await catch_up(store)
        return store

    @classmethod
    async def reach(cls, settings: Settings) -> "Store":
        """The database as it is: of whatever schema, or empty."""
        url = await asyncio.to_thread(database_url, settings)
        keys = settings.keys.get_secret_value() if settings.keys else None
        purges = PurgeFile(settings.purges or settings.home / "purges.jsonl")
        return cls(url, Secrets.load(keys, settings.home), purges, settings.address)

    @asynccontextmanager
    async def transaction(self, district: int | None = None) -> AsyncIterator[AsyncConnection]:
        """One transaction that sees this district's rows only; without a district, none of any."""
        async with self.engine.begin() as connection:
            await connection.execute(
                text("SELECT set_config('planbridge.district', :district, true)"),
                {"district": "" if district is None else str(district)},
            )
            yield connection

    @asynccontextmanager
    async def begun(
        self, district: int, *asked: Ask, steady: bool = False
    ) -> AsyncIterator[tuple[AsyncConnection, list[list[Any]]]]:
        """A transaction of a district that begins with these statements, all in one round trip; their rows. `steady`:
        what is served does not change until it ends."""
        async with self.engine.begin() as connection:
            name = f"SELECT {_NAMED}, {STEADY}" if steady else f"SELECT {_NAMED}"
            _, *found = await together(connection, (name, {"district": str(district)}), *asked)
            yield connection, found

    async def fits(self) -> bool:
        """Whether the database has this program's schema: a newer program may have changed it since it was opened."""
        async with self.transaction() as c:
            return bool(await c.scalar(text("SELECT version_num = :head FROM alembic_version"), {"head": head()}))

    async def refuse_other_schema(self) -> None:
        """ConfigError once another version of the program has changed the database: this one may do nothing more."""
        if not await self.fits():
            raise ConfigError(
                "schema-changed",
                "Another version of Planbridge has changed the database.",
                "Start this process again with that version.",
            )

    async def until_other_schema(self, every: float) -> None:
        """Returns never; raises ConfigError when that happens. A database that does not answer says nothing."""
        while True:
            with suppress(DatabaseError):
                await self.refuse_other_schema()
            await asyncio.sleep(every)

    async def close(self) -> None:
        await self.engine.dispose()
        await self.owner.dispose()


def database_url(settings: Settings) -> URL:
    """The URL to connect to; starts the embedded server where none is configured. ConfigError for what is no URL."""
    if settings.database_url is not None:
        try:
            return make_url(settings.database_url.get_secret_value()).set(drivername="postgresql+psycopg")
        except (ValueError, ArgumentError):  # their text repeats what was given, and with it the password
            raise ConfigError(
                "database-url-invalid",
                "PLANBRIDGE_DATABASE_URL is no address of a database.",
                "Write it as postgresql://user:password@host:5432/database.",
            ) from None
    server = Embedded(settings.home / "postgres")
    server.start(shared_buffers=settings.shared_buffers)
    return embedded_url(server)


def embedded_url(server: Embedded) -> URL:
    """Where a server that runs is reached as its owner."""
    return make_url(server.url).set(drivername="postgresql+psycopg", password=server.password)


def is_lost(error: DatabaseError) -> bool:
    """Whether the database went away, rather than refused a statement."""
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def is_outrun(error: DatabaseError) -> bool:
    """Whether somebody else changed the same rows meanwhile. # PostgreSQL 18 appendix A: 40001 serialization_failure"""
    return getattr(error.orig, "sqlstate", None) == "40001"


def is_late(error: DatabaseError) -> bool:
    """Whether a lock was not to be had in the time set for it. # PostgreSQL 18 appendix A: 55P03 lock_not_available"""
    return getattr(error.orig, "sqlstate", None) == "55P03"


def is_full(error: DatabaseError) -> bool:
    """Whether the database has no room on its disk. # PostgreSQL 18 appendix A: 53100 disk_full"""
    return getattr(error.orig, "sqlstate", None) == "53100"


async def try_room(store: Store) -> None:
    """Raise what a full disk raises, where it is: a few megabytes are spilt to a temporary file of the server."""
    async with store.transaction() as c:
        await c.execute(text("SET LOCAL work_mem = '64kB'"))
        await c.execute(text("SELECT count(*) FROM generate_series(1, 200000)"))


def explained(error: DatabaseError) -> Unavailable | None:
    """What to tell whoever asked while the database is full or gone; None where it refused a statement of ours."""
    if is_full(error):
        return Unavailable(
            "disk-full",
            "The disk of the database is full, so nothing of this was stored.",
            "Make room, then try again.",
        )
    if is_lost(error):
        return Unavailable(
            "database-unreachable", "The database does not answer.", "Check that its server runs, then try again."
        )
    return None


async def raw(connection: AsyncConnection) -> "psycopg.AsyncConnection[Any]":
    """The driver's own connection, for what must join this transaction (a job being deferred)."""
    return _driver(connection)


def _driver(connection: AsyncConnection) -> "psycopg.AsyncConnection[Any]":
    assert connection.sync_connection is not None
    driver = connection.sync_connection.connection.driver_connection
    assert isinstance(driver, psycopg.AsyncConnection)
    return driver


async def together(c: AsyncConnection, *asked: Ask, last: bool = False) -> list[list[Any]]:
    """Statements that do not need each other's answers, in one round trip; the rows of each. For what is asked with
    every page: it goes to the driver without the detours of what is asked now and then. A str is of no type yet and an
    int of the least that holds it: where that matters, the statement casts. `last`: the transaction ends with them, and
    what they give is not looked at."""
    driver = _driver(c)
    cursors = [driver.cursor(row_factory=_named(statement)) for statement, _ in asked]
    # A pipeline costs something by itself; a statement alone needs none.
    async with _as_ours(), driver.pipeline() if last or len(asked) > 1 else nullcontext():
        for cursor, (statement, values) in zip(cursors, asked, strict=True):
            await cursor.execute(_as_the_driver_has_it(statement), values)
        if last:
            await driver.execute("COMMIT")
    return [] if last else [await cursor.fetchall() for cursor in cursors]


@lru_cache(maxsize=1_000)
def _named(statement: str) -> Callable[[Any], Callable[[Sequence[Any]], Any]]:
    """Rows with the names of their columns, which are looked at once: what a statement gives does not change."""
    made: list[Callable[[Sequence[Any]], Any]] = []

    def factory(cursor: Any) -> Callable[[Sequence[Any]], Any]:
        if cursor.pgresult is None or not cursor.pgresult.nfields:
            return tuple
        if not made:
            made.append(namedtuple_row(cursor))
        return made[0]

    return factory


@asynccontextmanager
async def _as_ours() -> AsyncIterator[None]:
    """The driver's errors as everybody here knows them."""
    try:
        yield
    except psycopg.Error as error:
        raise DBAPIError.instance(None, None, error, psycopg.Error, hide_parameters=True) from error


def literal(values: Sequence[str]) -> str:
    """An array of texts as one value: the driver would look at each of them."""
    joined = '","'.join(values)
    if "\\" in joined or joined.count('"') > 2 * len(values) - 2:
        joined = '","'.join([one.replace("\\", "\\\\").replace('"', '\\"') for one in values])
    return '{"' + joined + '"}' if values else "{}"


@lru_cache(maxsize=1_000)
def _as_the_driver_has_it(statement: str) -> bytes:
    return re.sub(r"(?<![:\w]):(\w+)", r"%(\1)s", statement.replace("%", "%%")).encode()


def knows(schema: str | None) -> bool:
    """Whether this program can work with a database of that schema version, or bring it up to its own."""
    return schema is None or schema in _versions()


def head() -> str:
    """The schema version of this program."""
    return _versions()[-1]


@cache
def _versions() -> tuple[str, ...]:
    """Every schema version there was, the oldest first: each migration's file begins with its own."""
    names = (file.name for file in files("gateway.migrations").joinpath("versions").iterdir())
    return tuple(sorted(name.partition("_")[0] for name in names if name[:1].isdigit() and name.endswith(".py")))


def migrate(url: URL) -> None:
    """Bring the schema up to this program's version; refuse one that is newer than the program."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('planbridge.migrate'))"))
            present = None
            if connection.scalar(text("SELECT to_regclass('alembic_version')")) is not None:
                present = connection.scalar(text("SELECT version_num FROM alembic_version"))
            if not knows(present):
                raise ConfigError(
                    "schema-newer",
                    f"The database has schema version {present}, which this program does not know.",
                    "Start the newer version of Planbridge that made it.",
                )
            if present != head():
                _upgrade(connection)
    except OperationalError as error:
        raise Unavailable(
            "database-unreachable",
            f"The database at {url.host or 'the configured address'} cannot be reached.",
            "Check PLANBRIDGE_DATABASE_URL and that the server runs.",
        ) from error
    finally:
        engine.dispose()


def _upgrade(connection: Connection) -> None:
    # Imported when it is needed: with all migrations it takes 10 MB, which a worker would hold for as long as it lives.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "gateway:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _engine(url: URL, *, as_app: bool) -> AsyncEngine:
    # Where plans are steered by what they would cost, every statement looks worth compiling; it takes ten times longer.
    options = f"-c idle_in_transaction_session_timeout={IDLE_LIMIT_MS} -c timezone=UTC -c jit=off"
    if as_app:
        options += f" -c role={APP_ROLE}"
    return create_async_engine(
        url, pool_size=8, max_overflow=24, hide_parameters=True, connect_args={"options": options}
    )
