"""A district's whole configuration as one file: written without secrets, compared with what is, and applied."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import BaseModel, create_model

from gateway import registry
from gateway.configuration import document
from gateway.configuration.sections import CONNECTION, DISTRICT, Scope, Section, Strict
from gateway.connector import Connector, is_secret, validated
from gateway.errors import ConfigError
from gateway.settings import referenced
from gateway.store import registers
from gateway.store.database import Store
from gateway.store.registers import Actor, Connection

VERSION = "1"
HIDDEN = "(secret)"
READER = Actor("planbridge export-config", "system")


def _with_sections(name: str, sections: Sequence[Section], **own: Any) -> type[BaseModel]:
    parts: dict[str, Any] = {one.key: (one.shape, None) for one in sections}
    return create_model(name, __base__=Strict, **own, **parts)


ConnectionFile = _with_sections("ConnectionFile", CONNECTION, connector=(str, ...), settings=(dict[str, Any], {}))
File = _with_sections(
    "File",
    DISTRICT,
    planbridge=(Literal["1"], ...),
    connections=(dict[str, ConnectionFile], {}),  # type: ignore[valid-type]
)


@dataclass(frozen=True)
class Change:
    """One place where the file says something else than what is. Secrets are never shown."""

    place: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Outcome:
    """What applying a file changes, or would. `missing`: secrets that are named, and not there. `left`: connections
    that the file does not name; they stay as they are."""

    changes: list[Change]
    missing: list[str]
    left: list[str]


@dataclass
class _Plan:
    """What there is to do, in order, found out before anything is done."""

    changes: list[Change] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    steps: list[Callable[[], Awaitable[Any]]] = field(default_factory=list)


async def exported(store: Store, district: int) -> str:
    """The configuration as a file. Secrets are named as variables of the environment."""
    scope = Scope(store, district, READER)
    found: dict[str, Any] = {"planbridge": int(VERSION), "connections": {}}
    # What a program writes comes with its agreement, and cannot be connected by a file.
    connections = [one for one in await registers.connections(store, district) if one.client is None]
    for connection in connections:
        there = replace(scope, connector=registry.connector(connection.connector), connection=connection)
        plain = _settings(there.kind, connection.settings | connection.secrets)
        alike = [one.id for one in connections if _variable(one.name) == _variable(connection.name)]
        place = connection.name if len(alike) == 1 else f"{connection.name}_{alike.index(connection.id) + 1}"
        named = {name: f"env:{_variable(place, name)}" for name, said in connection.secrets.items() if said}
        own = {"connector": connection.connector, "settings": plain | named}
        found["connections"][connection.name] = own | await _read(there, CONNECTION)
    found |= await _read(scope, DISTRICT)
    return document.written(
        found, "The configuration of a Planbridge district: planbridge apply FILE [--preview]\nIt holds no secret."
    )


async def _read(scope: Scope, sections: Sequence[Section]) -> dict[str, Any]:
    read = {one.key: await one.read(scope) for one in sections}
    return {key: value for key, value in read.items() if value is not None}


def _variable(*words: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", "_".join(words).upper())


async def apply(store: Store, district: int, text: str, actor: Actor, *, preview: bool = False) -> Outcome:
    """Make the district what the file says; what it does not name stays. `preview`: only say what that would change.

    All of it is checked before anything is set: ConfigError names the place, and nothing has changed then. What is so
    already is not set again, so a second time changes nothing, and one that broke off can simply be repeated.
    """
    wanted: Any = document.read(text, File)
    there = {one.name: one for one in await registers.connections(store, district) if one.client is None}
    scope = Scope(store, district, actor, names=frozenset({*there, *wanted.connections}))
    plan = _Plan()
    for name, one in wanted.connections.items():
        await _plan_connection(plan, scope, name, one, there.get(name))
    await _plan_sections(plan, scope, "", DISTRICT, wanted)
    left = [name for name in there if name not in wanted.connections]
    if not preview:
        if plan.missing:
            raise ConfigError(
                "secret-missing",
                f"Secrets are missing: {', '.join(plan.missing)}.",
                "Set the variables that the file names; nothing was changed.",
            )
        for step in plan.steps:
            await step()
    return Outcome(plan.changes, plan.missing, left)


async def _plan_connection(plan: _Plan, scope: Scope, name: str, wanted: Any, there: Connection | None) -> None:
    place = f"connections.{name}"
    with _at(f"{place}.connector"):
        connector = registry.connector(wanted.connector)
        if there is not None and there.connector != wanted.connector:
            raise ConfigError(
                "configuration-invalid",
                f"It is connected by {there.connector}.",
                "Give another connection its own name.",
            )
    with _at(f"{place}.settings"):
        plain, hidden = _named_secrets(plan, connector, name, wanted.settings, there)
        settings = validated(connector.settings, plain | {n: s or HIDDEN for n, s in hidden.items()})
    secrets = {secret: said for secret, said in hidden.items() if said}
    dumped = {n: v for n, v in settings.model_dump(mode="json").items() if n not in hidden}
    own = replace(scope, connector=connector, connection=there)
    if there is None:
        plan.changes.append(Change(place, None, wanted.connector))
        plan.steps.append(
            lambda: registers.add_connection(
                scope.store,
                scope.district,
                name,
                wanted.connector,
                dumped,
                secrets,
                scope.actor,
                keeps_roster=connector.keeps_roster,
            )
        )
    else:
        before = _settings(connector, there.settings | there.secrets)
        changes = [*_differences(f"{place}.settings", before, _settings(connector, dumped | secrets))]
        changes += [
            Change(f"{place}.settings.{secret}", HIDDEN if there.secrets.get(secret) else None, HIDDEN)
            for secret, said in secrets.items() if there.secrets.get(secret) != said
        ]  # fmt: skip
        if changes:
            plan.changes += changes
            plan.steps.append(
                lambda: registers.change_settings(scope.store, there, dumped, there.secrets | secrets, scope.actor)
            )
    await _plan_sections(plan, own, f"{place}.", CONNECTION, wanted, name)


def _settings(connector: Connector, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from the default, without secrets."""
    secret = {name for name, info in connector.settings.model_fields.items() if is_secret(info)}
    chosen = validated(connector.settings, dict(stored)).model_dump(mode="json", exclude_defaults=True)
    return {name: value for name, value in chosen.items() if name not in secret}


def _named_secrets(
    plan: _Plan, connector: Connector, name: str, given: Mapping[str, Any], there: Connection | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """(plain settings, secrets). A secret whose variable is not set stays as it is stored; where none is stored, it is
    missing, and empty here. One that stands in the file itself is refused: it has been written down."""
    plain = dict(given)
    hidden = dict(there.secrets) if there is not None else {}
    for secret, info in connector.settings.model_fields.items():
        if is_secret(info) and (said := plain.pop(secret, None)):
            try:
                found = referenced(secret, str(said))
            except ConfigError:
                found = hidden.get(secret, "")
                if not found:
                    plan.missing.append(f"{said} for connections.{name}.settings.{secret}")
            if found is None:
                raise ConfigError(
                    "secret-in-file",
                    f"{secret} stands in the file itself.",
                    f"Write {secret}: env:NAME, and ask for a new secret if somebody may have read this one.",
                )
            hidden[secret] = found
    return plain, hidden


async def _plan_sections(
    plan: _Plan, scope: Scope, place: str, sections: Sequence[Section], file: Any, name: str = ""
) -> None:
    new = scope.connector is not None and scope.connection is None
    for section in sections:
        if section.key not in file.model_fields_set:
            continue
        before = None if new else await section.read(scope)
        with _at(f"{place}{section.key}"):
            wanted = section.check(scope, getattr(file, section.key))
        if section.partial:
            wanted = {**(before or {}), **(wanted or {})} or None
        if wanted != before:
            plan.changes += _differences(f"{place}{section.key}", before, wanted)
            plan.steps.append(_setting(scope, section, wanted, name))


def _setting(scope: Scope, section: Section, wanted: Any, name: str) -> Callable[[], Awaitable[None]]:
    async def step() -> None:
        found = await registers.connection(scope.store, scope.district, name) if name else None
        await section.apply(replace(scope, connection=found), wanted)

    return step


def _differences(place: str, before: Any, after: Any) -> Iterator[Change]:
    """The smallest places that differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _differences(f"{place}.{key}", before.get(key), after.get(key))
    elif before != after:
        yield Change(place, before, after)


class _at:
    """Whatever is wrong here is told with its place."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ConfigError):
            raise ConfigError(error.code, f"{self._place}: {error.message}", error.fix) from None
