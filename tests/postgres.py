"""A PostgreSQL of the machine's own, as a district would bring it: its owner is no superuser."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OWNER, PASSWORD = "district_owner", "owner-of-a-test"
DATABASE, SECOND = "planbridge", "planbridge_second"


@contextmanager
def throwaway(programs: Path) -> Iterator[str]:
    """The URL of an empty database on a server of these programs, with a second one beside it; gone afterwards.

    Its owner may make roles and owns the database, and nothing more. PostgreSQL does not run as root: for root it runs
    as the account that Debian's package made.
    """
    folder = Path(tempfile.mkdtemp(prefix="planbridge-postgres-"))
    switch: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        switch = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(programs / program), *arguments], cwd=folder, capture_output=True, text=True, **switch
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run("initdb", "-D", "data", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions")
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c shared_buffers=64MB"
    run("pg_ctl", "start", "-D", "data", "-w", "-l", "log", "-o", options)
    try:
        here = ("-h", str(folder), "-U", "postgres")
        run("psql", *here, "-q", "-c", f"CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD '{PASSWORD}'", "postgres")
        for database in (DATABASE, SECOND):
            run("createdb", *here, "-O", OWNER, database)
        yield f"postgresql://{OWNER}:{PASSWORD}@/{DATABASE}?host={folder}"
    finally:
        run("pg_ctl", "stop", "-D", "data", "-m", "immediate")
        shutil.rmtree(folder)
