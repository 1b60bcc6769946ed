"""The demo: the whole line against two simulated systems, told in eight headings."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import typer

from gateway import delivery, dispatch, jobs, planning, registry
from gateway.cli.output import STDOUT, Gateway, run, show
from gateway.cli.plans import described
from gateway.cli.pushing import follow as follow_push
from gateway.cli.runs import follow as follow_run
from gateway.cli.service import down
from gateway.connector import Document, validated
from gateway.errors import ConfigError, Refused
from gateway.http import Http, MemoryTokens
from gateway.settings import Settings
from gateway.store import consents, reading, registers, rejects
from gateway.store.database import Store
from gateway.store.embedded import Embedded
from gateway.store.registers import Actor
from gateway.trying import try_out

IT = Actor("Demo, district IT", "district_it")
EDUCATOR = Actor("Demo, school counselor", "educator")
LOOPBACK = {"private_addresses": ["127.0.0.1: the simulated systems of the demo"]}
SECRET = "demo-secret"  # noqa: S105 of the simulated systems, which hold invented people only
WAIT = 60.0


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    students: int = 600,
    schools: int = 3,
    seed: int = 2026,
) -> None:
    """Run the whole line once against two simulated systems that play one invented district."""
    home = Path(tempfile.mkdtemp(prefix="planbridge-demo-"))
    os.environ |= {
        "PLANBRIDGE_HOME": str(home),
        "PLANBRIDGE_SHARED_BUFFERS": "128MB",
        "TWIN_STUDENTS": str(students),
        "TWIN_SCHOOLS": str(schools),
        "TWIN_SEED": str(seed),
    }
    # Whatever the surroundings say, the demo works in a home of its own and leaves others alone.
    for name in ("PLANBRIDGE_DATABASE_URL", "PLANBRIDGE_KEYS", "PLANBRIDGE_HOST"):
        os.environ.pop(name, None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    STDOUT.print("Setting up: an embedded database, a worker, and two simulated systems (invented people only) ...")
    try:
        with _twin("oneroster") as oneroster, _twin("edfi") as edfi, _gateway_up():
            run(_line(oneroster, edfi))
    finally:
        with contextlib.redirect_stdout(None):
            down()
        Embedded(home / "postgres").remove()
        shutil.rmtree(home, ignore_errors=True)


async def _line(oneroster: str, edfi: str) -> None:
    settings = Settings()
    store = await Store.open(settings)
    try:
        g = Gateway(store, settings, await registers.district(store, "demo"))
        with STDOUT.status("Pulling both systems ...") if STDOUT.is_terminal else contextlib.nullcontext():
            await _pulled(g, oneroster, edfi)
        await _matched(g)
        await _held(g, oneroster)
        story = await _refused(g)
        await _planned(g, story)
        documents = await _written(g, story, edfi)
        await _did_not_fit(g, story)
        _next(documents)
    finally:
        await store.close()


def _heading(text: str) -> None:
    STDOUT.print(f"\n[bold]{text}[/]", highlight=False)


async def _pulled(g: Gateway, oneroster: str, edfi: str) -> None:
    await _connect(g, "sis", "oneroster", {
        "base_url": oneroster, "token_url": f"{oneroster}/token", "client_id": "demo-client",
    }, {"client_secret": SECRET})  # fmt: skip
    district = await _edfi_district(edfi)
    await _connect(g, "ods", "edfi", {
        "base_url": edfi, "key": "demo-key", "education_organization_id": district,
    }, {"secret": SECRET})  # fmt: skip
    for name in ("sis", "ods"):
        found = await _pull(g, name)
        if found["state"] != "published":
            raise ConfigError("demo-pull", f"The pull of {name} ended as {found['state']}.", found["error"] or "")
    _heading("Pulled")
    STDOUT.print("Everything below went through OAuth, staging, checks and one publication per system.")
    counts = await reading.entity_counts(g.store, g.district)
    show([{"what": kind.replace("_", " "), "published": n} for kind, n in counts.items()], False)


async def _matched(g: Gateway) -> None:
    _heading("Matched")
    STDOUT.print("Who is the same person in both systems, by the number that both know; names are never compared.")
    show(await reading.matched(g.store, g.district), False)
    async with g.store.transaction(g.district) as c:
        waiting = await rejects.waiting(c)
    show(waiting, False, title="\nNot published, and why", empty="")
    show(
        await reading.differences(g.store, g.district), False, title="\nSaid differently by the second system", empty=""
    )


async def _held(g: Gateway, oneroster: str) -> None:
    before = await reading.entity_counts(g.store, g.district)
    await _tell(f"{oneroster}/_twin/change", b'{"without_students": 0.3334}')
    found = await _pull(g, "sis")
    _heading("Held")
    STDOUT.print("Next the roster came back without a third of its students:")
    for hold in found["holds"]:
        STDOUT.print(f"  {hold['reason']}", highlight=False)
    after = await reading.entity_counts(g.store, g.district)
    if found["state"] != "held" or after != before:
        raise ConfigError("demo-hold", "The pull should have been held.", "This is a fault of ours; please report it.")
    await jobs.decide_hold(g.store, g.district, found["id"], "refused", IT, "The export was broken.")
    await _tell(f"{oneroster}/_twin/change", b'{"reset": true}')
    STDOUT.print(f"Nothing was published; {after['student']} students stand as before. A person refused the run.")


SIGNED = "signed form of this month"
"""Where the family's consent to the library's help is, on paper."""


@dataclass
class Story:
    """The student of the demo, and the plan."""

    plan: str
    student: dict[str, Any]
    contact: str
    content: dict[str, Any]


async def _refused(g: Gateway) -> Story:
    student, result, contact = await _somebody(g)
    counselor, teacher = await _staff(g, student)
    id = await planning.begin(g.store, g.district, student["id"], EDUCATOR)
    today = date.today()
    content = {
        "student": student["id"],
        "school": student["roles"][0]["organization"],
        "coordinator": counselor,
        "period_start": today.isoformat(),
        "next_review_on": (today + timedelta(days=56)).isoformat(),
        "tier": "targeted",
        "strengths": [{"statement": "Explains ideas clearly to younger pupils.", "said_by": "educator"}],
        "interests": [{"statement": "Wants to learn about satellites.", "said_by": "student"}],
        "needs": [{
            "domain": "academic",
            "statement": "Reads with effort when texts are long.",
            "evidence": [{"assessment_result": result}],
        }],
        "goals": [{
            "domain": "academic",
            "statement": "Reads a chapter of a science text and retells it.",
            "addresses": ["need-1"],
            "baseline_unknown_until": (today + timedelta(days=14)).isoformat(),
            "targets": [{
                "measure": "retelling score", "value": 4, "due_on": (today + timedelta(days=120)).isoformat(),
            }],
        }],
        "supports": [
            {
                "name": "Reading group", "kind": "tutoring", "goals": ["goal-1"], "setting": "in_school",
                "delivery_method": "small_group", "frequency": 3, "frequency_interval": "week",
                "duration_minutes": 30, "owner": teacher,
            },
            {
                "name": "Library science club", "kind": "mentoring", "goals": ["goal-1"], "setting": "community",
                "frequency": 1, "frequency_interval": "week", "duration_minutes": 60, "owner": {
                    "name": "Town library", "side": "partner", "organization": "Town library",
                    "agreement": "volunteer agreement 2026",
                },
                "consent": SIGNED,
            },
        ],
        "team": [{"who": counselor, "role": "coordinator"}],
    }  # fmt: skip
    await planning.edit(g.store, g.district, id, content, EDUCATOR)
    await planning.take(g.store, g.district, id, "consult", EDUCATOR)
    _heading("Refused")
    STDOUT.print("A plan that nobody talked about with the family cannot be finalized:")
    try:
        await planning.take(g.store, g.district, id, "finalize", EDUCATOR)
    except Refused as refusal:
        STDOUT.print(f"  {refusal.message}", highlight=False)
        for pointer in refusal.missing:
            STDOUT.print(f"  missing: {pointer}", highlight=False)
    else:
        raise ConfigError("demo-refusal", "The plan should have been refused.", "This is a fault of ours.")
    return Story(id, student, contact, content)


async def _planned(g: Gateway, story: Story) -> None:
    today = date.today()
    agreed = consents.Given(
        story.student["id"], story.contact, "guardian", "organization:Town library", ("identity", "outside_supports"),
        "planning", True, today, today + timedelta(days=365), SIGNED,
    )  # fmt: skip
    async with g.store.transaction(g.district) as c:
        await consents.add(g.store, c, g.district, agreed, EDUCATOR)
    story.content["consultations"] = [{
        "held_on": date.today().isoformat(),
        "mode": "in_person",
        "participants": [{"who": story.contact, "role": "parent"}],
        "outcome": "agreed",
    }]  # fmt: skip
    await planning.edit(g.store, g.district, story.plan, story.content, EDUCATOR)
    await planning.take(g.store, g.district, story.plan, "finalize", EDUCATOR)
    made = await delivery.preview(g.store, g.district, story.plan, "ods")
    _heading("Plan")
    STDOUT.print(
        f"After the consultation it is finalized: version {made.version}, student "
        f"{story.student['given_name']} {story.student['family_name']} (invented), state "
        f"{(await described(g, story.plan))['state']}."
    )
    STDOUT.print(f"sha256 {made.sha256}", highlight=False)


async def _written(g: Gateway, story: Story, edfi: str) -> list[Document]:
    number = await dispatch.request_push(g.store, g.district, story.plan, "ods", EDUCATOR)
    found = await follow_push(g, number)
    _heading("Written")
    if found["state"] != "delivered":
        raise ConfigError("demo-push", f"The delivery ended as {found['state']}.", found["reason"] or "")
    STDOUT.print("What the Ed-Fi system itself now has, read back from it:")
    documents = []
    for document, there in await delivery.read_back(g.store, g.district, story.plan, "ods"):
        if there is None:
            raise ConfigError("demo-read-back", f"{document.resource} is not there.", "This is a fault of ours.")
        documents.append(document)
        STDOUT.print(f"  {document.resource}: {_seen(there)}", highlight=False, markup=False)
    await _forget_log(edfi)
    again = await dispatch.request_push(g.store, g.district, story.plan, "ods", EDUCATOR)
    await follow_push(g, again)
    STDOUT.print(f"Pushed a second time: {await _writes(edfi)} write requests, because nothing had changed.")
    return documents


def _seen(there: dict[str, Any]) -> str:
    shown = {
        name: value
        for name, value in there.items()
        if not isinstance(value, dict | list) and not name.startswith("_") and name != "id"
    }
    return ", ".join(f"{name} {value}" for name, value in shown.items()) or "present"


async def _did_not_fit(g: Gateway, story: Story) -> None:
    made = await delivery.preview(g.store, g.district, story.plan, "ods")
    _heading("Did not fit")
    STDOUT.print("Nothing is cut in silence. What stayed here, because Ed-Fi has no place or you did not choose it:")
    show([vars(loss) for loss in made.losses], False, columns=("pointer", "kind", "reason"))


def _next(documents: list[Document]) -> None:
    _heading("Next")
    STDOUT.print(f"{len(documents)} objects were written. The demo's database is removed now; to connect your own:")
    for line in (
        "planbridge up",
        "planbridge connect oneroster --name sis",
        "planbridge pull sis",
        "planbridge rejects",
        "planbridge plan new --student NUMBER --as 'Your name'",
    ):
        STDOUT.print(f"  {line}", highlight=False)


async def _connect(g: Gateway, name: str, connector: str, plain: dict[str, Any], hidden: dict[str, str]) -> None:
    kind = registry.connector(connector)
    settings = validated(kind.settings, plain | hidden | LOOPBACK)
    for finding in await try_out(kind, settings):
        if not finding.ok:
            raise ConfigError("demo-check", finding.text, finding.fix)
    kept = {k: v for k, v in settings.model_dump(mode="json").items() if k not in hidden}
    await registers.add_connection(g.store, g.district, name, connector, kept, hidden, IT)


async def _pull(g: Gateway, name: str) -> dict[str, Any]:
    return await follow_run(g, await jobs.request_pull(g.store, g.district, name, IT))


async def _somebody(g: Gateway) -> tuple[dict[str, Any], str, str]:
    """A student with a diagnostic result and a parent: (student, result, contact)."""
    diagnostic = {
        a["id"] for a in await reading.entities(g.store, g.district, "assessment") if a.get("purpose") == "diagnostic"
    }
    results = [
        r
        for r in await reading.entities(g.store, g.district, "assessment_result")
        if r["assessment"] in diagnostic and "parent" not in r
    ]
    parents = {
        r["student"]: r["contact"]
        for r in await reading.entities(g.store, g.district, "relationship")
        if r.get("relation") in ("mother", "father")
    }
    for result in results:
        if result["student"] in parents:
            student = await reading.entity(g.store, g.district, "person", result["student"])
            assert student is not None
            return student, result["id"], parents[result["student"]]
    raise ConfigError("demo-nobody", "No student has a diagnostic result and a parent.", "This is a fault of ours.")


async def _staff(g: Gateway, student: dict[str, Any]) -> tuple[str, str]:
    """Two educators of the student's school."""
    school = student["roles"][0]["organization"]
    here = [
        person["id"]
        for person in await reading.entities(g.store, g.district, "person")
        if person.get("population") == "staff" and any(r["organization"] == school for r in person.get("roles", ()))
    ]
    return here[0], here[1]


async def _edfi_district(edfi: str) -> int:
    """The id of the district, as the simulated Ed-Fi system has it."""
    kind = registry.connector("edfi")
    settings = validated(kind.settings, {"base_url": edfi, "key": "demo-key", "secret": SECRET} | LOOPBACK)
    async with Http(kind.auth(settings), tokens=MemoryTokens(), network=settings.network) as http:
        assert kind.open_source is not None
        source = await kind.open_source(settings, http)
        agencies = next(r for r in source.resources if r.name == "localEducationAgencies")
        page = await source.pull(agencies, "")
        return int(json.loads(bytes(page.rows[0]))["localEducationAgencyId"])


async def _tell(url: str, body: bytes) -> None:
    async with Http(None, tokens=MemoryTokens(), allow_private=True) as http:
        await http.send("POST", url, json=body, repeatable=False)


async def _forget_log(edfi: str) -> None:
    async with Http(None, tokens=MemoryTokens(), allow_private=True) as http:
        await http.send("DELETE", f"{edfi}/_twin/log", json=None, repeatable=True)


async def _writes(edfi: str) -> int:
    async with Http(None, tokens=MemoryTokens(), allow_private=True) as http:
        log = (await http.get(f"{edfi}/_twin/log")).json()
    return sum(entry["method"] in ("POST", "PUT", "DELETE") and "/ed-fi/" in entry["path"] for entry in log)


@contextmanager
def _twin(name: str) -> Iterator[str]:
    """A simulated system in a process of its own, on a loopback port of its own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    process = subprocess.Popen(  # noqa: S603 ourselves
        [
            *(sys.executable, "-m", "uvicorn", f"connectors.{name}.twin:app", "--factory"),
            *("--host", "127.0.0.1", "--port", str(port), "--log-level", "critical", "--lifespan", "off"),
        ]
    )
    try:
        _await_port(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def _gateway_up() -> Iterator[None]:
    """`planbridge up`, as a district would run it. What it logs is shown where something fails."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with tempfile.TemporaryFile() as lines:
        process = subprocess.Popen(  # noqa: S603 ourselves
            [sys.executable, "-m", "gateway.cli", "up", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=lines
        )
        try:
            _await_port(port, process)
            yield
        except BaseException:
            lines.seek(0)
            sys.stderr.write(lines.read().decode(errors="replace"))
            raise
        finally:
            process.terminate()
            process.wait(60)


def _await_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + WAIT
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise ConfigError("demo-start", "A part of the demo did not start.", "See the messages above.")
        time.sleep(0.1)
