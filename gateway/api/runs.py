"""Connections and runs, as far as a client may see them: counts, codes and ids, no person."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway import jobs
from gateway.api.oauth import Call, may
from gateway.errors import ConfigError, Refused
from gateway.store import registers
from gateway.store import runs as stored

router = APIRouter(prefix="/v1", tags=["pull"])

Number = Annotated[int, Path(ge=1, lt=1 << 63)]
Limit = Annotated[int, Query(ge=1, le=1000)]


class Connection(BaseModel):
    """A configured system. Its settings and secrets are shown to nobody."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    connector: str
    shadow: bool = Field(description="Its pulls compare and publish nothing.")
    paused_because: str | None


class Hold(BaseModel):
    """Why a run waits, and what was decided about it."""

    code: str
    collection: str
    reason: str
    affected: int
    known: int
    effect: str = Field(description="What waits: all, or the removals alone.")
    state: str


class Collection(BaseModel):
    """What a run did, or would do, to one collection of the source, in records."""

    collection: str
    received: int
    distinct: int
    duplicates: int
    inactive: int
    rejected: int
    added: int
    changed: int
    remapped: int = Field(default=0, description="Changed by the mapping alone.")
    same: int
    gone: int
    ended: int = Field(default=0, description="Of those gone, how many were due to end.")
    partial: bool = Field(default=False, description="Only what changed was asked for.")
    absent: str = Field(description="Why the source does not serve it, if it does not.")


class Leniency(BaseModel):
    """Something that the standard does not allow and that was read all the same. docs/leniencies.md explains the code.
    The records are not shown."""

    collection: str
    code: str
    field: str
    records: int = Field(
        description="Of those that this run mapped: what is unchanged at the source is not read again."
    )


class Run(BaseModel):
    """One pull of one connection. A code that could not be mapped is counted, not shown: it is a person's value."""

    id: int
    connection: str
    kind: str = Field(description="pull, replay, undo or write.")
    mode: str = Field(description="publish; or shadow or dry, which compare and publish nothing.")
    state: str
    undone_by: int | None = Field(description="The run that undid this one.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    received: int
    rejects: int
    writes: int | None = Field(
        default=None, description="Of what a program writes the newest run of a day stands for so many requests."
    )
    unmapped: dict[str, int] = Field(description="Crosswalk -> values it has no line for.")
    changes_only: bool = Field(description="A pull that asked, of some collections, only for what changed.")
    payload_gone: dict[str, int] = Field(
        description="Of a replay: records whose payload was purged wait for a whole pull."
    )
    collections: list[Collection]
    leniencies: list[Leniency]
    holds: list[Hold]
    error_code: str | None


class Started(BaseModel):
    """A run that waits for the worker."""

    run: int


class Decision(BaseModel):
    """Why a held run is approved or refused; it is kept with the decision."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: str = Field(min_length=1, max_length=2000, pattern=r"^[^\x00]*$")


@router.get("/connections")
async def connections(call: Annotated[Call, may("connections.read")]) -> list[Connection]:
    """Every connected system, the first connected first."""
    return [Connection.model_validate(one) for one in await registers.connections(call.store, call.district)]


@router.post("/connections/{name}/pull", status_code=202)
async def pull(name: str, response: Response, call: Annotated[Call, may("runs.write")], whole: bool = False) -> Started:
    """Have a connection pulled; the run waits for the worker. `whole`: not only what changed is asked for."""
    found = await registers.connection(call.store, call.district, name)
    if found.paused_because:
        raise Refused("connection-paused", "The connection is paused.", "Mend it, then lift the pause.")
    run = await jobs.request_pull(call.store, call.district, found.id, call.actor, whole=whole)
    response.headers["Location"] = f"/v1/runs/{run}"
    return Started(run=run)


@router.get("/runs")
async def list_runs(call: Annotated[Call, may("runs.read")], limit: Limit = 20) -> list[Run]:
    """The newest runs, the latest first."""
    async with call.store.transaction(call.district) as c:
        return [_run(one) for one in await stored.summary(c, limit=limit)]


@router.get("/runs/{run}")
async def one_run(run: Number, call: Annotated[Call, may("runs.read")]) -> Run:
    """One run with its counts and its holds."""
    async with call.store.transaction(call.district) as c:
        found = await stored.summary(c, run=run)
    if not found:
        raise ConfigError("run-unknown", f"There is no run {run}.", "GET /v1/runs lists them.")
    return _run(found[0])


def _run(found: Mapping[str, Any]) -> Run:
    unmapped: dict[str, int] = {}
    for table, _, records in found["unmapped"]:
        unmapped[table] = unmapped.get(table, 0) + records
    collections = found["counts"].get("collections", [])
    return Run.model_validate({**found, "unmapped": unmapped, "collections": collections})


@router.post("/runs/{run}/approve")
async def approve(run: Number, decision: Decision, call: Annotated[Call, may("holds.decide")]) -> Run:
    """Publish a held run after all. It is resolved again, and held again if its changes differ by then."""
    return await _decided(call, run, "approved", decision.reason)


@router.post("/runs/{run}/approve-additions")
async def approve_additions(run: Number, decision: Decision, call: Annotated[Call, may("holds.decide")]) -> Run:
    """Publish what a held run adds, and drop the rest of it."""
    return await _decided(call, run, "additions", decision.reason)


@router.post("/runs/{run}/refuse")
async def refuse(run: Number, decision: Decision, call: Annotated[Call, may("holds.decide")]) -> Run:
    """Drop a held run; what is published stays."""
    return await _decided(call, run, "refused", decision.reason)


@router.post("/runs/{run}/undo", status_code=202)
async def undo(run: Number, decision: Decision, response: Response, call: Annotated[Call, may("runs.undo")]) -> Started:
    """Undo a run and every later one of its connection, which then waits until a person resumes it."""
    made = await jobs.request_undo(call.store, call.district, run, call.actor, decision.reason)
    response.headers["Location"] = f"/v1/runs/{made}"
    return Started(run=made)


async def _decided(call: Call, run: int, verdict: stored.Verdict, reason: str) -> Run:
    held = await one_run(run, call)
    if held.state != "held":
        raise Refused("run-not-held", f"Run {run} is {held.state}, not held.", "Only a held run can be decided.")
    await jobs.decide_hold(call.store, call.district, run, verdict, call.actor, reason)
    return await one_run(run, call)
