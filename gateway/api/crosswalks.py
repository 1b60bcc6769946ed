"""Code tables and overrides of a district's own. Codes that nobody chose are people's values: counted, not shown."""

from collections import defaultdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from gateway import crosswalks as acts
from gateway.api.oauth import Call, may
from gateway.api.runs import Started
from gateway.overrides import Override as Chosen
from gateway.store import codes as stored
from gateway.store import registers
from gateway.store.codes import Line as OneLine

router = APIRouter(prefix="/v1", tags=["codes"])

Text = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")]


class Line(BaseModel):
    """One line of the district's own. Without `code` it is the table's default; with `match` null it is taken back."""

    model_config = ConfigDict(extra="forbid")

    table: Text
    code: Text | None
    word: Text = ""
    match: Literal["exact", "narrower", "broader", "none"] | None = "exact"
    note: Text = ""

    def kept(self) -> OneLine:
        return OneLine(self.table, self.code, self.word, self.match, self.note)


class Lines(BaseModel):
    model_config = ConfigDict(extra="forbid")

    lines: list[Line] = Field(min_length=1, max_length=5000)


class OwnLine(BaseModel):
    mapping: str
    table: str
    code: str | None
    word: str
    match: str
    note: str


class Unmapped(BaseModel):
    """How many codes of one table have no word, or took its default, and how many records and rejects have them."""

    connection: str
    table: str
    defaulted: bool
    codes: int
    records: int
    rejects: int


class Change(BaseModel):
    """One act: all its lines are undone together."""

    change: int
    undoes: int | None
    mapping: str
    tables: list[str]
    lines: int
    at: datetime


class Outcome(BaseModel):
    change: int | None = Field(description="Its number; null where it was so already.")


class Undo(BaseModel):
    model_config = ConfigDict(extra="forbid")

    change: int | None = Field(default=None, ge=1, lt=1 << 31, description="Null: the newest that stands.")


class Undone(BaseModel):
    undone: int
    mapping: str


class Previews(BaseModel):
    """Runs that compare and publish nothing; GET /v1/runs/{run} shows what each would do."""

    runs: list[int]


class Again(BaseModel):
    """What of a connection to read again: what a code table answers by now, or everything that is stored."""

    model_config = ConfigDict(extra="forbid")

    everything: bool = False
    mode: Literal["publish", "dry"] = "publish"


class Override(BaseModel):
    """A custom field: one JMESPath expression over the record, and at most one crosswalk."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    collection: Text
    kind: Text
    field: Text
    expression: Text
    crosswalk: Text | None = None


class Overrides(BaseModel):
    model_config = ConfigDict(extra="forbid")

    overrides: list[Override] = Field(max_length=500)


@router.get("/crosswalks")
async def lines(call: Annotated[Call, may("crosswalks.read")]) -> list[OwnLine]:
    """The lines of the district's own that hold now, of every mapping it uses."""
    mappings = sorted({one.connector for one in await registers.connections(call.store, call.district)})
    async with call.store.transaction(call.district) as c:
        return [
            OwnLine(mapping=name, table=one.table, code=one.source, word=one.target, match=one.match or "",
                    note=one.note)
            for name in mappings for one in await stored.lines(c, name)
        ]  # fmt: skip


@router.get("/crosswalks/unmapped")
async def unmapped(call: Annotated[Call, may("crosswalks.read")]) -> list[Unmapped]:
    """Where codes have no word, by table."""
    found: dict[tuple[str, str, bool], dict[str, int]] = defaultdict(lambda: {"codes": 0, "records": 0, "rejects": 0})
    async with call.store.transaction(call.district) as c:
        for one in await stored.missed(c):
            if one["why"] != "override":
                counts = found[one["connection"], one["place"], one["why"] == "defaulted"]
                counts["codes"] += 1
                counts["records"] += one["records"]
                counts["rejects"] += one["rejects"]
    return [
        Unmapped(connection=connection, table=table, defaulted=defaulted, **counts)
        for (connection, table, defaulted), counts in found.items()
    ]


@router.get("/crosswalks/changes")
async def changes(call: Annotated[Call, may("crosswalks.read")]) -> list[Change]:
    """What was changed, the newest first."""
    async with call.store.transaction(call.district) as c:
        return [Change.model_validate(one) for one in await stored.changes(c)]


@router.post("/crosswalks/undo")
async def undo(what: Undo, call: Annotated[Call, may("crosswalks.write")]) -> Undone:
    """Put the lines of a change back as they were before it."""
    undone, mapping = await acts.undo(call.store, call.district, what.change, call.actor)
    return Undone(undone=undone, mapping=mapping)


@router.post("/connections/{name}/crosswalks")
async def choose(name: str, chosen: Lines, call: Annotated[Call, may("crosswalks.write")]) -> Outcome:
    """Keep lines as one change. Connections of the same kind share them."""
    found = await registers.connection(call.store, call.district, name)
    wanted = [line.kept() for line in chosen.lines]
    return Outcome(change=await acts.choose(call.store, call.district, found.connector, wanted, call.actor))


@router.post("/connections/{name}/crosswalks/preview", status_code=202)
async def preview(name: str, chosen: Lines, call: Annotated[Call, may("crosswalks.write")]) -> Previews:
    """Find out what lines would do to what is published, before they are kept."""
    found = await registers.connection(call.store, call.district, name)
    wanted = [line.kept() for line in chosen.lines]
    return Previews(runs=await acts.preview(call.store, call.district, found.connector, wanted, call.actor))


@router.post("/connections/{name}/replay", status_code=202)
async def replay(name: str, again: Again, call: Annotated[Call, may("rejects.replay")]) -> Started:
    """Have stored records read once more, as mapping, codes and overrides are now."""
    run = await acts.replay(call.store, call.district, name, call.actor, everything=again.everything, mode=again.mode)
    return Started(run=run)


@router.get("/connections/{name}/overrides")
async def overrides(name: str, call: Annotated[Call, may("crosswalks.read")]) -> list[Override]:
    """A connection's custom fields."""
    found = await registers.connection(call.store, call.district, name)
    async with call.store.transaction(call.district) as c:
        return [Override.model_validate(one) for one in await stored.overrides(c, found.id)]


@router.put("/connections/{name}/overrides")
async def set_overrides(name: str, chosen: Overrides, call: Annotated[Call, may("crosswalks.write")]) -> list[Override]:
    """Make these a connection's custom fields, and no others."""
    wanted: list[Any] = [Chosen(**one.model_dump()) for one in chosen.overrides]
    await acts.set_overrides(call.store, call.district, name, wanted, call.actor)
    return await overrides(name, call)
