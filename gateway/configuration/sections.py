"""The parts of a configuration: each says what its part looks like, how things stand, what fits, and how it is set.

An area adds its part here, and nowhere else: to DISTRICT, or to CONNECTION for what each connection has of its own.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gateway import clock, codes, collecting, crosswalks, overrides, registry, schedules, waiting
from gateway.connector import Connector, validated
from gateway.errors import ConfigError
from gateway.guard import Guards
from gateway.mapping import Match
from gateway.overrides import Override
from gateway.store import cases, collected, deliveries, limits, registers
from gateway.store import codes as stored_codes
from gateway.store import schedules as stored_schedules
from gateway.store.codes import Line
from gateway.store.database import Store
from gateway.store.registers import Actor, Connection


@dataclass(frozen=True)
class Scope:
    """Where a part is read or set. For a part of a connection: its connector, and the connection once there is one.
    `names`: the connections that there are, or will be."""

    store: Store
    district: int
    actor: Actor
    names: frozenset[str] = frozenset()
    connector: Connector | None = None
    connection: Connection | None = None

    @property
    def kind(self) -> Connector:
        assert self.connector is not None
        return self.connector

    @property
    def there(self) -> Connection:
        assert self.connection is not None
        return self.connection


Read = Callable[[Scope], Awaitable[Any]]
Check = Callable[[Scope, Any], Any]
Apply = Callable[[Scope, Any], Awaitable[None]]


@dataclass(frozen=True)
class Section:
    """`shape` is what stands in the file, as a type for pydantic. `read` gives how things stand, as plain data; None
    where nothing was chosen. `check` gives what is wanted in the same form, or raises ConfigError; it changes nothing.
    `apply` sets what `check` gave; it is called only where that differs from what `read` gave. `partial`: what the
    file does not name stays; else it is taken back."""

    key: str
    shape: Any
    read: Read
    check: Check
    apply: Apply
    partial: bool = False


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


# --- what each connection has of its own


async def _shadow(scope: Scope) -> bool | None:
    return scope.there.shadow or None


async def _set_shadow(scope: Scope, wanted: bool | None) -> None:
    await registers.set_shadow(scope.store, scope.district, scope.there.id, bool(wanted), scope.actor)


async def _guards(scope: Scope) -> Any:
    own = await limits.own_guards(scope.store, scope.district, scope.there.id)
    return _limits(own)


def _limits(guards: Guards) -> Any:
    """Whole numbers as such: 30 and not 30.0."""
    shown = guards.model_dump(exclude_defaults=True)
    for own in shown.get("limits", {}).values():
        own |= {name: int(value) for name, value in own.items() if value == int(value)}
    return shown or None


def _checked_guards(scope: Scope, wanted: Guards) -> Any:
    return _limits(limits.checked(wanted.model_dump()))


async def _set_guards(scope: Scope, wanted: Any) -> None:
    await limits.set_guards(scope.store, scope.district, scope.there.id, wanted or {}, scope.actor)


class ScheduleFile(Strict):
    """When a connection is pulled by itself. `limit`: how long it may be silent; left out, as its cron has it."""

    cron: str
    zone: str
    jitter: str = "0s"
    window: str = ""
    limit: str = ""
    enabled: bool = True


async def _schedule(scope: Scope) -> Any:
    async with scope.store.transaction(scope.district) as c:
        found = [one for one in await stored_schedules.listed(c) if one["connection"] == scope.there.name]
    return _as_written(found[0]) if found else None


def _as_written(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "cron": found["cron"],
        "zone": found["zone"],
        "jitter": _duration(found["jitter_seconds"]),
        "window": found["window"],
        "limit": _duration(found["limit_seconds"]),
        "enabled": found["enabled"],
    }


def _checked_schedule(scope: Scope, wanted: ScheduleFile) -> Any:
    schedule = schedules.read(wanted.cron, wanted.zone, wanted.jitter, wanted.window)
    limit = schedules.duration(wanted.limit) if wanted.limit else schedule.limit(clock.today())
    return {
        "cron": schedule.cron,
        "zone": schedule.zone,
        "jitter": _duration(schedule.jitter.total_seconds()),
        "window": str(schedule.window or ""),
        "limit": _duration(limit.total_seconds()),
        "enabled": wanted.enabled,
    }


async def _set_schedule(scope: Scope, wanted: Any) -> None:
    schedule = schedules.read(wanted["cron"], wanted["zone"], wanted["jitter"], wanted["window"])
    await stored_schedules.save(scope.store, scope.there, schedule, schedules.duration(wanted["limit"]), scope.actor)
    if not wanted["enabled"]:
        await stored_schedules.switch_off(scope.store, scope.there, scope.actor)


def _duration(seconds: float) -> str:
    """As schedules.duration reads it, in the largest unit that says it wholly."""
    whole = int(seconds)
    units = (("d", 86_400), ("h", 3_600), ("m", 60))
    return next((f"{whole // size}{unit}" for unit, size in units if whole and not whole % size), f"{whole}s")


class OverrideFile(Strict):
    collection: str
    field: str
    expression: str
    crosswalk: str | None = None


async def _overrides(scope: Scope) -> Any:
    async with scope.store.transaction(scope.district) as c:
        return [_shown(one) for one in await stored_codes.overrides(c, scope.there.id)] or None


def _shown(one: Override) -> dict[str, str]:
    crosswalk = {"crosswalk": one.crosswalk} if one.crosswalk else {}
    return {"collection": one.collection, "field": one.place, "expression": one.expression, **crosswalk}


def _checked_overrides(scope: Scope, wanted: list[OverrideFile]) -> Any:
    chosen = [overrides.at(one.collection, one.field, one.expression, one.crosswalk or None) for one in wanted]
    codes.check_overrides(scope.kind, chosen)
    return [_shown(one) for one in sorted(chosen, key=lambda one: (one.collection, one.kind, one.field))] or None


async def _set_overrides(scope: Scope, wanted: Any) -> None:
    chosen = [overrides.at(o["collection"], o["field"], o["expression"], o.get("crosswalk")) for o in wanted or ()]
    await crosswalks.set_overrides(scope.store, scope.district, scope.there.name, chosen, scope.actor)


class ReasonFile(Strict):
    """Why a group beyond roster and results is collected."""

    purpose: str
    basis: str = ""


async def _collect(scope: Scope) -> Any:
    async with scope.store.transaction(scope.district) as c:
        return _as_reasons(await collected.reasons(c, scope.there.id))


def _as_reasons(reasons: dict[str, collecting.Reason]) -> Any:
    return {
        group: {"purpose": why.purpose} | ({"basis": why.basis} if why.basis else {})
        for group, why in sorted(reasons.items())
    } or None


def _checked_collect(scope: Scope, wanted: dict[str, ReasonFile]) -> Any:
    return _as_reasons(
        {group: collecting.reason(scope.kind, group, one.purpose, one.basis) for group, one in wanted.items()}
    )


async def _set_collect(scope: Scope, wanted: Any) -> None:
    before, after = await _collect(scope) or {}, wanted or {}
    differing = [group for group in sorted({*before, *after}) if before.get(group) != after.get(group)]
    await collected.switch(
        scope.store,
        scope.there,
        {group: collecting.Reason(**after[group]) if group in after else None for group in differing},
        [resource.name for resource in scope.kind.resources if resource.group in differing],
        scope.actor,
    )


async def _profile(scope: Scope) -> Any:
    async with scope.store.transaction(scope.district) as c:
        found = await deliveries.profile(c, scope.there.id)
    return None if found is None else _checked_profile(scope, found)


def _checked_profile(scope: Scope, wanted: dict[str, Any]) -> Any:
    shape = registry.mapping(scope.kind.name).profile
    if shape is None:
        raise ConfigError("not-a-destination", f"Plans cannot be pushed to {scope.kind.title}.", "Leave it out.")
    return validated(shape, wanted).model_dump(mode="json", exclude_defaults=True)


async def _set_profile(scope: Scope, wanted: Any) -> None:
    shape = registry.mapping(scope.kind.name).profile
    assert shape is not None
    kept = shape.model_validate(wanted).model_dump(mode="json")
    async with scope.store.transaction(scope.district) as c:
        await deliveries.set_profile(c, scope.district, scope.there.id, kept)
        await registers.log_act(c, scope.district, scope.actor, "delivery-profile", scope.there.name, kept)


# --- what a district has once


Names = dict[str, str]


async def _systems_of_record(scope: Scope) -> Any:
    connections = {one.id: one.name for one in await registers.connections(scope.store, scope.district)}
    async with scope.store.transaction(scope.district) as c:
        chosen = await registers.chosen_owners(c)
    return {name: connections[chosen[name]] for name in registers.RECORD_COLLECTIONS if name in chosen} or None


def _checked_systems_of_record(scope: Scope, wanted: Names) -> Any:
    for collection, name in wanted.items():
        registers.check_record_collection(collection)
        _there_is(scope, name)
    return {name: wanted[name] for name in registers.RECORD_COLLECTIONS if name in wanted} or None


async def _set_systems_of_record(scope: Scope, wanted: Any) -> None:
    before = await _systems_of_record(scope) or {}
    for collection, name in wanted.items():
        if name != before.get(collection):
            found = await registers.connection(scope.store, scope.district, name)
            await registers.set_system_of_record(scope.store, scope.district, collection, found.id, scope.actor)


def _there_is(scope: Scope, name: str) -> None:
    if name not in scope.names:
        raise ConfigError(
            "connection-unknown", f"There is no connection {name!r}.", f"There are: {', '.join(sorted(scope.names))}."
        )


async def _precedence(scope: Scope) -> Any:
    connections = {one.id: one.name for one in await registers.connections(scope.store, scope.district)}
    async with scope.store.transaction(scope.district) as c:
        found = await registers.survivors(c)
    return {
        f"{kind}.{field}": [connections[id] for id in order]
        for kind, fields in found.items() for field, order in fields.items()
    } or None  # fmt: skip


def _checked_precedence(scope: Scope, wanted: dict[str, list[str]]) -> Any:
    for place, names in wanted.items():
        registers.check_survivors(*place.partition(".")[::2])
        for name in names:
            _there_is(scope, name)
    return {place: wanted[place] for place in sorted(wanted) if wanted[place]} or None


async def _set_precedence(scope: Scope, wanted: Any) -> None:
    ids = {one.name: one.id for one in await registers.connections(scope.store, scope.district)}
    before = await _precedence(scope) or {}
    for place in sorted({*before, *(wanted or {})}):
        order = (wanted or {}).get(place, [])
        if order != before.get(place, []):
            kind, field = place.split(".")
            chosen = [ids[name] for name in order]
            await registers.set_survivors(scope.store, scope.district, kind, field, chosen, scope.actor)


Rules = dict[str, list[str]]


async def _identity_rules(scope: Scope) -> Any:
    async with scope.store.transaction(scope.district) as c:
        return await cases.rules_set(c) or None


def _checked_identity_rules(scope: Scope, wanted: Rules) -> Any:
    for rule in wanted:
        waiting.check_rule(rule)
    return {rule: wanted[rule] for rule in sorted(wanted) if wanted[rule]} or None


async def _set_identity_rules(scope: Scope, wanted: Any) -> None:
    before = await _identity_rules(scope) or {}
    for rule in sorted({*before, *(wanted or {})}):
        systems = (wanted or {}).get(rule, [])
        if systems != before.get(rule, []):
            await waiting.set_rule(scope.store, scope.district, rule, systems, scope.actor)


class LineFile(Strict):
    word: str = ""
    match: Match = "exact"
    note: str = ""


def _long(value: Any) -> Any:
    return {"word": value} if isinstance(value, str) else value


class TableFile(Strict):
    """The lines of the district's own in one table: code -> word, or with match and note; and its default."""

    default: Annotated[LineFile | None, BeforeValidator(_long)] = None
    lines: dict[str, Annotated[LineFile, BeforeValidator(_long)]] = Field(default_factory=dict)


CrosswalksFile = dict[str, dict[str, TableFile]]


async def _crosswalks(scope: Scope) -> Any:
    async with scope.store.transaction(scope.district) as c:
        found = {name: await stored_codes.lines(c, name) for name in registry.names()}
    return {name: _tables(lines) for name, lines in found.items() if lines} or None


def _tables(lines: list[Line]) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for one in lines:
        table = tables.setdefault(one.table, {})
        if one.source is None:
            table["default"] = _short(one, "broader")
        else:
            table.setdefault("lines", {})[one.source] = _short(one, "exact")
    return tables


def _short(one: Line, usual: str) -> Any:
    whole = {"word": one.target, "match": one.match, "note": one.note}
    return one.target if (one.match, one.note) == (usual, "") else {name: said for name, said in whole.items() if said}


def _checked_crosswalks(scope: Scope, wanted: CrosswalksFile) -> Any:
    found = {}
    for name in sorted(wanted):
        mapping = codes.mapping_named(name)
        lines = [line for table in sorted(wanted[name]) for line in _lines(table, wanted[name][table])]
        for line in lines:
            codes.check_line(mapping, line)
        if lines:
            found[name] = _tables(lines)
    return found or None


def _lines(table: str, wanted: TableFile) -> list[Line]:
    default = wanted.default
    own = [Line(table, code, one.word, one.match, one.note) for code, one in sorted(wanted.lines.items())]
    return ([Line(table, None, default.word, "broader", default.note)] if default else []) + own


async def _set_crosswalks(scope: Scope, wanted: Any) -> None:
    for name in registry.names():
        async with scope.store.transaction(scope.district) as c:
            before = await stored_codes.lines(c, name)
        tables = {table: TableFile.model_validate(one) for table, one in (wanted or {}).get(name, {}).items()}
        lines = [line for table, one in tables.items() for line in _lines(table, one)]
        places = {(one.table, one.source) for one in lines}
        taken_back = [
            Line(one.table, one.source, match=None) for one in before if (one.table, one.source) not in places
        ]
        await crosswalks.choose(scope.store, scope.district, name, [*lines, *taken_back], scope.actor)


CONNECTION = (
    Section("shadow", bool, _shadow, lambda scope, wanted: wanted or None, _set_shadow),
    Section("guards", Guards, _guards, _checked_guards, _set_guards),
    Section("schedule", ScheduleFile, _schedule, _checked_schedule, _set_schedule),
    Section("overrides", list[OverrideFile], _overrides, _checked_overrides, _set_overrides),
    Section("collect", dict[str, ReasonFile], _collect, _checked_collect, _set_collect),
    Section("delivery_profile", dict[str, Any], _profile, _checked_profile, _set_profile),
)
DISTRICT = (
    Section(
        "systems_of_record", Names, _systems_of_record, _checked_systems_of_record, _set_systems_of_record, partial=True
    ),
    Section("precedence", dict[str, list[str]], _precedence, _checked_precedence, _set_precedence),
    Section("identity_rules", Rules, _identity_rules, _checked_identity_rules, _set_identity_rules),
    Section("crosswalks", CrosswalksFile, _crosswalks, _checked_crosswalks, _set_crosswalks),
)
