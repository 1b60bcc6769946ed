"""What was set aside, as far as a client may see it: places, causes and shapes, no value; and reading it again."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway import rejects as acts
from gateway.api.oauth import Call, may
from gateway.store import rejects as stored

router = APIRouter(prefix="/v1", tags=["pull"])

Number = Annotated[int, Path(ge=1, lt=1 << 63)]
Hex = Field(max_length=8, pattern=r"^[0-9a-f]*$")


class Reject(BaseModel):
    """Where a record stood that was set aside, and why. Neither the record nor its key is shown."""

    id: int
    run: int = Field(validation_alias="run_id")
    connection: str
    collection: str
    position: str
    field: str
    code: str
    cause: str


class Cause(BaseModel):
    """How many records are set aside for the same reason now."""

    cause: str
    connection: str
    collection: str
    code: str
    field: str
    records: int
    replayable: int = Field(description="Of how many the payload is still stored.")
    read_differently: bool = Field(description="Mapping, codes or overrides have changed since.")


class Waiting(BaseModel):
    """How many records cannot be published yet for the same reason."""

    connection: str
    kind: str
    code: str
    field: str
    records: int


class Rejects(BaseModel):
    causes: list[Cause]
    waiting: list[Waiting]
    rejects: list[Reject] = Field(description="One by one: of the run asked for, else what is set aside now.")


class Opened(BaseModel):
    """One reject. Of its payload only structure and types are shown, and the shape of the offending value."""

    id: int
    run: int
    connection: str
    collection: str
    position: str
    field: str
    code: str
    cause: str
    state: str = Field(description="open, replayed, or replaced by a newer pull.")
    replayed_by: int | None
    payload: Any = Field(description="Null where it was purged.")


class Again(BaseModel):
    """What to read again: one reject, those of a cause, or (neither named) all that are open."""

    model_config = ConfigDict(extra="forbid")

    reject: int | None = Field(default=None, ge=1, lt=1 << 63)
    cause: Annotated[str, Hex] | None = None
    mode: Literal["publish", "dry"] = Field(default="publish", description="dry: say what it would do.")


class Asked(BaseModel):
    """The run that reads a connection's rejects again, or why there is none."""

    model_config = ConfigDict(from_attributes=True)

    connection: str
    run: int | None
    refused: str


@router.get("/rejects")
async def rejects(
    call: Annotated[Call, may("rejects.read")],
    run: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
    cause: Annotated[str | None, Query(max_length=8, pattern=r"^[0-9a-f]*$")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Rejects:
    """What was set aside and what waits, by cause, and one by one where it stood."""
    async with call.store.transaction(call.district) as c:
        return Rejects.model_validate(
            {
                "causes": await acts.with_news(call.store, c, call.district, await stored.causes(c)),
                "waiting": await stored.waiting(c),
                "rejects": await stored.rows(c, run=run, cause=cause, limit=limit),
            }
        )


@router.get("/rejects/{id}")
async def one_reject(id: Number, call: Annotated[Call, may("rejects.read")]) -> Opened:
    """One record that was set aside, without its values."""
    return Opened.model_validate(await acts.look(call.store, call.district, id))


@router.post("/rejects/replay", status_code=202)
async def replay(again: Again, call: Annotated[Call, may("rejects.replay")]) -> list[Asked]:
    """Read what was set aside once more; a run for each connection waits for the worker."""
    asked = await acts.replay(
        call.store, call.district, call.actor, cause=again.cause, id=again.reject, mode=again.mode
    )
    return [Asked.model_validate(one) for one in asked]
