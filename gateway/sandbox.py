"""A district of invented people for one vendor: made, a day older, refusing on request, and removed."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal, get_args

from gateway import accounts, clock, jobs, projections, registry, vendors
from gateway.connector import validated
from gateway.errors import ConfigError, Refused
from gateway.scopes import ONEROSTER
from gateway.settings import Settings
from gateway.store import accounts as stored_accounts
from gateway.store import (
    clients,
    consents,
    credentials,
    deliveries,
    districts,
    grants,
    reach,
    reading,
    registers,
    runs,
    sandboxes,
)
from gateway.store import vendors as agreements
from gateway.store.clients import Grant
from gateway.store.database import Store
from gateway.store.erasure import Erased
from gateway.store.registers import Actor
from gateway.vendors import Terms
from synthetic.terms import is_working_day

Refusal = Literal["restriction", "agreement-ended", "key-rotation"]
REFUSALS: Mapping[str, str] = {
    "restriction": "a family has one student kept from the program: they are told as deleted, then are not there",
    "agreement-ended": "the agreement with the district ended: nothing is served, and old tokens are worth nothing",
    "key-rotation": "the secret was exchanged: the old one and all tokens of before are worth nothing",
}
IT = Actor("Sandbox, district IT", "district_it")
PRINCIPAL = Actor("Sandbox, principal", "administrator")
SYSTEM = "sis"
"""The one connection of a sandbox: it gives the roster, and plans are sent to its gradebook."""
SYSTEM_PATH = "/sandbox-system"
ACCOUNT = "teacher@sandbox.example.org"
BACK = "http://127.0.0.1:8765/back"
"""To which the browser is sent with a code, unless another address is given."""
HEAD_START = timedelta(days=28)
"""How far a new sandbox lies behind today: so many days can pass before what begins in it lies ahead."""
SCHOOLS, STUDENTS = 3, 48
SCOPES = (
    *("students.read", "plans.read", "plan.write", "record.read", "results.read", "input.write"),
    *("deliveries.read", "deliveries.write", "events.read", "webhooks.write", "changes.read", "sandbox"),
    *ONEROSTER,
)


@dataclass(frozen=True)
class Sandbox:
    """What a vendor gets. The secret and the password are not kept and cannot be shown again."""

    district: int
    client_id: str
    client_secret: str = field(repr=False)
    agreement: int
    teacher: str
    account: str
    password: str = field(repr=False)
    student: str
    destination: str = SYSTEM
    redirect_uri: str = BACK


async def begin(store: Store, settings: Settings, name: str, actor: Actor) -> tuple[int, int]:
    """A new sandbox with its system, and the run that pulls it, which waits for a worker: (district, run)."""
    day = clock.today() - HEAD_START
    while not is_working_day(day):
        day -= timedelta(days=1)
    district = await sandboxes.make(store, name, day, actor)
    secret = secrets.token_urlsafe(32)
    address = f"{api_address(settings)}{SYSTEM_PATH}/{district}"
    hidden = {"client_secret": secret}
    given = {
        "base_url": address, "token_url": f"{address}/token", "client_id": "sandbox", "write": "put",
        "private_addresses": ["127.0.0.1: the invented system of this sandbox"],
    }  # fmt: skip
    settings_of_it = validated(registry.connector("oneroster").settings, given | hidden).model_dump(mode="json")
    plain = {name: value for name, value in settings_of_it.items() if name not in hidden}
    made = await registers.add_connection(store, district, SYSTEM, "oneroster", plain, hidden, actor, invented=True)
    return district, await jobs.request_pull(store, district, made, actor)


def api_address(settings: Settings) -> str:
    """Where this machine reaches the API; by its public name where a certificate knows it by that."""
    return settings.address if settings.tls_certificate else f"http://127.0.0.1:{settings.port}"


async def furnish(store: Store, district: int, name: str, redirect_uri: str = BACK) -> Sandbox:
    """What a vendor needs in a sandbox whose roster is published: served collections, a client with an agreement in
    force, a teacher with an account, and the teacher's class open for plans."""
    await projections.follow(store, district)
    pair = (await _classroom(store, district))[0]
    client, secret = await clients.add(
        store, district, name, SCOPES, IT, Grant("vendor", sections=sorted(vendors.GRANTABLE))
    )
    await grants.set_redirects(store, district, client, [redirect_uri], IT)
    agreement = await _agree(store, district, client)
    password = secrets.token_urlsafe(18)
    link = await stored_accounts.invite(store, district, pair["teacher"], ACCOUNT, IT)
    await accounts.enrol(store, link, password, "")
    async with store.transaction(district) as c:
        system = await registers.connection(store, district, SYSTEM)
        keys = await reading.keys_at(c, system.id, "class", [pair["class"]])
        await deliveries.set_profile(c, district, system.id, {"classes": sorted(keys.values())})
    return Sandbox(
        district, client, secret, agreement, pair["teacher"], ACCOUNT, password, pair["student"],
        redirect_uri=redirect_uri,
    )  # fmt: skip


async def _classroom(store: Store, district: int) -> list[dict[str, Any]]:
    async with store.transaction(district) as c:
        found = await sandboxes.classroom(c, clock.today())
    if not found:
        raise ConfigError(
            "sandbox-empty",
            "Nobody teaches anybody in this sandbox today: the invented district is between two school years.",
            "Let days pass until classes have begun: planbridge sandbox NAME day",
        )
    return found


async def _agree(store: Store, district: int, client: str) -> int:
    today = clock.today()
    terms = Terms(
        purpose="planning", basis="school_official", signer=PRINCIPAL.name, document="invented, for a sandbox",
        breach_contact="nobody@sandbox.example.org", begin=today, until=today + timedelta(days=365),
        collections=dict.fromkeys(vendors.COLLECTIONS), authoring=True,
    )  # fmt: skip
    drafted = await agreements.draft(store, district, client, terms, IT)
    async with store.transaction(district) as c:
        seen = await agreements.preview(c, drafted)
        await agreements.approve(c, district, drafted.id, PRINCIPAL, people=seen.widening.people)
    return drafted.id


async def pass_day(store: Store, district: int, actor: Actor) -> tuple[date, int]:
    """The next working day comes, and the roster is pulled as it is then: the day, and the run, which waits for a
    worker. Where the last one was held, somebody of the sandbox approves it first, and no day passes."""
    system = await registers.connection(store, district, SYSTEM)
    async with store.transaction(district) as c:
        day = await sandboxes.day(c, district)
        held = await runs.held(c, system.id)
    if held is not None:
        await jobs.decide_hold(store, district, held, "approved", PRINCIPAL, "So it is meant in this sandbox.")
        return day, held
    day += timedelta(days=1)
    while not is_working_day(day):
        day += timedelta(days=1)
    async with store.transaction(district) as c:
        await sandboxes.pass_day(c, district, day, actor)
        return day, await jobs.request_run(c, district, system, actor)


async def refuse(store: Store, district: int, client: str, what: Refusal, actor: Actor) -> dict[str, Any]:
    """From now on the client meets this refusal. Says what it needs to know: of a restriction whose, of a rotation the
    new secret."""
    async with store.transaction(district) as c:
        await sandboxes.day(c, district)
    match what:
        case "restriction":
            return await _restrict(store, district, client, actor)
        case "agreement-ended":
            async with store.transaction(district) as c:
                found = await agreements.in_force(c, client, clock.today())
                await agreements.end(store, c, district, found.id, "Asked for, in a sandbox.", actor)
            return {"what": what, "agreement": found.id}
        case "key-rotation":
            secret, _ = await credentials.rotate(store, district, client, timedelta(0), actor)
            async with store.transaction(district) as c:
                await sandboxes.end_tokens(c, client)
            return {"what": what, "client_secret": secret}
    raise Refused(
        "sandbox-refusal-unknown", f"There is no refusal {what!r}.", f"Choose from: {', '.join(get_args(Refusal))}."
    )


async def _restrict(store: Store, district: int, client: str, actor: Actor) -> dict[str, Any]:
    pairs = await _classroom(store, district)
    student = pairs[-1]["student"]  # the one whom the first page of everything tells of stays
    today = clock.today()
    denied = consents.Given(
        student, sandboxes.FAMILY, "guardian", f"program:{client}", ("identity",), "planning", False, today,
        today + timedelta(days=365),
    )  # fmt: skip
    async with store.transaction(district) as c:
        await reach.alone(c, district)
        await consents.add(store, c, district, denied, actor)
        await reach.refresh(c, district)
        await reach.settle(c, district)
    return {"what": "restriction", "student": student}


async def restore(store: Store, district: int, client: str, actor: Actor) -> dict[str, Any]:
    """End every refusal: what families said is taken back, and an agreement that ended has a successor."""
    async with store.transaction(district) as c:
        await sandboxes.day(c, district)
        await reach.alone(c, district)
        for denied in await sandboxes.denials(c):
            await consents.revoke(store, c, district, denied, "Asked for, in a sandbox.", actor)
        await reach.refresh(c, district)
        await reach.settle(c, district)
        found = await agreements.open_terms(c, client)
    if found is None:
        await _agree(store, district, client)
    return {"what": "nothing"}


async def allow(store: Store, call_client: clients.Client, redirect_uri: str, challenge: str, scope: list[str]) -> str:
    """The sandbox's teacher says yes to the client: the code that their browser would come back with."""
    async with store.transaction(call_client.district) as c:
        await sandboxes.day(c, call_client.district)
        person = await sandboxes.teacher(c)
    if person is None or redirect_uri not in await grants.redirects(store, call_client):
        raise ConfigError(
            "sandbox-redirect",
            "This is no address that the program is sent back to.",
            f"Give the one that stands with the credentials, or register it: planbridge accounts redirects; {BACK}",
        )
    return await grants.add_code(store, call_client, person, redirect_uri, challenge, scope, False)


async def client_of(store: Store, district: int) -> str:
    """The client of a sandbox."""
    for one in await clients.listed(store, district):
        if one["revoked_at"] is None:
            return str(one["id"])
    raise ConfigError("sandbox-unfinished", "This sandbox has no client.", "Remove it, and make it anew.")


async def remove(store: Store, name: str, actor: Actor) -> Erased:
    """End a sandbox with everything in it. ConfigError where it is none: a real district is never removed so."""
    await sandboxes.named(store, name)
    return await districts.delete(store, name, actor, "The sandbox is not needed any more.", without_export=True)
