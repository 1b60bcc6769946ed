"""What every test may ask for: one real embedded PostgreSQL per session, a store on it, a district of its own."""

import asyncio
import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from gateway.settings import Settings
from gateway.store import registers
from gateway.store.database import Store
from gateway.store.embedded import Embedded
from gateway.store.erasure import Erased
from gateway.store.registers import Actor
from tests import overheard, sampling, template
from tests.postgres import throwaway

# How long an example takes says how busy the machine is, and nothing of the code.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

CONTRACTS = Path(__file__).resolve().parents[2] / "shared" / "contracts"
NUMBERS = itertools.count(1)
LONG = ("tests/e2e/", "tests/upgrades/")
FOREIGN = os.environ.get("PLANBRIDGE_TEST_POSTGRES")


@pytest.fixture(scope="session")
def contracts() -> Path:
    """The folder of real OpenAPI documents and samples beside the checkout."""
    if not CONTRACTS.is_dir():
        pytest.skip(f"{CONTRACTS} is not here: this test compares with the published contracts")
    return CONTRACTS


@pytest.fixture(scope="session")
def settings() -> Iterator[Settings]:
    """Settings of a gateway in a folder of its own, with its embedded server; both go away at the end. Or with a
    server of the machine's own, where PLANBRIDGE_TEST_POSTGRES names the folder of its programs."""
    home = Path(tempfile.mkdtemp(prefix="planbridge-test-"))
    quick: dict[str, Any] = {"home": home, "heartbeat_seconds": 0.5, "takeover_seconds": 2.0}
    if FOREIGN:
        with throwaway(Path(FOREIGN)) as url:
            made = Settings(**quick, database_url=url)
            yield made
            assert overheard.kept(url) == []
            assert asyncio.run(overheard.measured(made)) == []
    else:
        template.lay(home)
        made = Settings(**quick, shared_buffers="64MB")
        yield made
        server = Embedded(home / "postgres")
        if (server.socket_dir / ".s.PGSQL.5432").exists():  # some test has used it
            assert overheard.kept(server.url, password=server.password) == []
            assert asyncio.run(overheard.measured(made)) == []
        server.remove()
    shutil.rmtree(home)


HEARD = overheard.Overheard()


@pytest.fixture(autouse=True)
def nobody_is_told_of_in_a_log() -> Iterator[None]:
    """No line that any test has logged tells of a planted person."""
    HEARD.lines.clear()
    root = logging.getLogger()
    root.addHandler(HEARD)
    yield
    root.removeHandler(HEARD)
    assert overheard.telling(HEARD.lines) == []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a server of the machine's own: what needs a store. The rest has nothing to do with it, or brings its own.
    With a seed: of the files that play everything, a share. First the files that take long, so that no process is left
    with one of them at the end while the other has nothing to do."""
    if FOREIGN:
        needed = [item for item in items if "settings" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=[item for item in items if item not in needed])
        items[:] = needed
    if drawn_by := sampling.seed():
        left_out = sampling.left_out(items, drawn_by)
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
        items[:] = [item for item in items if item.nodeid not in left_out]
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    opened = await Store.open(settings)
    yield opened
    await opened.close()


@pytest.fixture
async def district(store: Store) -> int:
    """A new district: tests see nothing of each other's."""
    return await registers.district(store, f"district-{next(NUMBERS)}")


@pytest.fixture
def erased() -> Erased:
    """How far deleted rows can be erased: on a server of the machine's own its log is not ours."""
    return Erased.BUT_FOR_THE_LOG if FOREIGN else Erased.WHOLLY


@pytest.fixture
def actor() -> Actor:
    return Actor("it@district.example.org", "district_it")
