"""How far a destination is rolled out: everything is composed and looked at, and for which schools it is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError
from gateway.store.registers import Actor, Connection, log_act

Stage = Literal["shadow", "schools", "all"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True)
class Rollout:
    """`schools` are entity ids; they count in the stage of that name only."""

    stage: Stage = "all"
    schools: Sequence[str] = ()


async def of(c: AsyncConnection, connection: int) -> Rollout:
    """The stage of a destination; of one of which nobody said anything: all."""
    row = (
        await c.execute(text("SELECT stage, schools FROM destination WHERE connection_id = :id"), {"id": connection})
    ).one_or_none()
    return Rollout() if row is None else Rollout(row.stage, row.schools)


async def sends(c: AsyncConnection, connection: int, school: str) -> bool:
    """Whether plans of this school are sent to a destination; else they are rehearsed."""
    found = await of(c, connection)
    return found.stage == "all" or (found.stage == "schools" and school in found.schools)


async def put(c: AsyncConnection, connection: Connection, stage: str, schools: Sequence[str], actor: Actor) -> None:
    """Choose a stage, on record; `schools` by entity id. ConfigError for one that there is not, and where schools are
    named for no reason or are none."""
    if stage not in STAGES:
        raise ConfigError("stage-unknown", f"There is no stage {stage!r}.", f"Choose from: {', '.join(STAGES)}.")
    if (stage == "schools") != bool(schools):
        raise ConfigError(
            "stage-schools",
            "Only the stage `schools` has schools, and it has at least one.",
            "Give --stage schools with a --school for each, or another stage without any.",
        )
    await c.execute(
        text(
            "INSERT INTO destination (connection_id, district_id, profile, stage, schools) "
            "VALUES (:connection, :district, '{}', :stage, :schools) "
            "ON CONFLICT (connection_id) DO UPDATE SET stage = excluded.stage, schools = excluded.schools"
        ),
        {"connection": connection.id, "district": connection.district, "stage": stage, "schools": list(schools)},
    )
    await log_act(
        c, connection.district, actor, "roll-out", connection.name, {"stage": stage, "schools": list(schools)}
    )
