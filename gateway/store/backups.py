"""Backups: a dump of the whole database and a manifest beside it, and the way back."""

import asyncio
import hashlib
import os
import shutil
import subprocess
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import msgspec
import psycopg
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection

import gateway
from gateway import clock
from gateway.errors import ConfigError, Refused
from gateway.settings import Settings
from gateway.store import events, remembering
from gateway.store.database import APP_ROLE, Store, knows
from gateway.store.embedded import programs


class Manifest(msgspec.Struct, frozen=True):
    """What a dump is: of which schema, made by what, with how many rows, and the hash of its bytes."""

    made_at: datetime
    program: str
    schema: str
    server: str
    sha256: str
    bytes: int
    rows: dict[str, int]


def manifest_of(file: Path) -> Path:
    """The manifest stands beside the dump and goes where it goes."""
    return file.with_name(file.name + ".json")


async def backup(store: Store, file: Path) -> Manifest:
    """Write the whole database, every district of it, into `file`: a dump as pg_dump makes it, compressed.

    Secrets in it stay sealed: whoever has the dump alone cannot use them. Everything else in it is plain. Nothing
    stands under the name before it is whole. ConfigError when the file is there or cannot be written.
    """
    draft = _begun(file)
    try:
        async with store.owner.connect() as connection:
            c = await connection.execution_options(isolation_level="REPEATABLE READ")
            await c.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            snapshot = await c.scalar(text("SELECT pg_export_snapshot()"))
            schema, server, rows = await _contents(c)
            await asyncio.to_thread(_dump, store.url, draft, str(snapshot))
        manifest = Manifest(
            clock.now(), gateway.__version__, schema, server, *await asyncio.to_thread(_hashed, draft), rows
        )
        beside = manifest_of(file)
        beside.touch(0o600)
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        draft.rename(file)
    finally:
        draft.unlink(missing_ok=True)
    return manifest


def _begun(file: Path) -> Path:
    """An empty file that only we can read, beside the place that the whole one will take."""
    if file.exists() or manifest_of(file).exists():
        raise ConfigError("backup-exists", f"{file} is there already.", "Choose another name: none is replaced.")
    draft = file.with_name(file.name + ".draft")
    try:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    except OSError as error:
        raise ConfigError("file-unwritable", f"{file} cannot be written: {error.strerror}.", "Correct it.") from None
    return draft


async def _contents(c: AsyncConnection) -> tuple[str, str, dict[str, int]]:
    """Schema version, server version, rows per table."""
    schema = await c.scalar(text("SELECT version_num FROM alembic_version"))
    server = await c.scalar(text("SELECT current_setting('server_version')"))
    return str(schema), str(server), {table: await _count(c, table) for table in await _tables(c)}


async def _tables(c: AsyncConnection) -> list[str]:
    rows = await c.execute(
        text("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1")
    )
    return list(rows.scalars())


async def _count(c: AsyncConnection, table: str) -> int:
    return int(str(await c.scalar(text(f"SELECT count(*) FROM {table}"))))


def _dump(url: URL, draft: Path, snapshot: str) -> None:
    done = subprocess.run(  # noqa: S603 our own program
        [str(programs() / "pg_dump"), "--format=custom", "--no-owner", f"--snapshot={snapshot}", f"--file={draft}"],
        env=_environment(url),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise ConfigError("backup-failed", f"pg_dump gave up: {done.stderr.strip()[-400:]}", "Mend it and try again.")


def _environment(url: URL) -> dict[str, str]:
    """How libpq learns where to connect: not from the command line, which other users of the machine can read."""
    query = {name: value for name, value in url.query.items() if isinstance(value, str)}
    given = {
        "PGHOST": url.host or query.pop("host", None),
        "PGPORT": str(url.port or query.pop("port", "") or "") or None,
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
        **{f"PG{name.upper()}": value for name, value in query.items() if name.startswith("ssl")},
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {name: str(value) for name, value in given.items() if value} | {"LC_ALL": "C"}


def _hashed(file: Path) -> tuple[str, int]:
    with file.open("rb") as dump:
        os.fsync(dump.fileno())
        return hashlib.file_digest(dump, "sha256").hexdigest(), file.stat().st_size


async def inspect(file: Path) -> Manifest:
    """The manifest of a backup that can be restored here: whole, as it was written, of a schema this program knows."""
    try:
        manifest = msgspec.json.decode(manifest_of(file).read_bytes(), type=Manifest)
        found = await asyncio.to_thread(_hashed, file)
    except (OSError, msgspec.MsgspecError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no manifest of ours"
        raise ConfigError(
            "backup-incomplete",
            f"{file} and {manifest_of(file).name} cannot be read together: {why}.",
            "Bring both files, as the backup wrote them.",
        ) from None
    if found != (manifest.sha256, manifest.bytes):
        raise ConfigError(
            "backup-damaged",
            f"{file} is not what its manifest says was written.",
            "Use another backup, or copy it again.",
        )
    if not knows(manifest.schema):
        raise ConfigError(
            "backup-newer",
            f"{file} has schema version {manifest.schema}, which this program does not know.",
            "Restore it with the version of Planbridge that made it, or a newer one.",
        )
    return manifest


async def restore(settings: Settings, file: Path, *, replace: bool = False) -> tuple[Store, Manifest]:
    """Put a backup into the database that the settings name, and open it: brought up to date, and purged again of
    whom the file of purges knows.

    All or nothing: when it fails, what was there is there. Refused unless the database is empty or is to be
    replaced, and while anybody else is connected to it.
    """
    manifest = await inspect(file)
    present = await Store.reach(settings)
    await asyncio.to_thread(_refuse_unless_free, present.url, replace)
    await remembering.copy_out(present)
    await present.close()
    await asyncio.to_thread(_load, present.url, file)
    store = await Store.open(settings)
    async with store.owner.begin() as c:
        for table in _OPENS:
            await c.execute(text(f"DELETE FROM {table}"))
        for table in _LINKS:
            await c.execute(text(f"DELETE FROM {table} WHERE used_at IS NULL"))
        await events.begin_anew(c)
        # Whoever reads what is served saw what came after this backup; all of it may be another now.
        await c.execute(text("UPDATE projection SET xid = '0', seq = 0, again = true, restamp = true"))
    return store, manifest


_OPENS = (
    "client_token", "refresh_token", "authorization_code", "session", "sign_in_begun", "lti_login", "lti_session",
)  # fmt: skip
_LINKS = ("first_link", "account_link", "lti_invitation")
"""What lets somebody in and may have been ended, or used, since the backup was made: nobody can know."""


def _refuse_unless_free(url: URL, replace: bool) -> None:
    with _connected(url) as c:
        [others] = _one(c, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                           "AND pid <> pg_backend_pid() AND backend_type = 'client backend'")  # fmt: skip
        [tables] = _one(
            c, "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('public') AND relkind = 'r'"
        )
        if others:
            raise Refused(
                "database-in-use", f"{others} others are connected to the database.", "Stop every worker and API first."
            )
        if tables and not replace:
            raise Refused(
                "database-not-empty", "There is a database already.", "Add --replace to give it up for the backup."
            )
        c.execute(_ROLE.encode())


def _connected(url: URL) -> "psycopg.Connection[Any]":
    return psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True)


def _one(c: "psycopg.Connection[Any]", query: str) -> tuple[Any, ...]:
    found = c.execute(query.encode()).fetchone()
    assert found is not None
    return tuple(found)


# A dump names the role and does not make it.
_ROLE = f"""
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{APP_ROLE}') THEN
        CREATE ROLE {APP_ROLE} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
    END IF;
    EXECUTE format('GRANT {APP_ROLE} TO %I', current_user);
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO {APP_ROLE}', current_database());
END $$;
"""
_BEFORE = b"""
BEGIN;
DROP SCHEMA IF EXISTS public CASCADE;
CREATE SCHEMA public;
GRANT USAGE ON SCHEMA public TO PUBLIC;
"""
_AFTER = b"""
COMMIT;
ANALYZE;
"""


def _load(url: URL, file: Path) -> None:
    """pg_restore turns the dump into SQL, psql carries it out in one transaction."""
    reader = [str(programs() / "pg_restore"), "--no-owner", "--file=-", str(file)]
    writer = [str(programs() / "psql"), "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1"]
    writer += ["-v", "VERBOSITY=sqlstate"]  # what psql says of an error may quote a row; its code does not
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with (
        subprocess.Popen(reader, stdin=nothing, stdout=pipe, stderr=nothing) as reading,  # noqa: S603 our own program
        subprocess.Popen(  # noqa: S603 our own program
            writer, env=_environment(url), stdin=pipe, stdout=nothing, stderr=pipe
        ) as writing,
    ):
        assert reading.stdout and writing.stdin and writing.stderr
        with suppress(BrokenPipeError):
            writing.stdin.write(_BEFORE)
            _copy(reading.stdout, writing.stdin)
            if reading.wait() == 0:  # else psql ends without COMMIT
                writing.stdin.write(_AFTER)
        with suppress(BrokenPipeError):
            writing.stdin.close()
        said = writing.stderr.read().decode(errors="replace").strip()
    if writing.returncode != 0 or reading.returncode != 0:
        raise ConfigError(
            "restore-failed",
            f"The backup could not be put into the database: {said[-400:] or 'the dump cannot be read'}.",
            "Nothing was changed. Restore into an empty database of PostgreSQL 15 or newer that you own.",
        )


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    """All of it, but for a setting that servers before 17 do not know."""
    for line in source:
        if line.startswith(b"SET transaction_timeout"):
            continue
        target.write(line)
        if line.startswith(b"SELECT pg_catalog.set_config('search_path'"):
            break
    shutil.copyfileobj(source, target, 1 << 20)
