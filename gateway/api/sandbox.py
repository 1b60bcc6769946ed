"""What a vendor does in its sandbox over HTTP, and the invented system behind the sandbox's roster and gradebook."""

import asyncio
from dataclasses import dataclass
from datetime import date
from typing import Annotated

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, ConfigDict, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.oneroster.twin import twin
from gateway import clock, sandbox
from gateway.api.oauth import Call, may
from gateway.api.oauth.people import FOR_PEOPLE
from gateway.api.oneroster.routes import Guard
from gateway.api.problems import answer
from gateway.errors import ConfigError
from gateway.sandbox import REFUSALS, Refusal
from gateway.store import registers, sandboxes
from gateway.store.database import Store
from synthetic import Year, build

router = APIRouter(prefix="/v1/sandbox", tags=["sandbox"])

Trying = Annotated[Call, may("sandbox")]


class Sandbox(BaseModel):
    """Where a sandbox stands."""

    day: date = Field(description="The day that it is in the invented district.")
    teacher: str | None = Field(description="Entity id of the teacher who has the account.")
    student: str | None = Field(description="A student of theirs. A restriction is about another one.")
    destination: str = Field(description="Where finalized plans are sent: the invented system.")
    refusals: dict[str, str] = Field(description="What can be asked for, with what happens then.")


class Day(BaseModel):
    """A day that has passed. What changed on it comes with the run."""

    day: date
    run: int


class Wanted(BaseModel):
    """A refusal that the program wants to meet."""

    model_config = ConfigDict(extra="forbid")

    what: Refusal


class Met(BaseModel):
    """A refusal that the program meets from now on."""

    what: str
    student: str | None = Field(default=None, description="Of a restriction: whom it is about.")
    agreement: int | None = Field(default=None, description="Of an ended agreement: its number.")
    client_secret: str | None = Field(default=None, description="Of a rotation: the new secret, this once.")


class Consent(BaseModel):
    """What the program would ask the teacher's browser for at /oauth/authorize."""

    model_config = ConfigDict(extra="forbid")

    redirect_uri: str = Field(max_length=2000)
    code_challenge: str = Field(min_length=43, max_length=128, description="PKCE, by S256.")
    scope: str = Field(default="", max_length=2000, description="Separated by spaces; without any, all that may be.")


class Code(BaseModel):
    """What the browser would come back with: good once, for a minute, at /oauth/token."""

    code: str


@router.get("")
async def sandbox_state(call: Trying) -> Sandbox:
    """Where the sandbox stands, and which refusals can be asked for."""
    async with call.store.transaction(call.district) as c:
        day = await sandboxes.day(c, call.district)
        teacher = await sandboxes.teacher(c)
        pairs = await sandboxes.classroom(c, clock.today())
    student = next((pair["student"] for pair in pairs if pair["teacher"] == teacher), None)
    return Sandbox(
        day=day, teacher=teacher, student=student, destination=sandbox.SYSTEM, refusals=dict(REFUSALS)
    )  # fmt: skip


@router.post("/days", status_code=202)
async def pass_sandbox_day(call: Trying) -> Day:
    """Let the next working day come. The roster of that day is pulled by a worker and checked as any other; where that
    is held, this approves it, and no day passes."""
    day, run = await sandbox.pass_day(call.store, call.district, call.actor)
    return Day(day=day, run=run)


@router.post("/refusals", status_code=201)
async def meet_sandbox_refusal(wanted: Wanted, call: Trying) -> Met:
    """Meet a refusal from now on, as the program would in a real district."""
    return Met.model_validate(
        await sandbox.refuse(call.store, call.district, call.client.id, wanted.what, call.actor)
    )  # fmt: skip


@router.delete("/refusals")
async def end_sandbox_refusals(call: Trying) -> Met:
    """End every refusal: students come back, and an agreement that ended has a successor."""
    return Met.model_validate(await sandbox.restore(call.store, call.district, call.client.id, call.actor))


@router.post("/consents", status_code=201)
async def allow_in_sandbox(asked: Consent, call: Trying) -> Code:
    """The sandbox's teacher, who is nobody, says yes without a browser. Everything after that is as in a real
    district: the code is exchanged with the verifier at the token endpoint."""
    wanted = set(asked.scope.split()) or set(call.client.scopes & FOR_PEOPLE)
    if not wanted <= call.client.scopes & FOR_PEOPLE:
        raise ConfigError(
            "sandbox-scope",
            "The program cannot have all of these scopes for a person.",
            f"Choose from: {', '.join(sorted(call.client.scopes & FOR_PEOPLE))}.",
        )
    return Code(
        code=await sandbox.allow(call.store, call.client, asked.redirect_uri, asked.code_challenge, sorted(wanted))
    )  # fmt: skip


@dataclass
class Played:
    """The invented system of one sandbox, and the day that it plays."""

    app: Starlette
    year: Year
    day: date


class Systems:
    """Every sandbox's own system, below its number: made when it is first asked for, on the day that it is there.
    What is written to its gradebook lives as long as this process."""

    def __init__(self, application: FastAPI, guard: Guard) -> None:
        self._application = application
        self._guard = guard
        self._played: dict[int, Played] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speaks OneRoster as a district's system would."""
        try:
            await self._guard(Request(scope))
            app = await self._found(scope)
        except Exception as error:
            app = answer(Request(scope), error)
        await app(scope, receive, send)

    async def _found(self, scope: Scope) -> ASGIApp:
        number, slash, _ = scope["path"].removeprefix(scope["root_path"]).lstrip("/").partition("/")
        if not slash or not number.isascii() or not number.isdigit() or len(number) > 9:
            return PlainTextResponse("There is no such system.", 404)
        district = int(number)
        store: Store = self._application.state.store
        async with store.transaction(district) as c:
            day = await registers.invented_day(c, district)
        if day is None:
            self._played.pop(district, None)
            return PlainTextResponse("There is no such system.", 404)
        played = self._played.get(district) or await self._made(store, district, day)
        if played.day != day:
            played.app.state.play(await asyncio.to_thread(played.year.on, day))
            played.day = day
        scope["root_path"] = f"{scope['root_path']}/{number}"
        return played.app

    async def _made(self, store: Store, district: int, day: date) -> Played:
        system = await registers.connection(store, district, sandbox.SYSTEM)
        year = Year(build(schools=sandbox.SCHOOLS, students=sandbox.STUDENTS))
        app = twin(
            await asyncio.to_thread(year.on, day),
            client_id=system.settings["client_id"],
            client_secret=system.secrets["client_secret"],
            control=False,
        )
        return self._played.setdefault(district, Played(app, year, day))
