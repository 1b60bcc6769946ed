"""What looks wrong in what a connection has published, as far as a client may see it: codes, counts and ids."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.oauth import Call, may
from gateway.errors import ConfigError
from gateway.store import quality as stored
from gateway.store import registers

router = APIRouter(prefix="/v1", tags=["pull"])


class Finding(BaseModel):
    """One thing that looks wrong. docs/quality.md explains the code."""

    model_config = ConfigDict(from_attributes=True)

    code: str
    kind: str = Field(description="What is counted: a kind of entity, or a collection of the source.")
    severity: str = Field(description="error, warning or note.")
    records: int
    since: datetime = Field(description="When it was first found; every report since then found it too.")
    says: str
    look: str = Field(description="Where in the source it is mended.")
    examples: list[str] = Field(description="Entity ids.")


class Report(BaseModel):
    """What was found after a run; no finding: all is well."""

    run: int
    at: datetime
    findings: list[Finding]


@router.get("/connections/{name}/quality")
async def quality(
    name: str,
    call: Annotated[Call, may("runs.read")],
    run: Annotated[int | None, Query(description="As it was after this run.", ge=1, lt=1 << 63)] = None,
) -> Report:
    """The newest report about a connection, the worst first; every run that publishes is checked."""
    connection = await registers.connection(call.store, call.district, name)
    async with call.store.transaction(call.district) as c:
        found = await stored.report(c, connection.id, run)
    if found is None:
        raise ConfigError("quality-unknown", "It was not checked.", "Every run that publishes is checked.")
    findings = [Finding(**{**vars(one), "examples": [id for id, _ in one.examples]}) for one in found.findings]
    return Report(run=found.run, at=found.at, findings=findings)
