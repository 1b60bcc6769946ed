"""A document drop from connecting it to taking a plan back, as somebody at the district types it."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from connectors.document_drop.settings import DocumentDropSettings
from gateway import delivery, jobs, planning
from gateway.errors import Refused
from gateway.settings import Settings
from gateway.store import deliveries, registers
from gateway.store import plans as stored
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.pdfs import Pdf
from tests.records import CHILDREN, Small, small, tied_goal
from tests.test_seeing import typed
from tests.village import Village

PLANTED = ("zirconfish", "quartzowl", "basaltcrane", "feldsparhare", "opalnewt")
"""In the title, a need, a goal about health, the family's statement and a health service."""


@pytest.fixture
async def here(store: Store, district: int, actor: Actor, tmp_path: Path) -> Small:
    return await small(store, district, actor, tmp_path / "sis")


async def planned(here: Small, child: int) -> str:
    title, need, goal, _, service = PLANTED
    health = {"domain": "physical_health", "statement": goal, "addresses": ["need-2"], "shareable": True}
    goals = [tied_goal(), tied_goal() | health]
    needs = [
        {"domain": "academic", "statement": need, "evidence": [{"observation": need}]},
        {"domain": "physical_health", "statement": need, "evidence": [{"observation": need}]},
    ]
    reading = {"name": "Reading hour", "kind": "tutoring", "owner": here.teacher, "goals": ["goal-1"]}
    service_ = {"name": service, "kind": "health_service", "owner": here.teacher, "goals": ["goal-2"]}
    return await here.finalized(child, title=title, goals=goals, needs=needs, supports=[reading, service_])


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


async def test_from_connecting_to_taking_back(
    here: Small, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.database.migrate", lambda url: None)  # the store's own opening has done it
    office, out = Village(here.store, here.district), tmp_path / "out"
    out.mkdir()
    plan = await planned(here, 0)

    async def ask(*words: str, code: int = 0) -> Any:
        ended, said = await typed(office, settings, *words, "--json")
        assert ended == code, said
        return json.loads(said.splitlines()[-1]) if said.strip() else None

    _, said = await typed(office, settings, "connect", "document_drop", "--name", "drop", "--set", f"path={out}")
    assert "set `readers`" in said
    await ask("connect", "document_drop", "--name", "drop", "--set", f"path={out}", "--set", "readers=the registrar")
    assert all(one["ok"] for one in await ask("check", "drop"))
    await ask("pull", "drop", code=Refused.exit_code)

    push = ("push", plan, "--to", "drop", "--as", "Ottoline Farrow")
    shown = await ask(*push, "--preview", "--set", "include_review=false")
    [would] = shown["would_send"]
    assert list(out.iterdir()) == [], "a preview writes nothing"
    assert "Reads with ease." in would["body"]["pdf"]["says"] and not [w for w in PLANTED if w in json.dumps(would)]
    assert "/next_review_on" in {loss["pointer"] for loss in shown["losses"]}

    sent = await ask(*push)
    assert (sent["state"], sent["receipts"][0]["status"]) == ("delivered", 201), sent
    [file] = out.glob("*.pdf")
    pdf = Pdf(file.read_bytes())
    told = pdf.text() + "".join(path.name + path.read_bytes().decode("latin-1") for path in out.iterdir())
    assert "Reading hour" in pdf.text() and "Who: coordinator" in pdf.text()
    assert [word for word in (*PLANTED, CHILDREN[0].given, CHILDREN[0].family, "Umberteach") if word in told] == []
    [line] = rows(out / "manifest.csv")
    assert (line["student_id"], line["plan_id"], line["version"], line["file"]) == (
        CHILDREN[0].number, plan, "1", file.name,
    )  # fmt: skip
    assert line["next_review_on"] == ""

    before = {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in out.iterdir()}
    assert (await ask(*push))["state"] == "delivered"
    assert {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in out.iterdir()} == before

    gone = await ask(*push, "--withdraw", "--because", "The family asked for it.")
    assert gone["taken_back"] == 1 and list(out.glob("*.pdf")) == []
    [line] = rows(out / "manifest.csv")
    assert line["withdrawn_on"] and not line["file"] and [row["has_plan"] for row in rows(out / "flags.csv")] == ["0"]
    async with here.store.transaction(here.district) as c:
        acts = [one["act"] for one in await stored.events(c, plan)]
        kept = await deliveries.status(c, sent["id"])
    assert acts[-1] == "withdraw" and kept["receipts"], "what was answered stays on record"


async def test_a_crash_before_the_ledger_knew_and_a_new_version(here: Small, tmp_path: Path) -> None:
    """The file is there, our note of it is not: the same delivery again makes no second one. A later version takes its
    place."""
    store, district = here.store, here.district
    (out := tmp_path / "out").mkdir()
    given = {"path": str(out), "student_identifier": "identifier", "staff_identifier": "none"}
    plain = DocumentDropSettings.model_validate(given).model_dump(mode="json", exclude={"sftp_password", "sftp_key"})
    await registers.add_connection(store, district, "drop", "document_drop", plain, {}, here.actor, keeps_roster=False)
    plan = await planned(here, 1)

    async def pushed() -> dict[str, Any]:
        number, _ = await delivery.request(store, district, plan, "drop", here.actor)
        await jobs.deliver_job(store, district, number)
        async with store.transaction(district) as c:
            return await deliveries.status(c, number)

    class Killed(BaseException):
        pass

    async def killed(*_: Any) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(deliveries, "record", killed)
        with pytest.raises(Killed):
            await pushed()
    assert len(list(out.glob("*.pdf"))) == 1
    assert (await pushed())["state"] == "delivered"
    assert len(list(out.glob("*.pdf"))) == len(rows(out / "manifest.csv")) == 1
    [(_, there)] = await delivery.read_back(store, district, plan, "drop")
    assert there and there["pdf"]["says"]

    async with store.transaction(district) as c:
        content = (await stored.load(c, plan)).content
    await planning.edit(store, district, plan, content | {"strengths": [{"statement": "Draws maps."}]}, here.actor)
    await here.finalize(plan)
    assert (await pushed())["state"] == "delivered"
    [line] = rows(out / "manifest.csv")
    assert line["version"] == "2" and [path.name for path in out.glob("*.pdf")] == [line["file"]]
