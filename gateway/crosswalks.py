"""What people do with code tables and overrides: choose, undo, see the effect; and which records that concerns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway import codes, jobs, registry
from gateway.codes import Codes, Proposal
from gateway.errors import ConfigError, Refused
from gateway.overrides import Override
from gateway.replay import Wanted
from gateway.store import codes as stored
from gateway.store import payloads, registers
from gateway.store.codes import Line
from gateway.store.database import Store, Transaction
from gateway.store.payloads import Selection
from gateway.store.registers import Actor, Connection
from gateway.store.runs import Mode


async def choose(store: Store, district: int, name: str, wanted: Sequence[Line], actor: Actor) -> int | None:
    """Keep lines of a district's own; returns the number of the change, None where nothing changes.

    ConfigError where a line does not fit its table, or takes back what is not there.
    """
    mapping = codes.mapping_named(name)
    for line in wanted:
        codes.check_line(mapping, line)
    async with store.transaction(district) as c:
        present = {(one.table, one.source): one for one in await stored.lines(c, mapping.name)}
        new = [line for line in wanted if present.get((line.table, line.source)) != line]
        for line in new:
            if line.match is None and (line.table, line.source) not in present:
                raise ConfigError(
                    "crosswalk-no-line",
                    f"The district has no line of its own for {line.source!r} in {line.table}."
                    if line.source is not None
                    else f"The district has set no default for {line.table}.",
                    f"`planbridge crosswalks list {mapping.name}` shows its lines.",
                )
        return await stored.change(c, district, mapping.name, new, actor) if new else None


async def undo(store: Store, district: int, number: int | None, actor: Actor) -> tuple[int, str]:
    """Undo a change, else the newest that stands; returns its number and its mapping."""
    async with store.transaction(district) as c:
        undone, mapping, lines = await stored.reverse(c, number)
        await stored.change(c, district, mapping, lines, actor, undoes=undone)
        return undone, mapping


async def set_overrides(store: Store, district: int, name: str, wanted: Iterable[Override], actor: Actor) -> bool:
    """Make these a connection's overrides, and no others; False where they were so before."""
    connection = await registers.connection(store, district, name)
    wanted = sorted(wanted, key=lambda one: (one.collection, one.kind, one.field))
    codes.check_overrides(registry.connector(connection.connector), wanted)
    async with store.transaction(district) as c:
        if await stored.overrides(c, connection.id) == wanted:
            return False
        await stored.set_overrides(c, district, connection.id, wanted, actor)
        return True


async def add_override(store: Store, district: int, name: str, one: Override, actor: Actor) -> bool:
    """Set one override of a connection, in place of one that reads the same field."""
    return await set_overrides(store, district, name, [*await _others(store, district, name, one), one], actor)


async def remove_override(store: Store, district: int, name: str, one: Override, actor: Actor) -> None:
    """Take one override back; of `one` only the place counts. ConfigError when there is none."""
    others = await _others(store, district, name, one)
    if not await set_overrides(store, district, name, others, actor):
        raise ConfigError(
            "override-unknown",
            f"{name} has no override of {one.place} in {one.collection}.",
            f"`planbridge overrides list {name}` shows them.",
        )


async def _others(store: Store, district: int, name: str, one: Override) -> list[Override]:
    connection = await registers.connection(store, district, name)
    async with store.transaction(district) as c:
        present = await stored.overrides(c, connection.id)
    return [other for other in present if (other.collection, other.place) != (one.collection, one.place)]


@dataclass(frozen=True)
class Concern:
    """How many stored records and rejects of a connection would be read differently; `everything`: it may be any."""

    connection: str
    records: int
    rejects: int
    everything: bool


async def concerns(store: Store, district: int, name: str, lines: Sequence[Line]) -> list[Concern]:
    """Whom lines concern that are about to be kept; connections that they do not concern are left out."""
    found = []
    for connection in await registers.connections(store, district):
        if connection.connector == name:
            async with store.transaction(district) as c:
                selection = await concerned(c, connection, Proposal(lines=tuple(lines)))
                meant = await payloads.extent(c, connection.id, selection)
            if meant:
                records, rejects = sum(one.records for one in meant), sum(one.rejects for one in meant)
                found.append(Concern(connection.name, records, rejects, selection.everything))
    return found


async def preview(store: Store, district: int, name: str, lines: Sequence[Line], actor: Actor) -> list[int]:
    """Say what these lines would do to what is published: a run that only compares, for each connection whose records
    they concern. Refused where they concern none."""
    mapping = codes.mapping_named(name)
    for line in lines:
        codes.check_line(mapping, line)
    suppose = Proposal(lines=tuple(lines))
    readers = [one for one in await registers.connections(store, district) if one.connector == mapping.name]
    return await _previewed(store, readers, suppose, actor)


async def preview_override(store: Store, district: int, name: str, one: Override, actor: Actor) -> list[int]:
    """The same for an override of a connection."""
    connection = await registers.connection(store, district, name)
    wanted = [*await _others(store, district, name, one), one]
    codes.check_overrides(registry.connector(connection.connector), wanted)
    return await _previewed(store, [connection], Proposal(overrides=tuple(wanted)), actor)


async def _previewed(store: Store, readers: Sequence[Connection], suppose: Proposal, actor: Actor) -> list[int]:
    runs = []
    for connection in readers:
        async with store.transaction(connection.district) as c:
            selection = await concerned(c, connection, suppose)
        if selection != Selection():
            wanted = Wanted(selection, suppose)
            runs.append(await jobs.request_replay(store, connection, wanted, actor, mode="dry"))
    if not runs:
        raise Refused(
            "nothing-to-replay",
            "No stored record would be read differently.",
            "`planbridge crosswalks unmapped` shows which codes records have and no table knows.",
        )
    return runs


async def replay(
    store: Store, district: int, name: str, actor: Actor, *, everything: bool = False, mode: Mode = "publish"
) -> int:
    """Read again what had no word, or a default, and would not now; or everything that is stored of a connection."""
    connection = await registers.connection(store, district, name)
    async with store.transaction(district) as c:
        selection = Selection(everything=True) if everything else await answered(c, connection)
    return await jobs.request_replay(store, connection, Wanted(selection), actor, mode=mode)


async def concerned(c: Transaction, connection: Connection, suppose: Proposal) -> Selection:
    """What of a connection's records and rejects would be read differently. Where a code that is known already changes,
    nobody has noted who has it, and it may be any record."""
    now, then = await codes.opened(c, connection), await codes.opened(c, connection, suppose)
    if then.fingerprint == now.fingerprint:
        return Selection()
    if any(_known(now, line) for line in suppose.lines):
        return Selection(everything=True)
    touched = {one.collection for one in set(now.overrides) ^ set(then.overrides)}
    return Selection(codes=tuple(await _answered(c, connection, then)), collections=tuple(sorted(touched)))


def _known(now: Codes, line: Line) -> bool:
    table = now.crosswalks.tables.get(line.table, {})
    return line.source is not None and line.source in table


async def answered(c: Transaction, connection: Connection) -> Selection:
    """Whatever had no word, or took a default, when it was mapped, and would not now."""
    return Selection(codes=tuple(await _answered(c, connection, await codes.opened(c, connection))))


async def _answered(c: Transaction, connection: Connection, then: Codes) -> list[tuple[str, str]]:
    return [
        (one["place"], one["code"])
        for one in await stored.missed(c, connection.id)
        if one["why"] != "override" and _differs(then, one)
    ]


def _differs(then: Codes, missed: dict[str, Any]) -> bool:
    table, tables = missed["place"], then.crosswalks
    if table not in tables.tables:
        return False
    default = tables.defaults.get(table, "")
    return tables.find(table, missed["code"]) is not None or default != missed["word"]
