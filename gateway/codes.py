"""The codes of a connection: what is shipped, a district's own lines over it, its overrides; what may be chosen."""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from gateway import overrides, registry
from gateway.connector import Connector, Resource
from gateway.errors import ConfigError
from gateway.mapping import OUTWARD, Crosswalks, Mapping, Statement, row
from gateway.overrides import Override, Overriding
from gateway.payload import Edge, edge
from gateway.store import codes as stored
from gateway.store.codes import Line
from gateway.store.database import Transaction
from gateway.store.registers import Connection

Reading = Callable[[Any, bytes | str, Crosswalks], Iterable[Statement]]


class Proposal(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What to suppose: lines laid over the present ones, and overrides in place of the present ones."""

    lines: tuple[Line, ...] = ()
    overrides: tuple[Override, ...] | None = None


@dataclass(frozen=True)
class Codes:
    """By what a connection's records are mapped, besides the mapping's own functions."""

    mapping: Mapping
    crosswalks: Crosswalks
    overrides: tuple[Override, ...]

    @property
    def fingerprint(self) -> str:
        """Changes whenever records have to be mapped again."""
        made = f"{self.mapping.name}@{self.mapping.version}+{self.crosswalks.fingerprint()}"
        if self.overrides:
            made += f"+{hashlib.sha256(overrides.fingerprint(self.overrides).encode()).hexdigest()[:8]}"
        return made

    def edge(self, resource: Resource) -> Edge:
        """What of a record of this collection is kept, and what counts as a change."""
        return edge(resource, self.fingerprint, overrides.named_members(self.overrides, resource))

    def reading(self, resource: Resource) -> Reading:
        """What a record of this collection states: a function of the wire record, what is kept of it, and the tables,
        which count what they miss."""
        to_claims = self.mapping.inbound[resource.wire]
        overriding = Overriding(self.overrides, resource.name)
        if not overriding:
            return lambda wire, kept, tables: to_claims(wire, tables)
        return lambda wire, kept, tables: overriding.apply(to_claims(wire, tables), kept, tables)


async def opened(c: Transaction, connection: Connection, suppose: Proposal | None = None) -> Codes:
    """The one place where the codes of a connection come from; with `suppose`, as they would be."""
    mapping = registry.mapping(connection.connector)
    lines = await stored.lines(c, mapping.name)
    own = tuple(await stored.overrides(c, connection.id))
    if suppose is not None:
        lines = laid_over(lines, suppose.lines)
        own = own if suppose.overrides is None else suppose.overrides
    return Codes(mapping, merged(mapping, lines), own)


def laid_over(lines: Iterable[Line], newer: Iterable[Line]) -> list[Line]:
    """The lines that hold when newer ones come: of each place the last, unless it takes the place back."""
    latest = {(one.table, one.source): one for one in (*lines, *newer)}
    return [one for one in latest.values() if one.match is not None]


def merged(mapping: Mapping, lines: Iterable[Line]) -> Crosswalks:
    """What is shipped with a district's own lines over it. A table that the mapping has no more is left out."""
    shipped = mapping.codes()
    known = [one for one in lines if one.table in shipped.tables]
    return shipped.with_own(
        (
            (one.table, row(one.source, one.target, one.match or "", one.note))
            for one in known
            if one.source is not None
        ),
        {one.table: one.target for one in known if one.source is None},
    )


def mapping_named(name: str) -> Mapping:
    """A mapping by its name. ConfigError says which there are."""
    if name not in registry.names():
        raise ConfigError(
            "crosswalk-unknown", f"There is no mapping {name!r}.", f"Choose one of: {', '.join(registry.names())}."
        )
    return registry.mapping(name)


def check_line(mapping: Mapping, line: Line) -> None:
    """ConfigError unless the line fits its table: a target that the table can have, and no contradiction."""
    tables = mapping.codes().tables
    if line.table not in tables:
        raise ConfigError(
            "crosswalk-unknown",
            f"{mapping.name} has no crosswalk {line.table!r}.",
            f"Its crosswalks are: {', '.join(tables)}.",
        )
    if line.match is None:
        return
    row(line.source or "", line.target, line.match)
    if line.table.startswith(OUTWARD):
        _check_outward(mapping, line, sorted(tables[line.table]))
        return
    words = targets(mapping, line.table)
    if line.match != "none" and line.target not in words:
        raise ConfigError(
            "crosswalk-target",
            f"{line.target!r} is not a word that {line.table} may have.",
            f"Choose one of: {', '.join(words)}.",
        )
    if line.source is None and line.match == "none":
        raise ConfigError(
            "crosswalk-target", f"The default of {line.table} needs a target.", f"Choose one of: {', '.join(words)}."
        )


def targets(mapping: Mapping, table: str) -> list[str]:
    """The words of the common schema that a table leads to."""
    return sorted({line.target for line in mapping.codes().tables[table].values() if line.target})


def _check_outward(mapping: Mapping, line: Line, words: Sequence[str]) -> None:
    """Outwards the common schema's words stand on the left and are all known; codes on the right are the target's."""
    if line.source not in words:
        raise ConfigError(
            "crosswalk-source",
            f"{line.source!r} is not a word that {line.table} translates." if line.source is not None
            else f"{line.table} lists every word there is, so a default would never be used.",
            f"Its words are: {', '.join(words)}.",
        )  # fmt: skip
    if line.target and not re.fullmatch(mapping.outward, line.target):
        raise ConfigError(
            "crosswalk-target",
            f"{line.target!r} does not look like a code of {mapping.name}.",
            f"It looks like this regular expression says: {mapping.outward}",
        )


def check_overrides(connector: Connector, wanted: Iterable[Override]) -> None:
    """ConfigError when an override names what there is not, or two read the same field."""
    tables = registry.mapping(connector.name).codes().tables
    seen = set()
    for one in wanted:
        overrides.check(one, connector.resources, tables)
        place = one.collection, one.kind, one.field
        if place in seen:
            raise ConfigError(
                "override-invalid",
                f"Two overrides read {one.place} from {one.collection}.",
                "One expression can say which comes first: a || b.",
            )
        seen.add(place)


def as_read(connection: Connection) -> dict[str, Resource]:
    """The connection's collections as its last pull read them, by name."""
    wires = {wire.__name__: wire for wire in registry.mapping(connection.connector).inbound}
    return {
        resource.name: replace(resource, wire=wires.get(connection.wires.get(resource.name, ""), resource.wire))
        for resource in registry.connector(connection.connector).resources
    }
