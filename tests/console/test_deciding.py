"""What is done on the pages is done by the functions of the command line, with a reason and the person on record."""

import re

from sqlalchemy import text

from gateway import jobs
from gateway.store import registers, runs
from tests.console.conftest import Office


async def state(office: Office, run: int) -> str:
    async with office.school.store.transaction(office.school.district) as c:
        return str((await runs.summary(c, run=run))[0]["state"])


async def acts(office: Office) -> list[tuple[str, str]]:
    async with office.school.store.transaction(office.school.district) as c:
        rows = await c.execute(text("SELECT act, actor::json->>'person' AS person FROM act ORDER BY seq"))
        return [(row.act, row.person) for row in rows if row.person]


async def test_a_held_run_is_decided_with_a_reason(office: Office) -> None:
    it = await office.person("it")
    path = f"/console/runs/{office.held}/decide"
    refused = await it.post(path, verdict="additions", reason="  ")
    assert refused.status_code == 409 and "/docs/errors#reason-missing" in refused.text
    nothing = await it.post(path, reason="A reason.", verdict="drop tables")
    assert (
        nothing.status_code == 400 and "verdict-missing" in nothing.text and ">A reason.</textarea>" in nothing.text
    ), "what was typed is not lost"
    assert await state(office, office.held) == "held"

    done = await it.post(path, verdict="additions", reason="The export was cut off.")
    assert done.status_code == 303 and done.headers["location"] == f"/console/runs/{office.held}?done=additions"
    assert "Approved for its additions" in (await it.get(done.headers["location"])).text
    await jobs.run_job(office.school.store, office.school.district, office.held)
    shown = (await it.get(f"/console/runs/{office.held}")).text
    assert "The export was cut off." in shown and "approved for its additions" in shown
    assert [act for act, _ in await acts(office)][-1] == "hold-additions"

    again = await it.post(path, verdict="refuse", reason="Once more.")
    assert again.status_code == 409 and "/docs/errors#run-not-held" in again.text


async def test_undo_is_previewed_first(office: Office) -> None:
    it = await office.person("it")
    path = f"/console/runs/{office.first}/undo"
    assert "Undo it" not in (await it.get(path)).text, "there is no button before one has looked"
    looked = await it.post(f"{path}/preview")
    assert (looked.status_code == 409 and "run-under-way" not in looked.text) or looked.status_code == 303, looked.text
    preview = int(looked.headers["location"].partition("preview=")[2])
    assert "hx-get" in (await it.get(looked.headers["location"])).text, "it goes on, and the page asks again"
    await jobs.run_job(office.school.store, office.school.district, preview)
    shown = (await it.get(looked.headers["location"])).text
    assert "What undoing would change" in shown and "<td>removed</td>" in shown
    assert (await it.get(f"/console/runs/{preview}/progress")).headers["hx-refresh"] == "true"

    missing = await it.post(path, reason="", preview=str(preview))
    assert missing.status_code == 409 and "reason-missing" in missing.text
    done = await it.post(path, reason="It was the wrong export.", preview=str(preview))
    assert done.status_code == 303
    made = int(re.findall(r"\d+", done.headers["location"])[0])
    async with office.school.store.transaction(office.school.district) as c:
        [found] = await runs.summary(c, run=made)
    assert (found["kind"], found["mode"]) == ("undo", "publish")


async def test_a_system_is_tried_and_begins_in_shadow(office: Office) -> None:
    it = await office.person("it")
    store, district = office.school.store, office.school.district
    form = {"connection-name": "second", "set-student_identifier": "identifier", "set-staff_identifier": "identifier"}
    here = await it.post("/console/connect/oneroster", **form, **{"set-path": str(office.school.folder)})
    if len(await registers.districts(store)) > 1:
        assert here.status_code == 400 and "folder-of-the-machine" in here.text
    missing = await it.post("/console/connect/edfi", **form | {"set-secret": "very-secret-indeed"})
    assert missing.status_code == 400 and "settings-invalid" in missing.text
    assert "very-secret-indeed" not in missing.text and 'value="second"' in missing.text
    asked = {"set-base_url": "https://127.0.0.1:9/api", "set-key": "k", "set-secret": "very-secret-indeed"}
    wrong = await it.post("/console/connect/edfi", **form | asked)
    assert wrong.status_code == 422 and "Nothing was saved" in wrong.text, wrong.text
    assert "very-secret-indeed" not in wrong.text and "127.0.0.1:9" in wrong.text
    assert [one.name for one in await registers.connections(store, district)] == ["sis"]

    saved = await it.post("/console/connect/edfi", **form | asked, anyway="yes")
    assert saved.status_code == 303
    made = await registers.connection(store, district, "second")
    assert made.shadow and made.secrets == {"secret": "very-secret-indeed"} and "secret" not in made.settings
    page = f"/console/connections/{made.id}"
    assert "very-secret-indeed" not in (await it.get(page)).text
    checked = await it.post(f"{page}/check")
    assert checked.status_code == 200 and "Wrong:" in checked.text
    assert (await it.post(f"{page}/pause", reason="")).status_code == 409
    assert (await it.post(f"{page}/pause", reason="Not yet.")).status_code == 303
    refused = await it.post(f"{page}/pull")
    assert refused.status_code == 409 and "connection-paused" in refused.text
    assert (await it.post(f"{page}/resume")).status_code == 303
    assert (await it.post(f"{page}/on")).status_code == 303
    assert not (await registers.connection(store, district, made.id)).shadow
    assert (await it.post(f"{page}/pull", dry="yes")).headers["location"].startswith("/console/runs/")
    assert {act for act, _ in await acts(office)} >= {"connect", "shadow-on", "pause", "resume"}
