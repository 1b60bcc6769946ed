"""A database of the present schema, made once in a process of tests and copied wherever one begins with none."""

import atexit
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import psycopg

from gateway.store.database import embedded_url, migrate
from gateway.store.embedded import Embedded


def lay(home: Path) -> None:
    """Give a gateway that was never started its database: what initdb and the migrations make costs seconds each time.

    The copy does not wait for the disk (fsync is off). What a test can do to a server, kill -9 too, loses nothing that
    it has handed to the system: only a machine that falls over would.
    """
    made, here = _made(), Embedded(home / "postgres")
    here.home.mkdir(mode=0o700, parents=True)
    here._make_place()
    _copy(made.home / "cluster" / "data", here.home / "cluster" / "data")
    _copy(made.home / "password", here.home / "password")


@cache
def _made() -> Embedded:
    folder = Path(tempfile.mkdtemp(prefix="planbridge-template-"))
    server = Embedded(folder / "postgres")
    atexit.register(shutil.rmtree, folder)
    atexit.register(server.remove)
    server.start(shared_buffers="64MB")
    migrate(embedded_url(server))
    with psycopg.connect(server.url, password=server.password, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
    server.stop()
    return server


def _copy(source: Path, target: Path) -> None:
    """With the owner that the server's account is."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
