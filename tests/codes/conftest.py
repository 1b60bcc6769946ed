"""A connected package of students, pulled once."""

from pathlib import Path

import pytest

from gateway.store import registers
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.codes.world import pull, write_package


@pytest.fixture
async def sis(store: Store, district: int, actor: Actor, tmp_path: Path) -> registers.Connection:
    """A connected package, pulled once."""
    write_package(tmp_path)
    settings = {"path": str(tmp_path), "student_identifier": "identifier", "staff_identifier": "identifier"}
    await registers.add_connection(store, district, "sis", "oneroster", settings, {}, actor)
    found = await registers.connection(store, district, "sis")
    await pull(store, found, actor)
    return found
