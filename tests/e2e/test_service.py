"""The service as a whole: what `up` starts, who can reach it, and that `down` ends all of it after the worst."""

import ipaddress
import json
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import psutil
import pytest

from connectors.oneroster.twin import twin
from synthetic import build
from tests import overheard
from tests.e2e.processes import Home, closed_port, published, steer, until
from tests.serving import serve

TOKEN = "scrape-me"
DISTRICT = build(schools=1, students=40, seed=11)


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with Home.made() as made:
        yield made
        for process in ours(made):
            process.kill()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve(twin(DISTRICT, page_cap=10)) as url:
        yield url


def test_up_serves_this_machine_only_does_the_work_and_goes_down(home: Home, url: str) -> None:
    with up(home) as service:
        assert service.health() == {"database": True, "schema_fits": True, "worker": True, "late": 0}
        assert {"worker", "api", "up"} <= {part(process) for process in ours(home)}
        heard = listening(home)
        assert service.port in {port for _, port in heard}
        assert [address for address, _ in heard if not ipaddress.ip_address(address).is_loopback] == []

        home.connect_oneroster(url)
        assert home.json("pull", "oneroster")["state"] == "published"
        [first] = [process for process in ours(home) if part(process) == "worker"]
        assert workers_ever(home) == 1, "the command left the work to the worker of the service"

        first.send_signal(signal.SIGKILL)
        until(lambda: workers_ever(home) == 2, "the supervisor starts another worker")
        assert home.json("pull", "oneroster")["state"] == "published"
        assert workers_ever(home) == 2

        measured = service.metrics().splitlines()
        assert any(line.startswith("planbridge_connection_") and "oneroster" in line for line in measured)
        assert overheard.telling(measured) == []

        assert "down" in home.run("down").stdout
        assert ours(home) == [] and service.supervisor.wait() == 0
        assert not service.answers()
    assert "Nothing was running" in home.run("down").stdout


def test_down_ends_what_is_not_up_yet(home: Home) -> None:
    """Its database takes the call and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away = f"postgresql://planbridge@127.0.0.1:{silent.getsockname()[1]}/planbridge"
        supervisor = home.start("up", "--port", str(closed_port()), PLANBRIDGE_DATABASE_URL=away)
        until(lambda: (home.home / "processes.json").exists(), "it says that it is there")
        assert "is down" in home.run("down", PLANBRIDGE_DATABASE_URL=away).stdout
        assert supervisor.wait(timeout=30) != 0 and ours(home) == []


@pytest.fixture(scope="module")
def whole(home: Home, url: str) -> dict[str, tuple[int, str]]:
    """What an undisturbed pull publishes."""
    home.connect_oneroster(url, district="whole")
    assert home.json("pull", "oneroster", district="whole")["state"] == "published"
    return published(home, "whole")


@pytest.mark.parametrize("victims", ["everything", "the supervisor"])
def test_down_leaves_nothing_after_kill_9_and_up_goes_on_where_it_was(
    home: Home, url: str, whole: dict[str, tuple[int, str]], victims: str
) -> None:
    with up(home):
        name = home.connect_oneroster(url, district=victims)
        steer(url, "PUT", "faults", [{"kind": "slow", "path": "/v1p2/", "times": 1_000_000, "seconds": 0.05}])
        run = home.json("pull", name, "--no-wait", district=victims)["id"]
        pages = "SELECT count(*) FROM run_page WHERE run_id = %(run)s"
        until(lambda: home.one(pages, run=run) > 3, "a pull is at work")
        doomed = {"up"} if victims == "the supervisor" else {"up", "worker", "api", "postmaster"}
        assert doomed <= {part(process) for process in ours(home)}
        for process in ours(home):
            if part(process) in doomed:
                process.kill()
        assert home.run("down").returncode == 0
        assert ours(home) == []
    steer(url, "DELETE", "faults")
    with up(home):
        until(lambda: home.one("SELECT state FROM run WHERE id = %(run)s", run=run) == "published", "the run goes on")
        assert published(home, victims) == whole
        assert home.run("down").returncode == 0


def test_another_versions_database_is_left_alone_at_once_and_at_the_next_start(home: Home, url: str) -> None:
    """A newer program has brought the schema on while this one was at work."""
    name = home.connect_oneroster(url, district="later")
    with up(home) as service:
        steer(url, "PUT", "faults", [{"kind": "slow", "path": "/v1p2/", "times": 1_000_000, "seconds": 0.2}])
        run = home.json("pull", name, "--no-wait", district="later")["id"]
        until(
            lambda: home.one("SELECT count(*) FROM run_page WHERE run_id = %(run)s", run=run) > 1, "a pull is at work"
        )
        home.server.start(shared_buffers="64MB")
        with home.database() as c:
            [version] = c.execute("SELECT version_num FROM alembic_version").fetchall()
            c.execute("UPDATE alembic_version SET version_num = '9999'")
        assert service.supervisor.wait(timeout=60) == 2
        assert ours_gone(home)
        said = home.said(service.supervisor)
        assert "schema-changed" in said and "part-stopped" in said
        home.server.start(shared_buffers="64MB")
        try:
            refused = home.run("worker", "--until-empty")
            assert refused.returncode == 2 and "schema-newer" in refused.stderr
            states = home.sql("SELECT status FROM procrastinate_jobs WHERE args->>'run' = %(run)s", run=str(run))
            assert states == [("todo",)], "the work was handed back"
        finally:
            with home.database() as c:
                c.execute("UPDATE alembic_version SET version_num = %s", version)
            steer(url, "DELETE", "faults")
    assert home.run("worker", "--until-empty").returncode == 0
    assert home.one("SELECT state FROM run WHERE id = %(run)s", run=run) == "published"


def ours_gone(home: Home) -> bool:
    return {part(process) for process in ours(home)} <= {"postmaster", ""}


@dataclass(frozen=True)
class Service:
    supervisor: "subprocess.Popen[bytes]"
    port: int

    def health(self) -> Any:
        with urlopen(f"http://127.0.0.1:{self.port}/health") as answer:
            return json.loads(answer.read())

    def metrics(self) -> str:
        asked = Request(f"http://127.0.0.1:{self.port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        with urlopen(asked) as answer:
            return str(answer.read().decode())

    def answers(self) -> bool:
        try:
            return bool(self.health()["worker"])
        except (URLError, ConnectionError):
            return False


@contextmanager
def up(home: Home) -> Iterator[Service]:
    """`planbridge up` on a free port, ready; its end is the test's business."""
    port = closed_port()
    service = Service(home.start("up", "--port", str(port), PLANBRIDGE_METRICS_TOKEN=TOKEN), port)
    reaper = threading.Thread(target=service.supervisor.wait)  # as a shell does for whom it started
    reaper.start()
    try:
        until(service.answers, "the API answers and the worker lives")
        yield service
    finally:
        home.run("down")
        reaper.join()


def ours(home: Home) -> list[psutil.Process]:
    """Every process of this home, the supervisor first: by its environment, or at work in the database's folder."""
    cluster = str((home.home / "postgres" / "cluster").resolve())
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            mine = process.environ().get("PLANBRIDGE_HOME") == str(home.home) or process.cwd().startswith(cluster)
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return sorted(found, key=lambda process: part(process) != "up")


def part(process: psutil.Process) -> str:
    """up, worker, api, another command, postmaster; or empty for a process that the postmaster started."""
    with suppress(psutil.NoSuchProcess):
        line = process.cmdline()
        if "gateway.cli" in line:
            return line[line.index("gateway.cli") + 1]
        if "-D" in line:
            return "postmaster"
    return ""


def listening(home: Home) -> set[tuple[str, int]]:
    return {
        (found.laddr.ip, found.laddr.port)
        for process in ours(home)
        for found in process.net_connections(kind="inet")
        if found.status == psutil.CONN_LISTEN
    }


def workers_ever(home: Home) -> int:
    """How many workers have ever reported for work."""
    return int(home.one("SELECT last_value FROM procrastinate_workers_id_seq"))
