"""A disk that is really full: nothing is written in part, people are told, and work goes on when there is room."""

import asyncio
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from connectors.oneroster.twin import twin
from gateway import api, planning
from gateway.messages import TITLES
from gateway.settings import Settings
from gateway.store import clients
from gateway.store.clients import SCOPES, Grant
from gateway.store.database import Store
from gateway.store.registers import Actor, district
from synthetic import build
from tests.api.conftest import agree, serving
from tests.api.world import consulted, content, populate
from tests.e2e.messages import DISASTERS
from tests.e2e.office import QuickHome
from tests.e2e.processes import Home, closed_port, published, steer, tables, until
from tests.serving import serve
from tests.sinks import both

SIZE = "320m"
COUNSELOR = Actor("Ottoline Farrow", "educator")
LATER, GONE = 4, 75
BOOK = [{"statement": secrets.token_hex(9_000)} for _ in range(20)]
"""Strengths that no page has room for: to store them the database must take room from its disk."""


@dataclass(frozen=True)
class SmallDisk:
    """A disk of its own that holds the database and nothing else."""

    path: Path

    def fill(self) -> None:
        with (self.path / "ballast").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(1024**2)):
                    pass
            except OSError:
                pass

    def make_room(self) -> None:
        (self.path / "ballast").unlink()


@pytest.fixture(scope="module")
def disk() -> Iterator[SmallDisk]:
    path = Path(tempfile.mkdtemp(prefix="planbridge-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0755", "tmpfs", str(path)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode != 0:
        path.rmdir()
        pytest.skip("a disk that can be filled is mounted by root only")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
        path.rmdir()


@pytest.fixture(scope="module")
def home(disk: SmallDisk) -> Iterator[Home]:
    """An installation whose database lies on that disk."""
    with QuickHome.made() as made:
        (made.home / "postgres").mkdir(parents=True)
        (made.home / "postgres" / "cluster").symlink_to(disk.path)
        yield made


@dataclass(frozen=True)
class Draft:
    """A plan with many words that the family has agreed to: the next step is to finalize it."""

    plan: str
    authorization: dict[str, str]


@pytest.fixture(scope="module")
def draft(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Draft:
    async def made() -> Draft:
        store = await Store.open(_settings(home))
        try:
            number = await district(store, "default")
            world = await populate(store, number, COUNSELOR, tmp_path_factory.mktemp("roster"))
            plan = await planning.create(store, number, content(world, strengths=BOOK), COUNSELOR)
            await planning.take(store, number, plan, "consult", COUNSELOR)
            await planning.edit(store, number, plan, consulted(world) | {"strengths": BOOK}, COUNSELOR)
            id, secret = await clients.add(store, number, "planner", SCOPES, COUNSELOR, Grant("sis"))
            client = await clients.authenticate(store, id, secret)
            assert client is not None
            await agree(store, number, id)
            token = await clients.issue_token(store, client, client.scopes, world.teacher)
            return Draft(plan, {"Authorization": f"Bearer {token}"})
        finally:
            await store.close()

    return asyncio.run(made())


def _settings(home: Home) -> Settings:
    return Settings(home=home.home, shared_buffers="64MB")


def finalize(home: Home, plan: str) -> "subprocess.CompletedProcess[str]":
    return home.run("plan", "finalize", plan, "--as", COUNSELOR.name)


def test_20_a_plan_that_cannot_be_stored_is_still_a_draft(home: Home, disk: SmallDisk, draft: Draft) -> None:
    before = tables(home)
    disk.fill()
    try:
        done = finalize(home, draft.plan)
        answered = asyncio.run(finalized_by_api(home, draft))
        assert tables(home) == before
    finally:
        disk.make_room()
    assert done.returncode == LATER
    assert "Code disk-full, explained in docs/errors.md" in done.stderr
    DISASTERS[20].told(five_parts(done.stderr))
    assert (answered.status_code, answered.json()["code"]) == (503, "disk-full")

    assert finalize(home, draft.plan).returncode == 0, "the same command, once there is room"
    [(state, versions)] = home.sql(
        "SELECT state, (SELECT count(*) FROM plan_version v WHERE v.plan_id = p.id) FROM plan p WHERE id = %(id)s",
        id=draft.plan,
    )
    assert (state, versions) == ("finalized", 1)


async def finalized_by_api(home: Home, draft: Draft) -> httpx.Response:
    settings = _settings(home)
    store = await Store.open(settings)
    try:
        async with serving(api.create_app(store, settings)) as http:
            address = f"/v1/plans/{draft.plan}/steps/finalize"
            return await http.post(address, headers=draft.authorization)
    finally:
        await store.close()


def five_parts(said: str) -> dict[str, str]:
    """The message among what a command printed, on a certain day."""
    parts = {part: re.search(rf"^{title}: (.*)$", said, re.MULTILINE) for part, title in TITLES.items()}
    return {part: re.sub(r"\w{3} \d+ \w{3} \d{4}, \d\d:\d\d", "Wed 7 Oct 2026, 08:00", found[1])
            for part, found in parts.items() if found}  # fmt: skip


def test_a_sync_that_cannot_be_stored_goes_on_when_there_is_room(home: Home, disk: SmallDisk) -> None:
    with serve(twin(build(schools=1, students=60, seed=3))) as url:
        name = home.connect_oneroster(url, district="full")
        assert home.json("pull", name, district="full")["state"] == "published"
        before = published(home, "full")
        steer(url, "POST", "change", {"with_new_students": 60, "moved": 0.5})
        steer(url, "PUT", "faults", [{"kind": "slow", "path": "/orgs?", "seconds": 1.5}])
        number = home.json("pull", name, "--no-wait", district="full")["id"]
        worker = home.start("worker")
        until(lambda: home.one("SELECT state FROM run WHERE id = %(id)s", id=number) == "pulling", "it begins")
        disk.fill()
        try:
            assert worker.wait(timeout=60) == GONE
            assert "the disk of the database is full" in home.said(worker)
            assert published(home, "full") == before
        finally:
            disk.make_room()
        worker = home.start("worker")
        until(lambda: home.one("SELECT state FROM run WHERE id = %(id)s", id=number) == "published", "it goes on")
        home.stop(worker)


def test_people_are_told_of_the_full_disk_and_of_the_end_of_it(home: Home, disk: SmallDisk) -> None:
    with both() as (mail, _):
        home.run("notices", "add-email", "it@district.example.org")
        with home.database() as c:
            c.execute("UPDATE channel SET digested_on = digested_on - 1, digest_at = '00:00'")
        smtp = {
            "PLANBRIDGE_SMTP_HOST": "127.0.0.1", "PLANBRIDGE_SMTP_PORT": str(mail.port), "PLANBRIDGE_SMTP_TLS": "none",
            "PLANBRIDGE_SMTP_FROM": "planbridge@district.example.org",
        }  # fmt: skip
        server = home.start("api", PLANBRIDGE_WATCH_SECONDS="0.3", PLANBRIDGE_PORT=str(closed_port()), **smtp)
        until(lambda: mail.mails, "it has looked round, and knows whom to tell")
        disk.fill()
        try:
            until(lambda: len(mail.mails) == 2, "somebody is told")
        finally:
            disk.make_room()
        until(lambda: len(mail.mails) == 3, "somebody is told that it is over")
        home.kill(server)
    morning, *told = mail.subjects
    assert morning.startswith("The morning of ")
    assert told == ["The disk of the database is full (default)", "The database of Planbridge works again (default)"]
