"""How the database is, for whoever is asked by support: looked at in one transaction that cannot write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import URL, text
from sqlalchemy.engine import Connection as Open
from sqlalchemy.engine import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from gateway import clock
from gateway.errors import ConfigError, Unavailable
from gateway.settings import Settings
from gateway.status import ConnectionState
from gateway.store.database import APP_ROLE, DatabaseError, database_url, embedded_url, head, is_lost, knows
from gateway.store.embedded import SETTINGS, Embedded
from gateway.store.states import STATES

OLDEST = 15
"""PostgreSQL's version from which on everything works."""
_PATIENCE = 5
_OPTIONS = "-c default_transaction_read_only=on -c statement_timeout=30000 -c timezone=UTC"
OPEN_TABLES = {"client", "first_link"}
"""What has a district and no policy, on purpose: it is asked before the district is known, and holds hashes."""


@dataclass(frozen=True)
class Content:
    """What the tables say; times are the database's. `late_schedules` have been due for longer than five minutes.
    `sealed` is one secret at rest, to try the keys on."""

    states: Sequence[ConnectionState]
    workers: int
    last_heard: datetime | None
    late_schedules: int
    last_retention: datetime | None
    ending: Sequence[tuple[str, str, date]]
    """District, connection, the day on which its credentials end: those of the next thirty days."""
    channels: Mapping[str, int]
    last_backup: datetime | None
    purges: frozenset[str]
    sealed: bytes | None


@dataclass(frozen=True)
class Condition:
    """`content` is None where the schema is not this program's. `app_role` is what is wrong with the role that
    works for one district, or empty."""

    version: int
    server: str
    clock_ahead: timedelta
    """Of this machine's clock."""
    schema: str | None
    schema_known: bool
    schema_fits: bool
    app_role: str
    tables_without_policy: Sequence[str]
    unsafe: Mapping[str, str]
    """Settings that risk what was written, as they are."""
    differing: Mapping[str, tuple[str, str]]
    """Of an embedded server: settings that are not as we write them, as (found, ours)."""
    content: Content | None


def read(settings: Settings) -> Condition:
    """Look, and start and change nothing. ConfigError where there is no database to look at, Unavailable where it
    does not answer or refuses us."""
    embedded = settings.database_url is None
    url = _running(settings) if embedded else database_url(settings)
    options = {"options": _OPTIONS, "connect_timeout": _PATIENCE}
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=options)
    try:
        with engine.connect() as c:
            return _read(c, embedded, settings.takeover_seconds)
    except DBAPIError as error:
        raise _explained(error, url) from None
    finally:
        engine.dispose()


def _running(settings: Settings) -> URL:
    server = Embedded(settings.home / "postgres")
    try:
        if not (server.home / "cluster").exists():
            raise ConfigError(
                "embedded-missing", "There is no database yet.", "The first start makes it: planbridge up"
            )
        if not server.running():
            raise ConfigError("embedded-stopped", "The embedded database does not run.", "Start it: planbridge up")
        return embedded_url(server)
    except OSError:
        raise ConfigError(
            "embedded-foreign",
            "The embedded database belongs to another account.",
            "Run as the account that Planbridge runs under.",
        ) from None


def _explained(error: DatabaseError, url: URL) -> Unavailable:
    if not is_lost(error):
        return Unavailable(
            "database-unreadable",
            "The database answers, and does not let us read what is ours.",
            "Connect as the owner of the database.",
        )
    said = str(error.orig).lower()
    if "authentication failed" in said or "no password supplied" in said or "does not exist" in said:
        return Unavailable(
            "database-refused",
            f"The database server at {url.host or 'the configured address'} answers, and refuses the user or the "
            "database.",
            "Check user, password and name of the database in PLANBRIDGE_DATABASE_URL.",
        )
    return Unavailable(
        "database-unreachable",
        f"The database at {url.host or 'the configured address'} cannot be reached.",
        "Check PLANBRIDGE_DATABASE_URL and that the server runs.",
    )


def _read(c: Open, embedded: bool, takeover_seconds: float) -> Condition:
    began = clock.now()
    theirs: datetime = c.execute(text("SELECT clock_timestamp()")).scalar_one()
    ahead = theirs - (began + (clock.now() - began) / 2)
    number = int(c.execute(text("SELECT current_setting('server_version_num')")).scalar_one())
    server = str(c.execute(text("SELECT current_setting('server_version')")).scalar_one())
    schema = None
    if c.execute(text("SELECT to_regclass('alembic_version')")).scalar_one() is not None:
        schema = c.execute(text("SELECT version_num FROM alembic_version")).scalar()
    fits = schema is not None and schema == head()
    return Condition(
        version=number // 10_000,
        server=server,
        clock_ahead=ahead,
        schema=schema,
        schema_known=knows(schema),
        schema_fits=fits,
        app_role=_wrong_with_role(c),
        tables_without_policy=_without_policy(c),
        unsafe={
            name: found
            for name in ("fsync", "full_page_writes", "synchronous_commit")
            if (found := _setting(c, name)) == "off"
        },
        differing={
            name: (found, ours)
            for name, ours in (SETTINGS if embedded else {}).items()
            if (found := _setting(c, name)) != ours
        },
        content=_content(c, takeover_seconds) if fits else None,
    )


def _setting(c: Open, name: str) -> str:
    return str(c.execute(text("SELECT current_setting(:name)"), {"name": name}).scalar_one())


def _wrong_with_role(c: Open) -> str:
    role = c.execute(
        text(
            "SELECT rolsuper OR rolbypassrls AS above, rolcreatedb OR rolcreaterole AS makes, "
            "pg_has_role(current_user, oid, 'MEMBER') AS ours, "
            "EXISTS (SELECT FROM pg_class k WHERE k.relowner = r.oid AND k.relkind = 'r') AS owns "
            "FROM pg_roles r WHERE rolname = :role"
        ),
        {"role": APP_ROLE},
    ).one_or_none()
    if role is None:
        return "it is not there"
    if role.above:
        return "it may pass over row-level security"
    if role.owns:
        return "it owns tables, and an owner passes over row-level security"
    if role.makes:
        return "it may make roles or databases"
    return "" if role.ours else "our user may not act as it"


def _without_policy(c: Open) -> list[str]:
    rows = c.execute(
        text(
            "SELECT k.relname FROM pg_class k JOIN pg_attribute a ON a.attrelid = k.oid AND a.attname = 'district_id' "
            "WHERE k.relkind = 'r' AND k.relnamespace = to_regnamespace('public') AND NOT k.relrowsecurity ORDER BY 1"
        )
    )
    return [name for name in rows.scalars() if name not in OPEN_TABLES]


def _content(c: Open, takeover_seconds: float) -> Content:
    one: dict[str, Any] = dict(
        c.execute(
            text(
                "SELECT (SELECT count(*) FROM procrastinate_workers "
                "        WHERE last_heartbeat > now() - make_interval(secs => :alive)) AS workers, "
                "  (SELECT max(last_heartbeat) FROM procrastinate_workers) AS last_heard, "
                "  (SELECT count(*) FROM schedule s JOIN connection n ON n.id = s.connection_id "
                "        JOIN district d ON d.id = n.district_id WHERE s.enabled AND d.suspended_at IS NULL "
                "        AND s.next_due_at < now() - interval '5 minutes') AS late_schedules, "
                "  (SELECT max(at) FROM retention_pass) AS last_retention, "
                "  (SELECT max(at) FROM act WHERE act = 'backup') AS last_backup, "
                "  (SELECT sealed_secrets FROM connection ORDER BY id DESC LIMIT 1) AS sealed"
            ),
            {"alive": takeover_seconds},
        )
        .mappings()
        .one()
    )
    ending = c.execute(
        text(
            "SELECT d.name AS district, n.name, n.secret_ends "
            "FROM connection n JOIN district d ON d.id = n.district_id "
            "WHERE n.secret_ends <= CURRENT_DATE + 30 ORDER BY 3, 1, 2"
        )
    )
    channels = c.execute(text("SELECT kind, count(*) FROM channel GROUP BY kind"))
    purges = c.execute(text("SELECT CAST(id AS text) FROM purge"))
    return Content(
        states=[ConnectionState(**row) for row in c.execute(STATES, {"district": None}).mappings()],
        ending=[(row.district, row.name, row.secret_ends) for row in ending],
        channels={str(kind): int(count) for kind, count in channels},
        purges=frozenset(purges.scalars()),
        **one,
    )
