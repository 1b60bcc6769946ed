"""How results look: tables for people, JSON for machines; and the gateway a command works on."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.errors import ConfigError, PlanbridgeError
from gateway.settings import Settings
from gateway.store import registers
from gateway.store.database import Store
from gateway.store.registers import Actor

STDOUT = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)
STDERR = Console(stderr=True, soft_wrap=True)
T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
District = Annotated[str, typer.Option("--district", envvar="PLANBRIDGE_DISTRICT", help="Which district.")]
As = Annotated[str, typer.Option("--as", envvar="PLANBRIDGE_AS", help="Who does this: every act names its actor.")]
Role = Annotated[str, typer.Option("--role", help="In which role.")]
Because = Annotated[str, typer.Option("--because", "--reason", help="Why; it is kept with the act.")]
DEFAULT_DISTRICT = "default"
HELD = 7
"""Exit code of a pull that waits for a person."""


@dataclass(frozen=True)
class Gateway:
    """What a command works on."""

    store: Store
    settings: Settings
    district: int


@asynccontextmanager
async def gateway(district: str) -> AsyncIterator[Gateway]:
    """The store opened and the district found or made."""
    async with installation() as (store, settings):
        yield Gateway(store, settings, await registers.district(store, district))


@asynccontextmanager
async def installation() -> AsyncIterator[tuple[Store, Settings]]:
    """The store opened, the embedded server started if need be: for what concerns every district."""
    settings = Settings()
    store = await Store.open(settings)
    try:
        yield store, settings
    finally:
        await store.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Carry out a command's coroutine."""
    return asyncio.run(work)


def actor(name: str, role: str) -> Actor:
    return Actor(name, role)


def show(value: Any, as_json: bool, *, title: str = "", columns: Sequence[str] = (), empty: str = "Nothing.") -> None:
    """Print rows as a table, or as JSON."""
    if as_json:
        print(json.dumps(value, default=plain))
        return
    rows = value if isinstance(value, list) else [value]
    if not rows:
        STDOUT.print(empty)
        return
    columns = columns or list(rows[0])
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(escape(_cell(row.get(column))) for column in columns))
    STDOUT.print(table)


def say(about: Mapping[str, Any], as_json: bool, sentence: str) -> None:
    """Say that an act is done: people get a sentence, machines what it was done to."""
    if as_json:
        show(about, True)
    else:
        STDOUT.print(sentence, highlight=False, markup=False)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, default=plain)
    return str(value)


def plain(value: Any) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


def moment(text: str) -> datetime:
    """A date or time as typed (ISO 8601); without a zone it is meant in UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            "time-unreadable", f"{text!r} is no date or time.", "Write it as 2027-06-30 or 2027-06-30T18:00-05:00."
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def day(text: str) -> date:
    """A day as typed."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError("time-unreadable", f"{text!r} is no day.", "Write it as 2027-06-30.") from None


def error_document(error: PlanbridgeError) -> dict[str, Any]:
    """An error as machines read it."""
    return {
        "error": error.code,
        "message": error.message,
        "fix": error.fix,
        "missing": list(getattr(error, "missing", ())),
    }
