"""Agreements with vendors, for the district's own systems: what was agreed, what of it is read, and their end."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.oauth import Call, may
from gateway.store import vendors as stored

router = APIRouter(prefix="/v1/vendors", tags=["vendors"])

Number = Annotated[int, Path(ge=1, lt=1 << 63, description="Its number, as the list has it.")]


class VendorAgreement(BaseModel):
    """An agreement with a vendor's program, as it stands."""

    id: int
    client: str = Field(description="Id of the program.")
    name: str | None = Field(description="What the program is called.")
    state: str = Field(description="drafted, to come, in force, over or ended.")
    version: int | None = Field(description="Of the terms that were approved last; null before any were.")
    draft: int | None = Field(description="Version of a draft that waits for approval.")
    begin_on: date | None
    until_on: date | None
    ended_at: datetime | None
    ended_because: str | None
    destroy_by: date | None
    destroyed_on: date | None = Field(description="When the vendor destroyed everything, as it confirmed.")


class VendorAgreements(BaseModel):
    agreements: list[VendorAgreement] = Field(description="Those that are not over first.")


class AgreedTerms(BaseModel):
    """One version of what was agreed."""

    version: int
    terms: dict[str, Any] = Field(description="As drafted: purpose, basis, days, collections, rule and the rest.")
    drafted_at: datetime
    drafted_by: str
    approved_at: datetime | None
    approved_by: str | None


class WholeAgreement(VendorAgreement):
    """An agreement with every version of its terms."""

    versions: list[AgreedTerms]
    destruction: str | None = Field(description="The letter that asks for destruction, once it is ended.")


class CollectionUse(BaseModel):
    """What was read of a collection since the agreement was made."""

    collection: str
    reads: int
    last: datetime | None
    read: list[str] = Field(description="Agreed fields that were read; of plans and records, sections.")
    never_read: list[str] = Field(description="Agreed fields that never were.")


class VendorUse(BaseModel):
    use: list[CollectionUse]


class End(BaseModel):
    """Why an agreement is ended; it is kept."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: str = Field(min_length=1, max_length=2000, pattern=r"^[^\x00]*$")


class ReceivedField(BaseModel):
    """A field that the vendor ever received, of how many students and how often."""

    collection: str
    field: str
    students: int
    times: int
    first: datetime
    last: datetime


class EndedAgreement(BaseModel):
    """What became of an agreement that was ended."""

    agreement: int
    client: str
    students: int = Field(description="Of whom anything was received; `planbridge incident` lists them.")
    received: list[ReceivedField]
    request: str = Field(description="The letter that asks to destroy it.")


@router.get("")
async def list_vendors(call: Annotated[Call, may("vendors.read")]) -> VendorAgreements:
    """Every agreement with a vendor."""
    async with call.store.transaction(call.district) as c:
        found = await stored.listed(c)
    return VendorAgreements(agreements=[VendorAgreement.model_validate(one) for one in found])


@router.get("/{agreement}")
async def one_vendor(agreement: Number, call: Annotated[Call, may("vendors.read")]) -> WholeAgreement:
    """What was agreed, version by version, by whom drafted and approved."""
    async with call.store.transaction(call.district) as c:
        found = await stored.shown(c, agreement)
    return WholeAgreement.model_validate({**found, "versions": [_version(one) for one in found["versions"]]})


@router.get("/{agreement}/use")
async def vendor_use(agreement: Number, call: Annotated[Call, may("vendors.read")]) -> VendorUse:
    """Of each collection that is agreed, which fields were read, which never were, and when last."""
    async with call.store.transaction(call.district) as c:
        found = await stored.use(c, agreement)
    return VendorUse(use=[CollectionUse.model_validate(one) for one in found])


@router.post("/{agreement}/end")
async def end_vendor(agreement: Number, why: End, call: Annotated[Call, may("vendors.end")]) -> EndedAgreement:
    """End an agreement now and for good: its tokens are worth nothing. Answers with what the vendor ever received,
    and with the letter that asks to destroy it."""
    async with call.store.transaction(call.district) as c:
        found = await stored.end(call.store, c, call.district, agreement, why.reason, call.actor)
    return EndedAgreement(
        agreement=agreement,
        client=found["client"],
        students=len({row["student"] for row in found["received"]}),
        received=_by_field(found["received"]),
        request=found["request"],
    )


def _version(found: Mapping[str, Any]) -> dict[str, Any]:
    approved = found["approved_by"] or {}
    return {
        "version": found["version"],
        "terms": found["terms"],
        "drafted_at": found["at"],
        "drafted_by": found["actor"].get("name", ""),
        "approved_at": found["approved_at"],
        "approved_by": approved.get("name"),
    }


def _by_field(rows: Iterable[Mapping[str, Any]]) -> list[ReceivedField]:
    found: dict[tuple[str, str], ReceivedField] = {}
    for row in rows:
        key = row["collection"], row["field"]
        one = found.setdefault(
            key,
            ReceivedField(collection=key[0], field=key[1], students=0, times=0, first=row["first"], last=row["last"]),
        )
        one.students += 1
        one.times += row["times"]
        one.first, one.last = min(one.first, row["first"]), max(one.last, row["last"])
    return [found[key] for key in sorted(found)]
