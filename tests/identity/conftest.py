"""A district with a student information system and a vendor's system, both of which are folders of files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.identity.rosters import System, connected


@pytest.fixture
async def sis(store: Store, district: int, actor: Actor, tmp_path: Path) -> System:
    """The system of record: connected first."""
    return await connected(store, district, "sis", tmp_path, actor)


@pytest.fixture
async def vendor(sis: System, store: Store, district: int, actor: Actor, tmp_path: Path) -> System:
    return await connected(store, district, "vendor", tmp_path, actor)


@pytest.fixture
def decide(store: Store, district: int, actor: Actor) -> Callable[..., Any]:
    """Takes a decision by name, with the usual actor and reason."""

    async def taken(act: Callable[..., Any], *subjects: Any, **options: Any) -> Any:
        return await act(store, district, *subjects, actor, "Asked the school.", **options)

    return taken
