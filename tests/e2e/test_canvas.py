"""Canvas from connecting it to taking a plan back, as somebody at the district types it."""

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.canvas.twin import World, twin
from gateway.errors import AuthError, ConfigError
from gateway.settings import Settings
from gateway.store import registers
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.records import CHILDREN, TEACHER, Small, small, tied_goal
from tests.serving import serve
from tests.test_seeing import typed
from tests.village import Village

PLANTED = ("zirconfish", "quartzowl", "basaltcrane", "opalnewt")
"""In the title, a need, a goal about health, and a health service."""


async def planned(here: Small, child: int) -> str:
    title, need, goal, service = PLANTED
    health = {"domain": "physical_health", "statement": goal, "addresses": ["need-2"], "shareable": True}
    needs = [
        {"domain": "academic", "statement": need, "evidence": [{"observation": need}]},
        {"domain": "physical_health", "statement": need, "evidence": [{"observation": need}]},
    ]
    reading = {"name": "Reading hour", "kind": "tutoring", "owner": here.teacher, "goals": ["goal-1"]}
    given = {"name": service, "kind": "health_service", "owner": here.teacher, "goals": ["goal-2"]}
    return await here.finalized(
        child, title=title, goals=[tied_goal(), tied_goal() | health], needs=needs, supports=[reading, given]
    )


def canvas() -> World:
    world = World()
    homeroom = world.course("Homeroom", "HR-5A")
    child, classmate = (world.person(f"{one.given} {one.family}", one.number) for one in CHILDREN[:2])
    world.enroll(homeroom, child, "StudentEnrollment")
    world.enroll(homeroom, classmate, "StudentEnrollment")
    world.enroll(homeroom, world.person("Ferdinand Umberteach", TEACHER.number), "TeacherEnrollment")
    world.observe(world.person("Odalys Umberfield"), child)
    world.observe(world.person("Somebody Else"), classmate)
    return world


async def test_from_connecting_to_taking_back(
    store: Store, district: int, actor: Actor, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.database.migrate", lambda url: None)  # the store's own opening has done it
    here = await small(store, district, actor, tmp_path / "sis")
    plan, office, world = await planned(here, 0), Village(store, district), canvas()
    app = twin(holds=world)

    async def ask(*words: str, code: int = 0) -> Any:
        ended, said = await typed(office, settings, *words, "--json")
        assert ended == code, said
        return json.loads(said.splitlines()[-1]) if said.strip() else None

    with serve(app) as base:
        monkeypatch.setenv("KEY_SECRET", "demo-secret")
        connect = ["connect", "canvas", "--name", "lms", "--set", f"base_url={base}/login", "--set"]
        connect += ["private_addresses=127.0.0.1: a twin", "--set", "client_id=10000000000001", "--set"]
        await ask(*connect, "client_secret=env:KEY_SECRET", code=ConfigError.exit_code)
        made = await ask(*connect, "client_secret=env:KEY_SECRET", "--yes")
        assert [one["ok"] for one in made["findings"]][:1] == [False]

        monkeypatch.setenv("CODE", "wrong")
        authorize = ("connections", "authorize", "lms", "--code")
        assert (await ask(*authorize, "abc", code=ConfigError.exit_code))["error"] == "secret-on-command-line"
        assert (await ask(*authorize, "env:CODE", code=AuthError.exit_code))["error"] == "grant-refused"
        monkeypatch.setenv("CODE", f"{base}/login/oauth2/auth?code={app.state.door.code()}")
        agreed = await ask(*authorize, "env:CODE")
        assert all(one["ok"] for one in agreed["findings"]) and all(one["ok"] for one in await ask("check", "lms"))
        connection = await registers.connection(store, district, "lms")
        assert connection.secrets["refresh_token"] and "refresh_token" not in connection.settings

        push = ("push", plan, "--to", "lms", "--as", "Ottoline Farrow")
        shown = await ask(*push, "--preview", "--set", "courses=HR-5A", "--set", "staff_column=true")
        words = json.dumps(shown["would_send"])
        assert "Reads with ease." in words and not [word for word in PLANTED if word in words]
        assert world.assignments == {}, "a preview writes nothing"

        sent = await ask(*push)
        assert sent["state"] == "delivered", sent
        everything = [one for one in world.users if any("Reads with ease." in t for t in world.visible_to(one))]
        assert {world.users[one].name for one in everything} == {
            f"{CHILDREN[0].given} {CHILDREN[0].family}", "Ferdinand Umberteach", "Odalys Umberfield",
        }  # fmt: skip
        heard = json.dumps(app.state.heard.requests)
        assert not [word for word in (*PLANTED, CHILDREN[0].family, "Umberteach", "Umberfield") if word in heard]

        before = len([1 for method, *_ in app.state.heard.requests if method != "GET"])
        assert (await ask(*push))["state"] == "delivered"
        assert len([1 for method, *_ in app.state.heard.requests if method != "GET"]) == before, "nothing has changed"

        await ask(*push, "--withdraw", "--because", "The family asked for it.")
        assert not any("Reads with ease." in text for one in world.users for text in world.visible_to(one))
        assert all(one.deleted for one in world.assignments.values())
        assert [one.cells for one in world.columns.values()] == [{}]
