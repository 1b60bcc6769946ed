"""The embedded server against real kills, real accounts and real folders."""

import codecs
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from gateway.errors import ConfigError
from gateway.store import embedded
from gateway.store.embedded import Embedded

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills, accounts and sockets of POSIX")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other accounts")

NOBODY = 65534
START = "import sys; from pathlib import Path; from gateway.store.embedded import Embedded; "
START += "Embedded(Path(sys.argv[1])).start(shared_buffers='16MB')"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    yield from life(Embedded(tmp_path_factory.mktemp("shared") / "home"))


@pytest.fixture
def server(shared: Embedded) -> Embedded:
    """Made, whole and stopped; its database may hold what an earlier test left."""
    start(shared)
    shared.stop()
    return shared


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Embedded]:
    """Not made yet; tmp_path is a folder that only the user of the tests can enter."""
    yield from life(Embedded(tmp_path / "home"))


def life(server: Embedded) -> Iterator[Embedded]:
    yield server
    for process in processes(server):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT)
    server.remove()
    assert not processes(server)


def test_started_twice_it_is_one_server_and_keeps_its_data(fresh: Embedded) -> None:
    assert not fresh.running()
    assert not fresh.stop()
    start(fresh)
    first = postmaster(fresh)
    start(fresh)
    assert postmaster(fresh) == first
    execute(fresh, "CREATE TABLE kept AS SELECT 'Zoë'::text AS name")
    assert fresh.stop()
    assert not fresh.running()
    assert not processes(fresh)
    assert not fresh.stop()
    start(fresh)
    assert query(fresh, "SELECT upper(name) FROM kept") == "ZOË"


def test_it_listens_on_its_socket_only_and_under_an_unprivileged_account(server: Embedded) -> None:
    start(server)
    assert query(server, "SHOW listen_addresses") == ""
    assert not postmaster(server).net_connections(kind="inet")
    assert postmaster(server).uids().effective != 0
    for folder in (server.socket_dir, server._data, server._cluster / "log"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((server.home / "password").stat().st_mode) == 0o600
    assert server.password not in server.url
    assert query(server, "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method <> 'scram-sha-256'") == 0
    assert query(server, "SHOW shared_buffers") == "16MB"


@as_root
def test_another_user_of_the_machine_cannot_reach_the_socket(server: Embedded) -> None:
    start(server)
    path = str(server.socket_dir / ".s.PGSQL.5432")

    def connect() -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)

    assert run_as(server._data.stat().st_uid, connect) == ""
    assert "PermissionError" in run_as(NOBODY, connect)


def test_without_the_password_nobody_connects_not_even_root(server: Embedded) -> None:
    start(server)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url, password="guess")
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(server.url, passfile=os.devnull)


def test_the_server_outlives_its_starter_and_holds_none_of_its_pipes(server: Embedded) -> None:
    starter = START + "; import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with subprocess.Popen(
        [sys.executable, "-c", starter, str(server.home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        output, _ = process.communicate(timeout=30)  # ends only when every copy of the pipe is closed
        assert (process.returncode, output) == (-signal.SIGKILL, b"")
        session = process.pid
    assert query(server, "SELECT 1") == 1
    assert os.getsid(postmaster(server).pid) != session
    assert server.stop()
    assert not processes(server)


@pytest.mark.parametrize("then", ["stop", "start"])
def test_after_a_killed_postmaster_nothing_is_lost_and_nothing_is_left(server: Embedded, then: str) -> None:
    start(server)
    segment = (server._data / "postmaster.pid").read_text().splitlines()[6].split()[1]
    execute(server, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 41 + 1 AS answer")
    with psycopg.connect(server.url, password=server.password) as session:
        orphan = session.info.backend_pid
        os.kill(orphan, signal.SIGSTOP)  # it cannot notice the death by itself
        postmaster(server).kill()
        wait_until(lambda: not server.running())
        assert orphan in {process.pid for process in processes(server)}
        if then == "stop":
            assert server.stop()
            assert not processes(server)
            assert not (server._data / "postmaster.pid").exists()
            assert segment not in shared_memory()
        start(server)
        assert query(server, "SELECT answer FROM kept") == 42
    assert segment not in shared_memory()


def test_a_server_that_does_not_end_is_killed_and_loses_nothing(server: Embedded) -> None:
    start(server)
    execute(server, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 42 AS answer")
    postmaster(server).suspend()
    assert server.stop(timeout=1)
    assert not processes(server)
    assert not (server._data / "postmaster.pid").exists()
    start(server)
    assert query(server, "SELECT answer FROM kept") == 42


def test_a_stale_pid_that_now_belongs_to_a_stranger_is_no_server(server: Embedded) -> None:
    start(server)
    server.stop()
    account = server._data.stat().st_uid
    with subprocess.Popen(["sleep", "60"], user=account if os.geteuid() == 0 else None) as stranger:
        for act in (server.stop, lambda: start(server)):
            lock = f"{stranger.pid}\n{server._data}\n1\n5432\n\n\n\nready\n"
            for path in (server._data / "postmaster.pid", server.socket_dir / ".s.PGSQL.5432.lock"):
                path.write_text(lock)
                os.chown(path, account, -1)
            assert not server.running()
            act()
        assert query(server, "SELECT 1") == 1
        assert stranger.poll() is None
        stranger.kill()


def test_two_processes_that_start_at_once_make_one_server(fresh: Embedded) -> None:
    starters = [subprocess.Popen([sys.executable, "-c", START, str(fresh.home)]) for _ in range(2)]
    assert [starter.wait(timeout=60) for starter in starters] == [0, 0]
    assert query(fresh, "SELECT 1") == 1
    assert postmaster(fresh)
    assert sorted(path.name for path in fresh._cluster.iterdir()) == ["data", "log", "postgresql.conf", "socket"]


def test_a_creation_that_was_interrupted_is_begun_again(fresh: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Embedded, data: Path, *_: object) -> None:
        data.mkdir()
        (data / "PG_VERSION").write_text("18\n")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Embedded, "_initdb", interrupted)
        start(fresh)
    start(fresh)
    assert query(fresh, "SELECT current_database()") == "planbridge"
    assert not list(fresh._cluster.glob("draft-*"))


@as_root
def test_root_with_a_strict_umask_and_nothing_prepared(
    fresh: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone in a 0700 folder: neither it nor the wheel inside can be entered by the server's account."""
    system = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setattr(embedded, "SYSTEM_FOLDER", system)
    before = os.umask(0o077)
    try:
        start(fresh)
        assert query(fresh, "SELECT 1") == 1
        assert Path(postmaster(fresh).exe()).is_relative_to(system)
        fresh.remove()
        assert not list(system.glob("cluster-*"))
    finally:
        os.umask(before)
        fresh.stop()
        shutil.rmtree(system)


@as_root
@pytest.mark.parametrize(
    ("name", "within"),
    [('it\'s "so" \\ $HOME', True), ("one, two", False), ("/".join(["a folder"] * 30), False)],
    ids=["quotes", "comma", "deep"],
)
def test_an_ordinary_user_with_an_odd_home(name: str, within: bool) -> None:
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    os.chown(place, NOBODY, NOBODY)
    server = Embedded(place / name)

    def its_life() -> None:
        start(server)
        assert server._cluster.is_relative_to(place)
        assert server.socket_dir.is_relative_to(place) == within
        assert query(server, "SELECT current_user") == "planbridge_owner"
        assert server.stop()
        assert not processes(server)
        server.socket_dir.chmod(0o755)
        assert refusal(server) == "embedded-unsafe-socket"
        server.remove()
        assert not server.socket_dir.exists()

    try:
        if "PermissionError" in (said := run_as(NOBODY, lambda: os.chdir(sys.prefix))):
            pytest.skip("this checkout lies where an ordinary account cannot enter")
        assert said == ""
        assert run_as(NOBODY, its_life) == ""
    finally:
        server.stop()
        shutil.rmtree(server.socket_dir, ignore_errors=True)
        shutil.rmtree(place)


@as_root
def test_root_serves_the_cluster_of_an_ordinary_user_under_that_user(fresh: Embedded) -> None:
    start(fresh)
    fresh.stop()
    for path in (fresh._data, *fresh._data.rglob("*"), fresh._cluster / "log", fresh.socket_dir):
        os.chown(path, NOBODY, NOBODY)
    for path in (fresh._cluster / "log").iterdir():
        os.chown(path, NOBODY, NOBODY)
    start(fresh)
    assert postmaster(fresh).uids().effective == NOBODY


def test_a_socket_folder_that_others_can_use_is_refused(server: Embedded) -> None:
    start(server)
    server.stop()
    folder = server.socket_dir
    elsewhere = folder.with_name("elsewhere")
    folder.chmod(0o770)
    refused = "embedded-unsafe-socket"
    assert refusal(server) == refused
    folder.chmod(0o700)
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    assert refusal(server) == refused
    folder.unlink()
    if os.geteuid() == 0:
        folder.mkdir(mode=0o700)
        os.chown(folder, NOBODY, NOBODY)
        assert refusal(server) == refused
        folder.rmdir()
    start(server)


def test_the_log_holds_no_values(server: Embedded) -> None:
    start(server)
    refused = [
        "SELECT 'Planted'::int",
        "CREATE TABLE people (name text UNIQUE); INSERT INTO people VALUES ('Planted'), ('Planted')",
        "DO $$ BEGIN RAISE WARNING 'Planted'; RAISE EXCEPTION 'Planted'; END $$",
        "Planted",
    ]
    for statement in refused:
        with pytest.raises(psycopg.Error):
            execute(server, statement)
    with closing(psycopg.connect(server.url, password=server.password, autocommit=True)) as session:
        with pytest.raises(psycopg.Error):
            session.execute("SELECT %s::text::int", ["Planted"])
        session.pgconn.send_query(b"SELECT pg_sleep(60), 'Planted'")
        wait_until(lambda: query(server, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == 1)
        os.kill(session.info.backend_pid, signal.SIGKILL)  # its statement would stand in DETAIL
        wait_until(lambda: "ready to accept" in log(server).partition("terminated by signal 9")[2])
    assert "planted" not in log(server).lower()


def test_a_start_that_fails_says_what_the_server_said(fresh: Embedded) -> None:
    start(fresh)
    fresh.stop()
    settings = fresh._data / "postgresql.auto.conf"
    settings.write_text("shared_buffers = 'plenty'\n")
    with pytest.raises(ConfigError, match=r"did not start.*shared_buffers.*plenty") as failure:
        start(fresh)
    assert failure.value.code == "embedded-start-failed"
    assert "ready to accept" not in failure.value.message  # of the start before
    settings.write_text("")
    for segment in (fresh._data / "pg_wal").glob("0*"):
        segment.unlink()
    with pytest.raises(ConfigError, match="could not locate a valid checkpoint record"):  # logging collector
        start(fresh)


def test_a_server_that_is_not_ready_in_time_is_waited_for_again(server: Embedded) -> None:
    start(server)
    lock = server._data / "postmaster.pid"
    ready = lock.read_text()
    lock.write_text(ready.replace("ready", "starting"))
    with pytest.raises(ConfigError, match="still starting after 0 seconds"):
        server.start(timeout=0.3)
    assert server.running()
    lock.write_text(ready)
    start(server)


def test_what_a_person_must_change_is_refused(server: Embedded) -> None:
    with pytest.raises(ConfigError, match="'much' is not a size"):
        server.start(shared_buffers="much")
    start(server)
    server.stop()
    version = server._data / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(ConfigError, match="made by PostgreSQL 17; this program brings PostgreSQL 18"):
        start(server)
    version.write_text("18\n")
    if os.geteuid() == 0:
        moved = server._cluster.rename(server.home / "moved")
        with pytest.raises(ConfigError, match="which is gone"):
            start(server)
        assert not server.stop()
        moved.rename((server.home / "cluster").readlink())
    start(server)


@as_root
def test_root_without_a_usable_account_is_told_what_to_do(fresh: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "ACCOUNT", "root")
    with pytest.raises(ConfigError, match="PLANBRIDGE_DATABASE_URL") as refusal:
        start(fresh)
    assert refusal.value.code == "embedded-needs-account"
    monkeypatch.setattr(embedded, "ACCOUNT", "no such name")  # useradd refuses it
    with pytest.raises(ConfigError, match="cannot be made"):
        start(fresh)


def start(server: Embedded) -> None:
    server.start(timeout=60, shared_buffers="16MB")


def refusal(server: Embedded) -> str:
    with pytest.raises(ConfigError) as caught:
        start(server)
    return caught.value.code


def execute(server: Embedded, statement: str) -> None:
    with psycopg.connect(server.url, password=server.password) as session:
        session.execute(statement.encode())


def query(server: Embedded, statement: str) -> object:
    with psycopg.connect(server.url, password=server.password) as session:
        row = session.execute(statement.encode()).fetchone()
        assert row is not None
        return row[0]


def processes(server: Embedded) -> list[psutil.Process]:
    """A witness of its own: whatever works in the data folder, by any name."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(server._data) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def postmaster(server: Embedded) -> psutil.Process:
    pids = {process.pid for process in processes(server)}
    roots = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):  # a worker that has just ended
            process = psutil.Process(pid)
            if process.ppid() not in pids:
                roots.append(process)
    (root,) = roots
    return root


def shared_memory() -> set[str]:
    """Identifiers of the System V segments that exist."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {line.split()[1] for line in lines}


def log(server: Embedded) -> str:
    return "".join(path.read_text() for path in (server._cluster / "log").iterdir())


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in 10 seconds"
        time.sleep(0.05)


def run_as(uid: int, act: Callable[[], None]) -> str:
    """What `act` says of its failure in a child process of that account; empty when it went well."""
    codecs.lookup("ascii")  # psycopg's; the child may not be able to read the standard library any more
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = ""
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            act()
        except BaseException:
            said = traceback.format_exc()
        finally:
            os.write(writing, said.encode()[-4000:])
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said
