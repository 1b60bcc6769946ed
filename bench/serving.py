"""The provider on a district that is served already, beside the least that can serve a page from the same database."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote, urlencode
from urllib.request import urlopen

import msgspec
from sqlalchemy import make_url

from bench import asking, town
from bench.measure import ROOT, Cost, peak, used_by, used_by_server
from bench.ours import Installation
from bench.town import Town
from gateway.scopes import ONEROSTER
from gateway.settings import Settings
from gateway.store.database import Store
from tests.e2e.processes import closed_port, until

ROSTERING = "/ims/oneroster/rostering/v1p2"


@dataclass(frozen=True)
class Side:
    """One server process, what to ask it for, and with which headers."""

    home: Installation
    process: int
    url: str
    headers: tuple[str, ...] = ()

    def asked(self, path: str, times: int) -> Cost:
        """So many requests of one address, a few at a time."""
        return self._measured(lambda: asyncio.run(asking.ask(self.url + path, self.headers, times)).answers)

    def walked(self, path: str) -> Cost:
        """Every page of an address, one after the other, by the header Link."""

        def walk() -> int:
            rows, at = 0, self.url + path
            while at:
                sample = asyncio.run(asking.ask(at, self.headers, 1, 1)).sample
                head, _, body = sample.partition(b"\r\n\r\n")
                [page] = msgspec.json.decode(body).values()
                rows += len(page)
                following = re.search(r'<([^>]*)>; rel="next"', head.decode())
                at = following[1] if following else ""
            return rows

        return self._measured(walk)

    def _measured(self, act: Callable[[], int]) -> Cost:
        before, before_server = used_by(self.process), used_by_server(self.home.postmaster)
        began = time.monotonic()
        rows = act()
        wall = time.monotonic() - began
        spent, spent_server = used_by(self.process) - before, used_by_server(self.home.postmaster) - before_server
        return Cost(spent, wall, peak(self.process), {"rows": rows, "database_cpu": round(spent_server, 2)})


@contextmanager
def sides(home: Installation, users: int, enrollments: int) -> Iterator[tuple[Side, Side, Town]]:
    """Ours and the bare one, over one database with so many rows."""
    made = asyncio.run(_laid(home, users, enrollments))
    port, bare_port = closed_port(), closed_port()
    ours = home.start("api", PLANBRIDGE_PORT=str(port))
    url = f"http://127.0.0.1:{port}"
    # As the role that every connection of ours has, so that row-level security is no part of the difference.
    database = make_url(home.server.url).set(password=home.server.password).render_as_string(hide_password=False)
    options = quote("-c role=planbridge_app -c jit=off -c planbridge.district=" + str(made.district))
    database += f"{'&' if '?' in database else '?'}options={options}"
    bare = subprocess.Popen(  # noqa: S603 ours
        [sys.executable, "-m", "bench.bare", "--port", str(bare_port)],
        cwd=ROOT,
        env=os.environ | {"BENCH_DATABASE": database},
    )
    try:
        for place in (port, bare_port):
            until(lambda place=place: _listens(place), "both servers listen")
        token = _token(url, made)
        yield (
            Side(home, ours.pid, f"{url}{ROSTERING}", (f"Authorization: Bearer {token}",)),
            Side(home, bare.pid, f"http://127.0.0.1:{bare_port}"),
            made,
        )
    finally:
        bare.kill()
        bare.wait()
        home.kill(ours)


async def _laid(home: Installation, users: int, enrollments: int) -> Town:
    store = await Store.open(Settings(home=home.home))
    try:
        return await town.lay(store, users, enrollments)
    finally:
        await store.close()


def _listens(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/text"):
            return True
    except OSError as error:
        return getattr(error, "code", None) is not None  # it answers, if only that there is no such page


def _token(url: str, made: Town) -> str:
    form = {"grant_type": "client_credentials", "client_id": made.client, "client_secret": made.secret}
    body = urlencode(form | {"scope": " ".join(sorted(ONEROSTER))}).encode()
    with urlopen(f"{url}/oauth/token", body) as answer:  # noqa: S310 our own server
        return str(msgspec.json.decode(answer.read())["access_token"])
