"""What programs write by OneRoster: every operation that writes, whose a record is, and what becomes of it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway import api
from gateway.settings import Settings
from gateway.store import registers
from gateway.store.database import Store
from tests.api import writing
from tests.api.conftest import serving
from tests.api.writing import Gradebook, Vendor

module = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(settings: Settings) -> AsyncIterator[Store]:
    opened = await Store.open(settings)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(store: Store, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(api.create_app(store, settings)) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def book(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Gradebook:
    district = await registers.district(store, "gradebook")
    return await writing.lay(store, district, tmp_path_factory.mktemp("sis") / "roster")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vendor(book: Gradebook, http: httpx.AsyncClient) -> Vendor:
    return await book.vendor(http, "Quizzes")


def item(book: Gradebook, **more: Any) -> dict[str, Any]:
    return {
        "title": "Fractions", "assignDate": "2026-10-01T00:00:00.000Z", "dueDate": "2026-10-08T00:00:00.000Z",
        "class": book.ref("m5a"), "category": book.ref("tests"), "resultValueMin": 0, "resultValueMax": 10,
    } | more  # fmt: skip


@module
async def test_first(book: Gradebook, vendor: Vendor) -> None:
    import time
    t = time.time()
    made = await vendor.put("/lineItems/item-1", **item(book))
    print(time.time() - t, made.status_code, made.text)
    got = await vendor.get("/lineItems/item-1")
    print(got.status_code, got.text)
    for n in range(5):
        t = time.time()
        made = await vendor.put(f"/results/r-{n}", lineItem={"sourcedId": "item-1"}, student=book.ref("ann"), score=12, scoreDate="2026-10-03")
        print(time.time() - t, made.status_code, made.text)
    got = await vendor.get("/results/r-1")
    print(got.status_code, got.text)
    assert 0
