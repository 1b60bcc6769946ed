"""What a district chooses for a destination: how far it is rolled out, what it gets, what becomes of edits there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway import registry
from gateway.connector import validated
from gateway.errors import ConfigError
from gateway.store import deliveries, destinations, reading, registers, rollouts
from gateway.store.database import Store, Transaction
from gateway.store.destinations import EditedThere
from gateway.store.registers import Actor, Connection
from gateway.store.rollouts import Stage


@dataclass(frozen=True)
class Choices:
    """`schools` are entity ids; `profile` holds what was chosen: what is not in it is as its mapping has it."""

    destination: str
    stage: Stage
    schools: Sequence[str]
    edited_there: EditedThere
    profile: Mapping[str, Any]


async def chosen(store: Store, district: int, name: str) -> Choices:
    """What is chosen for a destination. ConfigError where there is no such connection."""
    found = await registers.connection(store, district, name)
    async with store.transaction(district) as c:
        rollout = await rollouts.of(c, found.id)
        edited_there = await destinations.edited_there(c, found.id)
        profile = await deliveries.profile(c, found.id) or {}
    return Choices(name, rollout.stage, rollout.schools, edited_there, profile)


async def choose(
    store: Store,
    district: int,
    name: str,
    actor: Actor,
    *,
    stage: str = "",
    schools: Sequence[str] = (),
    edited_there: str = "",
    profile: Mapping[str, Any] | None = None,
) -> None:
    """Choose for a destination, on record: all of it, or where something is wrong nothing. `schools` by id, number or
    name, with the stage of that name; `profile`: fields of its delivery profile. What is left out stays as it is."""
    found = await registers.connection(store, district, name)
    if schools and not stage:
        raise ConfigError("stage-schools", "Schools belong to a stage.", "Give the stage `schools` with them.")
    ids = await _schools(store, district, schools)
    async with store.transaction(district) as c:
        if profile:
            await _choose_profile(c, found, profile, actor)
        if stage:
            await rollouts.put(c, found, stage, ids, actor)
        match edited_there:
            case "":
                pass
            case "ask" | "keep" | "ours":
                await destinations.set_edited_there(c, found, edited_there, actor)
            case _:
                raise ConfigError(
                    "choice-unknown", f"There is no choice {edited_there!r}.", "Choose from: ask, keep, ours."
                )


async def _schools(store: Store, district: int, given: Sequence[str]) -> list[str]:
    known = await reading.entities(store, district, "organization") if given else []
    found = []
    for one in given:
        ids = [str(org["id"]) for org in known if one in (org["id"], org.get("identifier"), org.get("name"))]
        if not ids:
            raise ConfigError("school-unknown", f"There is no school {one!r}.", "Give its number, name or entity id.")
        found.append(ids[0])
    return found


async def _choose_profile(c: Transaction, connection: Connection, fields: Mapping[str, Any], actor: Actor) -> None:
    """Keep choices about what a destination gets; each is checked against its mapping's delivery profile."""
    shape = registry.mapping(connection.connector).profile
    if shape is None:
        raise ConfigError("not-a-destination", f"Plans cannot be pushed to {connection.name}.", "Choose another.")
    for name in fields:
        if name not in shape.model_fields:
            raise ConfigError(
                "setting-unknown",
                f"The delivery profile has no field {name!r}.",
                f"Its fields are: {', '.join(shape.model_fields)}.",
            )
    profile = dict(await deliveries.profile(c, connection.id) or {}) | dict(fields)
    kept = validated(shape, profile).model_dump(mode="json")
    await deliveries.set_profile(c, connection.district, connection.id, kept)
    await registers.log_act(c, connection.district, actor, "delivery-profile", connection.name, kept)
