"""A document drop from connecting it to taking a plan back, as somebody at the district types it."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from connectors.document_drop.settings import DocumentDropSettings
from gateway import delivery, dispatch, planning
from gateway.connector import Viewer, validated
from gateway.errors import ConfigError, Refused
from gateway.settings import Settings
from gateway.store import deliveries, ledger, registers
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


def pdfs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.pdf"))


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
    [file] = pdfs(out)
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
    assert gone["state"] == "withdrawn" and pdfs(out) == []
    [line] = rows(out / "manifest.csv")
    assert line["withdrawn_on"] and not line["file"] and [row["has_plan"] for row in rows(out / "flags.csv")] == ["0"]
    async with here.store.transaction(here.district) as c:
        acts = [one["act"] for one in await stored.events(c, plan)]
    assert acts[-1] == "withdraw" and gone["receipts"], "what was answered stays on record"


@pytest.fixture
async def drop(here: Small, tmp_path: Path) -> Path:
    """A folder that is connected as `drop`, which the registrar reads."""
    (out := tmp_path / "out").mkdir()
    settings = validated(DocumentDropSettings, {"path": str(out), "readers": "the registrar"})
    plain = settings.model_dump(mode="json", exclude={"sftp_password", "sftp_key", "proxy"})
    await registers.add_connection(
        here.store, here.district, "drop", "document_drop", plain, {}, here.actor, keeps_roster=False
    )
    return out


async def pushed(here: Small, plan: str) -> dict[str, Any]:
    number, _ = await delivery.request(here.store, here.district, plan, "drop", here.actor)
    await dispatch.deliver_job(here.store, here.district, number)
    async with here.store.transaction(here.district) as c:
        return await deliveries.status(c, number)


async def amended(here: Small, plan: str) -> None:
    async with here.store.transaction(here.district) as c:
        content = (await stored.load(c, plan)).content
    changed = content | {"strengths": [*content["strengths"], {"statement": "Draws maps."}]}
    await planning.edit(here.store, here.district, plan, changed, here.actor)
    await here.finalize(plan)


class Killed(BaseException):
    """The process is gone."""


async def test_a_crash_before_the_ledger_knew_and_a_new_version(here: Small, drop: Path) -> None:
    """The file is there, our note of it is not: the same delivery again makes no second one. A later version takes its
    place, unless somebody put another file there meanwhile."""
    plan = await planned(here, 1)

    async def killed(*_: Any) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ledger, "record", killed)
        with pytest.raises(Killed):
            await pushed(here, plan)
    assert len(pdfs(drop)) == 1
    again = await pushed(here, plan)
    assert (again["state"], again["receipts"][0]["adopted"]) == ("delivered", True), again
    assert len(pdfs(drop)) == len(rows(drop / "manifest.csv")) == 1
    [(_, there)] = await delivery.read_back(here.store, here.district, plan, "drop")
    assert there and there["pdf"]["says"]

    await amended(here, plan)
    assert (await pushed(here, plan))["state"] == "delivered"
    [line] = rows(drop / "manifest.csv")
    assert line["version"] == "2" and [path.name for path in pdfs(drop)] == [line["file"]]

    (drop / line["file"]).write_bytes(b"%PDF another one")
    await amended(here, plan)
    parked = await pushed(here, plan)
    assert parked["state"] == "parked" and "edited-there" in str(parked), parked
    assert (drop / line["file"]).read_bytes() == b"%PDF another one"


async def test_where_nobody_says_who_reads_it_only_a_doorway_is_put(here: Small, drop: Path) -> None:
    found = await registers.connection(here.store, here.district, "drop")
    await registers.change_settings(here.store, found, found.settings | {"readers": ""}, {}, here.actor)
    plan = await planned(here, 2)
    parked = await pushed(here, plan)
    assert parked["state"] == "parked" and pdfs(drop) == [], parked
    async with here.store.transaction(here.district) as c:
        await deliveries.set_profile(c, here.district, found.id, {"doorway": True})
    assert (await pushed(here, plan))["state"] == "delivered"
    [file] = pdfs(drop)
    text = Pdf(file.read_bytes()).text()
    assert f"/plans/{plan}" in text and "Reads with ease" not in text and "Reading hour" not in text


async def test_all_that_a_folder_lacks_goes_there_at_once(
    here: Small, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.database.migrate", lambda url: None)  # the store's own opening has done it
    office, out = Village(here.store, here.district), tmp_path / "out"
    out.mkdir()
    plans = [await planned(here, child) for child in (0, 1)]
    connect = ("connect", "document_drop", "--name", "drop", "--set", f"path={out}")
    code, said = await typed(office, settings, *connect, "--set", "readers=the registrar")
    assert code == 0, said
    push = ("push", "--all", "--to", "drop", "--as", "Ottoline Farrow")

    async def lines(ended: int) -> list[Any]:
        code, said = await typed(office, settings, *push, "--json")
        assert code == ended, said
        return [json.loads(line) for line in said.splitlines()]

    told = await lines(0)
    assert told[-1] == {"destination": "drop", "plans": 2, "ended": 2, "states": {"delivered": 2}}
    assert [one["ended"] for one in told] == sorted(one["ended"] for one in told)
    assert {line["plan_id"] for line in rows(out / "manifest.csv")} == set(plans) and len(pdfs(out)) == 2
    assert (await lines(0))[-1] == {"destination": "drop", "plans": 0, "ended": 0, "states": {}}
    code, said = await typed(office, settings, *push)
    assert (code, said.strip()) == (0, "0 plans to drop: it has all of them.")
    # where one cannot go, the code says so, and the sentence where to look
    assert (await typed(office, settings, "destination", "set", "drop", "--stage", "shadow"))[0] == 0
    monkeypatch.setattr("connectors.document_drop.sink.DropSink.audience", _strangers)
    await planned(here, 2)
    code, said = await typed(office, settings, *push)
    assert code == Refused.exit_code and "1 plans to drop: 1 parked." in said and "planbridge refused --to drop" in said
    for words in (("push", "--to", "drop"), ("push", plans[0], "--all", "--to", "drop"), (*push, "--preview")):
        code, said = await typed(office, settings, *words)
        assert code == ConfigError.exit_code and "push-unclear" in said


async def _strangers(sink: object, document: object) -> list[Viewer]:
    return [Viewer("other", name="whoever comes by")]
