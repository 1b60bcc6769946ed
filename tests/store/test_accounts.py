"""Accounts and tokens by the commands of the district's own machine, and wrong tries over several processes."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import text
from typer.testing import CliRunner

from gateway.cli import app
from gateway.errors import PlanbridgeError
from gateway.settings import Settings
from gateway.store import accounts, reading
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.store.school import School


@pytest.fixture
async def school(store: Store, district: int, actor: Actor, tmp_path: Path) -> AsyncIterator[School]:
    made = School(tmp_path / "roster", store=store, district=district, actor=actor)
    await made.connect()
    await made.pull()
    yield made


async def test_the_commands(school: School, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with school.store.transaction() as c:
        name = str(await c.scalar(text("SELECT name FROM district WHERE id = :id"), {"id": school.district}))
    monkeypatch.setattr("gateway.cli.output.Settings", lambda: settings)
    monkeypatch.setattr("gateway.store.database.migrate", lambda url: None)

    def ran(*words: str) -> Result:
        return CliRunner().invoke(app, [*words, "--district", name], catch_exceptions=True)

    async def said(*words: str) -> Any:
        result = await asyncio.to_thread(ran, *words, "--json")
        assert result.exit_code == 0, (words, result.output, result.exception)
        return json.loads(result.stdout)

    async def refused(*words: str) -> str:
        error = (await asyncio.to_thread(ran, *words, "--json")).exception
        assert isinstance(error, PlanbridgeError), (words, error)
        return error.code

    teacher = next(
        str(p["id"]) for p in await reading.entities(school.store, school.district, "person")
        if p["given_name"] == "Ferdinand"
    )  # fmt: skip
    invited = await said("accounts", "invite", "500", "--name", "Ferdinand@Fennel.example.org", "--as", "IT")
    assert invited["link"].startswith(f"{settings.address}/enrol/{school.district}.")
    [listed] = await said("accounts", "list")
    assert (listed["name"], listed["person"], listed["state"], listed["sessions"]) == (
        "ferdinand@fennel.example.org", teacher, "invited", 0,
    )  # fmt: skip
    who = "ferdinand@fennel.example.org"
    assert await said("accounts", "sessions", who) == []
    assert await said("accounts", "end-sessions", who) == {"name": who, "ended": 0}
    again = await said("accounts", "reset-factor", who)
    async with school.store.transaction(school.district) as c:
        first, second = (link["link"].rpartition("/")[2] for link in (invited, again))
        assert await accounts.opened_by(school.store, c, first) is None, "earlier links end"
        assert await accounts.opened_by(school.store, c, second) is not None
    assert await refused("accounts", "suspend", who) == "reason-missing"
    await said("accounts", "suspend", who, "--because", "On leave.")
    assert [one["state"] for one in await said("accounts", "list")] == ["suspended"]
    async with school.store.transaction(school.district) as c:
        assert await accounts.opened_by(school.store, c, second) is None
    await said("accounts", "resume", who)
    assert await refused("accounts", "invite", "teacher", "--name", "anybody") == "account-for-role"
    assert await refused("accounts", "invite", "77310456", "--name", who) == "account-exists"
    assert await refused("accounts", "sessions", "nobody") == "account-unknown"
    assert await said("accounts", "provider") == {"provider": None}
    monkeypatch.setenv("IDP", "planted")
    chosen = await said(
        "accounts", "provider", "--issuer", "https://idp.example.org", "--client-id", "us", "--secret", "env:IDP",
        "--audience", "app=client-1", "--matched-by", "identifier",
    )  # fmt: skip
    assert chosen["secret_reference"] == "env:IDP" and chosen["audiences"] == {"app": "client-1"}
    wrong = ("accounts", "provider", "--issuer", "https://idp.example.org")
    assert await refused(*wrong, "--secret", "planted") == "secret-reference"
    assert await refused(*wrong, "--matched-by", "shoe size") == "match-unknown"
    assert await refused(*wrong, "--audience", "app") == "audience-unreadable"
    assert await said("accounts", "provider", "--forget") == {"provider": None}
    token = await said("tokens", "add", "nightly", "--scope", "runs.read", "--until", _in_a_month())
    assert token["token"].startswith("pbt_")
    assert [one["name"] for one in await said("tokens", "list")] == ["nightly"]
    await said("tokens", "revoke", "nightly")
    assert await refused("tokens", "revoke", "nightly") == "token-unknown"
    async with school.store.transaction(school.district) as c:
        rows = await c.execute(text("SELECT act, CAST(actor AS json)->>'name' AS name FROM act ORDER BY seq"))
        acts = [(row.act, row.name) for row in rows]
    for act in ("account-invite", "account-reset-factor", "account-suspend", "account-resume", "sessions-end",
                "identity-provider", "identity-provider-end", "token-add", "token-revoke"):  # fmt: skip
        assert act in [one for one, _ in acts], act
    assert ("account-invite", "IT") in acts


def _in_a_month() -> str:
    from datetime import timedelta

    from gateway import clock

    return (clock.today() + timedelta(days=30)).isoformat()


async def test_tries_are_counted_over_processes(store: Store, settings: Settings, district: int) -> None:
    other = await Store.reach(settings)
    try:
        tried = await asyncio.gather(
            *(accounts.may_try(one, district, "Anybody ") for one in (store, other) for _ in range(8))
        )
    finally:
        await other.close()
    assert sum(tried) == accounts.FREE_TRIES, "whoever asks at once from many places gets no more tries"
    assert await accounts.may_try(store, district, "somebody else")
