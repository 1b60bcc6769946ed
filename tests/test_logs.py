"""Log lines: their form, the ids they carry, and that no exception gets a word in."""

import asyncio
import json
import logging
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway import logs
from gateway.settings import Settings
from gateway.store import registers
from gateway.store.database import Store
from gateway.store.embedded import Embedded
from gateway.store.registers import Actor
from tests import overheard
from tests.e2e.processes import Home

SECRET = "Zephyrinia"


@pytest.fixture
def written() -> Iterator[StringIO]:
    stream = StringIO()
    lines = logging.StreamHandler(stream)
    lines.setFormatter(logs._Json())
    root = logging.getLogger()
    root.addHandler(lines)
    yield stream
    root.removeHandler(lines)


def read(written: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_line_carries_the_ids_it_is_about_and_nothing_else(written: StringIO) -> None:
    log = logging.getLogger("somebody.else")
    with logs.about(district=1, run=7):
        with logs.about(job=3):
            log.warning("within %s", 5, extra={"record": SECRET})
        log.warning("between")
    log.warning("after")
    within, between, after = read(written)
    assert {name: within[name] for name in ("level", "logger", "message", "district", "run", "job")} == {
        "level": "WARNING",
        "logger": "somebody.else",
        "message": "within 5",
        "district": 1,
        "run": 7,
        "job": 3,
    }
    assert "record" not in within and "job" not in between and "run" not in after
    assert set(after) == {"at", "level", "logger", "message"}


async def test_ids_belong_to_their_task(written: StringIO) -> None:
    async def job(number: int) -> None:
        with logs.about(job=number):
            await asyncio.sleep(0.001 * (3 - number))
            logging.getLogger("x").warning("%s", number)

    await asyncio.gather(*(job(number) for number in range(3)))
    assert all(line["message"] == str(line["job"]) for line in read(written)) and len(read(written)) == 3


@pytest.mark.parametrize("form", [logs._Json(), logs._Text()], ids=["json", "text"])
def test_an_exception_gets_no_word_in(form: logging.Formatter) -> None:
    try:
        try:
            raise ValueError(SECRET)
        except ValueError as error:
            raise RuntimeError(f"about {SECRET}") from error
    except RuntimeError:
        record = logging.getLogger("x").makeRecord("x", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
    said = form.format(record)
    assert "RuntimeError at test_logs.py:" in said and SECRET not in said
    assert SECRET not in form.format(record), "nor the second time, from what logging remembers"


async def test_what_is_lost_in_the_background_is_said_without_its_words(written: StringIO) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.lost)

    async def fail() -> None:
        raise ValueError(SECRET)

    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    del task
    [line] = read(written)
    assert line["message"].startswith("lost in the background: ValueError at test_logs.py:")
    assert SECRET not in written.getvalue()


PROGRAM = "import logging, os; from gateway import logs; logs.begin(os.environ['FORM']); logging.warning('hello')"


@pytest.mark.parametrize(
    ("form", "terminal", "as_json"),
    [("", False, True), ("", True, False), ("json", True, True), ("text", False, False)],
)
def test_a_terminal_gets_text_and_everybody_else_json_unless_it_is_said(
    form: str, terminal: bool, as_json: bool
) -> None:
    read_end, write_end = pty.openpty() if terminal else os.pipe()
    subprocess.run([sys.executable, "-c", PROGRAM], env=os.environ | {"FORM": form}, stderr=write_end, check=True)
    said = os.read(read_end, 10_000).decode()
    os.close(read_end)
    os.close(write_end)
    assert "hello" in said
    assert said.startswith("{") == as_json


def test_the_test_run_hears_a_name_in_a_line_and_finds_it_in_what_is_kept() -> None:
    """Else nothing would be heard anywhere because nobody listens."""
    ear = overheard.Overheard()
    aside = logging.Logger("aside")
    aside.addHandler(ear)
    aside.warning("run %s of %s", 7, "Ptolemaia")
    aside.warning("run 8")
    assert len(ear.lines) == 2 and overheard.telling(ear.lines) == ear.lines[:1]


async def test_the_test_run_finds_a_name_in_job_arguments(store: Store, settings: Settings) -> None:
    if settings.database_url is not None:
        pytest.skip("one server is enough")
    planted = "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('q', 't', '{\"a\": \"Ptolemaia\"}')"
    async with store.owner.begin() as c:
        await c.exec_driver_sql(planted)
    server = Embedded(settings.home / "postgres")
    found = overheard.kept(server.url, password=server.password)
    async with store.owner.begin() as c:
        await c.exec_driver_sql("DELETE FROM procrastinate_jobs WHERE task_name = 't'")
    assert found == ['job arguments: {"a": "Ptolemaia"}']


async def test_the_test_run_finds_a_name_in_a_metric_and_in_an_answer(store: Store, settings: Settings) -> None:
    name = await registers.district(store, "Ptolemaia")
    sis = await registers.add_connection(store, name, "sis", "oneroster", {}, {}, Actor("it", "district_it"))
    assert any("Ptolemaia" in line for line in await overheard.measured(settings))
    async with store.owner.begin() as c:
        await c.exec_driver_sql(f"DELETE FROM connection WHERE id = {sis}")
    await overheard.refused_in_silence(httpx.Response(200, text="Ptolemaia"))
    with pytest.raises(AssertionError, match="Ptolemaia"):
        await overheard.refused_in_silence(httpx.Response(404, json={"detail": "Ptolemaia"}))


def test_the_test_run_finds_a_name_in_what_a_process_prints(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    home = Home(tmp_path)
    process = home.start("worker", "--no-such-option-Ptolemaia")
    process.wait()
    assert any("Ptolemaia" in line for line in home.told())
    with pytest.raises(AssertionError, match="Ptolemaia"):
        home.run("Ptolemaia")
