"""What every test may ask for: one real embedded PostgreSQL per session, a store on it, a district of its own."""

import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.settings import Settings
from gateway.store import registers
from gateway.store.database import Store
from gateway.store.embedded import Embedded
from gateway.store.registers import Actor

CONTRACTS = Path(__file__).resolve().parents[2] / "shared" / "contracts"
NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def contracts() -> Path:
    """The folder of real OpenAPI documents and samples beside the checkout."""
    if not CONTRACTS.is_dir():
        pytest.skip(f"{CONTRACTS} is not here: this test compares with the published contracts")
    return CONTRACTS


@pytest.fixture(scope="session")
def settings() -> Iterator[Settings]:
    """Settings of a gateway in a folder of its own, with its embedded server; both go away at the end."""
    home = Path(tempfile.mkdtemp(prefix="planbridge-test-"))
    yield Settings(home=home, shared_buffers="64MB", heartbeat_seconds=0.5, takeover_seconds=2.0)
    server = Embedded(home / "postgres")
    server.remove()
    shutil.rmtree(home)


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
def actor() -> Actor:
    return Actor("it@district.example.org", "district_it")
