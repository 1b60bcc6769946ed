"""A finalized plan in a OneRoster gradebook: what the class reads, what the student's comment says, how it is sent."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from sqlalchemy import text
from starlette.applications import Starlette

from connectors.oneroster.settings import OneRosterSettings, auth
from connectors.oneroster.sink import open_sink
from connectors.oneroster.twin import twin
from gateway import delivery, dispatch, jobs, planning, sync
from gateway.connected import opened
from gateway.connector import Document
from gateway.errors import Refused
from gateway.http import Http, MemoryTokens
from gateway.store import deliveries, reading, registers
from gateway.store import plans as stored
from gateway.store.database import Store
from gateway.store.registers import Actor
from synthetic import build
from tests.serving import serve
from tests.taken_back import objects, taken_back

DISTRICT = build(schools=1, students=24, seed=11)
COUNSELOR = Actor("Ottoline Farrow", "educator")
PLANTED = ("zirconfish", "quartzowl", "basaltcrane", "feldsparhare", "opalnewt")
"""In the title, needs, goals, strengths and supports of the plan, in this order."""
SCHEMA = Path(__file__).parents[2].parent / "shared/contracts/oneroster/jsonschema/v1p2_gradebook.schema.json"


@dataclass
class Here:
    """A district that has pulled its OneRoster system, with a finalized plan."""

    store: Store
    district: int
    twin: Starlette
    connection: registers.Connection
    plan: str = ""
    student: dict[str, Any] = field(default_factory=dict)

    async def classes(self) -> list[str]:
        """The student's classes by the ids that the system has for them."""
        found = await reading.referring(self.store, self.district, "enrollment", "person", self.student["id"])
        async with self.store.transaction(self.district) as c:
            keys = await reading.keys_at(c, self.connection.id, "class", [one["class"] for one in found])
        return sorted(keys.values())

    async def choose(self, **choices: Any) -> None:
        async with self.store.transaction(self.district) as c:
            await deliveries.set_profile(c, self.district, self.connection.id, choices)

    async def push(self) -> dict[str, Any]:
        number, _ = await delivery.request(self.store, self.district, self.plan, "sis", COUNSELOR)
        await dispatch.deliver_job(self.store, self.district, number)
        async with self.store.transaction(self.district) as c:
            return await deliveries.status(c, number)

    def written(self) -> list[tuple[str, str, Any]]:
        """Every request that wrote, as (method, path, body)."""
        return [
            (one.method, one.path, json.loads(one.body) if one.body else None)
            for one in self.twin.state.received
            if one.method in ("PUT", "POST", "DELETE") and not one.path.endswith("/token")
        ]


@contextmanager
def a_system(*, says_ids: bool = True, **switches: Any) -> Iterator[tuple[Starlette, str]]:
    made = twin(DISTRICT, **switches)
    with serve(made if says_ids else _silent(made)) as url:
        yield made, url


def _silent(app: Any) -> Any:
    """The system with no body in its answers to POST, but for tokens."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def told(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [one for one in message["headers"] if one[0] != b"content-length"]
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        posts = scope.get("method") == "POST" and not scope["path"].endswith("/token")
        await app(scope, receive, told if posts else send)

    return answer


@pytest.fixture
def switches() -> dict[str, Any]:
    """How the system differs from the standard, and how the connection writes."""
    return {}


@pytest.fixture
async def here(store: Store, district: int, switches: dict[str, Any]) -> AsyncIterator[Here]:
    write = switches.pop("write", "put")
    with a_system(**switches) as (made, url):
        given = {"base_url": url, "token_url": f"{url}/token", "client_id": "demo-client", "write": write}
        given |= {"private_addresses": ["127.0.0.1: a twin"], "client_secret": "demo-secret"}
        if "versions" in switches:
            given["version"] = switches["versions"][0]
        settings = OneRosterSettings.model_validate(given)
        plain = settings.model_dump(mode="json", exclude={"client_secret", "proxy"})
        number = await registers.add_connection(
            store, district, "sis", "oneroster", plain, {"client_secret": "demo-secret"}, COUNSELOR
        )
        run = await jobs.request_pull(store, district, number, COUNSELOR)
        assert await sync.run(store, district, run) is not None
        one = Here(store, district, made, await registers.connection(store, district, "sis"))
        people = await reading.entities(store, district, "person")
        enrolled = {each["person"] for each in await reading.entities(store, district, "enrollment")}
        one.student = next(each for each in people if each["population"] == "student" and each["id"] in enrolled)
        teacher = next(each["id"] for each in people if each["population"] == "staff" and each.get("roles"))
        one.plan = await _finalized(store, district, one.student["id"], teacher)
        made.state.received.clear()
        yield one


async def _finalized(store: Store, district: int, student: str, teacher: str) -> str:
    plan = await planning.begin(store, district, student, COUNSELOR)

    async def edit(**change: Any) -> None:
        async with store.transaction(district) as c:
            content = (await stored.load(c, plan)).content
        await planning.edit(store, district, plan, content | change, COUNSELOR)

    title, need, goal, strength, support = PLANTED
    today = date.today()
    await edit(
        title=f"Plan {title}",
        coordinator=teacher,
        next_review_on=(today + timedelta(days=60)).isoformat(),
        strengths=[
            {"statement": f"Draws a {strength}.", "domain": "academic"},
            {"statement": "Calm when alone.", "domain": "social_emotional"},
        ],
        needs=[{"domain": "academic", "statement": f"{need}.", "evidence": [{"observation": f"{need} again."}]}],
        goals=[
            {
                "domain": "academic",
                "statement": f"Reads about a {goal}",
                "addresses": ["need-1"],
                "baseline": {"measure": "pages", "value": 1, "on": today.isoformat()},
                "targets": [{"measure": "pages", "value": 4, "due_on": (today + timedelta(days=90)).isoformat()}],
            }
        ],
        supports=[
            {"name": f"The {support} hour", "kind": "tutoring", "owner": teacher, "goals": ["goal-1"]},
            {"name": "Quiet room", "kind": "counseling", "owner": teacher, "goals": ["goal-1"]},
        ],
    )
    await planning.take(store, district, plan, "consult", COUNSELOR)
    async with store.transaction(district) as c:
        [*_, seen] = [e for e in await stored.events(c, plan) if e["act"] == "shown"]
    meeting = {
        "held_on": today.isoformat(),
        "participants": [{"who": {"name": "Imre Halloway", "side": "family"}, "role": "guardian"}],
        "outcome": "agreed",
        "shown_sha256": seen["detail"]["shown_sha256"],
    }
    await edit(consultations=[meeting])
    await planning.take(store, district, plan, "finalize", COUNSELOR)
    return plan


async def test_nothing_is_written_until_a_district_names_classes(here: Here) -> None:
    await here.choose()
    made = await here.push()
    assert made["state"] == "delivered" and here.written() == []
    assert [loss["reason"] for loss in made["losses"]] == [
        "Nothing is sent: no class is switched on for this destination."
    ]
    await here.choose(classes=["a-class-of-somebody-else"])
    await here.push()
    assert here.written() == []


async def test_a_class_reads_a_generic_title_and_the_plans_words_are_nowhere(here: Here) -> None:
    """With the default profile: planted words in no body, URL or id, and no score."""
    wanted = (await here.classes())[0]
    await here.choose(classes=[wanted])
    made = await here.push()
    assert made["state"] == "delivered", (made["reason"], made["receipts"])
    category, line_item, result = here.written()
    assert [one[0] for one in (category, line_item, result)] == ["PUT"] * 3
    assert line_item[2]["lineItem"]["title"] == "Student success plan"
    assert line_item[2]["lineItem"]["class"]["sourcedId"] == wanted
    assert result[2]["result"]["scoreStatus"] == "exempt" and "score" not in result[2]["result"]
    for one in here.twin.state.received:
        told = f"{one.method} {one.path} {one.query} {dict(one.headers)} {one.body}".casefold()
        assert not [word for word in (*PLANTED, here.student["family_name"].casefold()) if word in told]
        assert here.plan not in told


async def test_the_words_that_a_district_chose_stand_in_that_students_comment_alone(here: Here) -> None:
    """And feelings and counseling are told to no gradebook, whatever is chosen."""
    wanted = (await here.classes())[0]
    choices = dict.fromkeys(("include_strengths", "include_goals", "include_supports", "include_review"), True)
    await here.choose(classes=[wanted], **choices)
    made = await here.push()
    *shared, (_, path, body) = here.written()
    comment = body["result"]["comment"]
    title, need, goal, strength, support = PLANTED
    for word in (goal, strength, support):
        assert word in comment
        assert word not in json.dumps([*shared, path, {**body["result"], "comment": ""}])
    for word in (title, need, "Calm", "Quiet room"):
        assert word not in json.dumps(here.written())
    withheld = {loss["pointer"] for loss in made["losses"] if loss["kind"] == "withheld"}
    assert {"/needs", "/strengths/1", "/supports/1"} <= withheld


async def test_what_is_sent_is_valid_and_absolute(here: Here) -> None:
    """Against the gradebook document of OneRoster 1.2."""
    if not SCHEMA.is_file():
        pytest.skip("the contracts are not beside the checkout")
    document = json.loads(SCHEMA.read_text())
    await here.choose(classes=(await here.classes())[:1])
    await here.push()
    named = {"category": "CategoryDType", "lineItem": "LineItemDType", "result": "ResultDType"}
    for _, _, body in here.written():
        [(name, record)] = body.items()
        jsonschema.validate(record, {**document, "$ref": f"#/$defs/{named[name]}"})
        assert all(part["href"].startswith("http") for part in record.values() if isinstance(part, dict))


async def test_the_same_plan_again_writes_nothing_and_a_second_student_no_second_line_item(here: Here) -> None:
    wanted = (await here.classes())[0]
    await here.choose(classes=[wanted])
    await here.push()
    before = len(here.written())
    assert (await here.push())["state"] == "delivered"
    assert len(here.written()) == before
    enrolled = await reading.entities(here.store, here.district, "enrollment")
    async with here.store.transaction(here.district) as c:
        keys = await reading.keys_at(c, here.connection.id, "class", [one["class"] for one in enrolled])
    mates = [one["person"] for one in enrolled if keys[one["class"]] == wanted and one["role"] == "student"]
    people = await reading.entities(here.store, here.district, "person")
    teacher = next(each["id"] for each in people if each["population"] == "staff" and each.get("roles"))
    here.plan = await _finalized(
        here.store, here.district, next(one for one in mates if one != here.student["id"]), teacher
    )
    await here.push()
    assert [path.rpartition("/")[0].rpartition("/")[2] for _, path, _ in here.written()[before:]] == ["results"]


@pytest.mark.parametrize("switches", [{"write": "post", "put": False}])
async def test_a_server_that_gives_its_own_ids_is_written_to_by_post(here: Here) -> None:
    """The result refers to the line item by the id that the server gave, also when that was there before."""
    wanted = (await here.classes())[0]
    categories = [one for one in here.twin.state.received if "categories" in one.path]
    assert not categories
    category = await _category_of(here)
    await here.choose(classes=[wanted], category=category)
    made = await here.push()
    assert made["state"] == "delivered", (made["reason"], made["receipts"])
    (_, first, items), (_, second, results) = here.written()
    assert first.endswith(f"/classes/{wanted}/lineItems")
    supplied = items["lineItems"][0]["sourcedId"]
    given = results["results"][0]["lineItem"]["sourcedId"]
    assert given != supplied and second.endswith(f"/lineItems/{given}/results")
    assert (await here.push())["state"] == "delivered"
    assert len(here.written()) == 2


@pytest.mark.parametrize("switches", [{"write": "post", "put": False}])
async def test_what_was_posted_before_a_crash_is_found_and_not_posted_again(here: Here) -> None:
    """The server has it, and the process died before it wrote down the id: the class must not see a second one."""
    await here.choose(classes=(await here.classes())[:1], category=await _category_of(here))
    assert (await here.push())["state"] == "delivered"
    made = here.written()
    async with here.store.owner.begin() as c:
        await c.execute(text("UPDATE ledger SET delivered_sha256 = NULL, remote_id = ''"))
    again = await here.push()
    assert again["state"] == "delivered", (again["reason"], again["receipts"])
    assert here.written() == made


@pytest.mark.parametrize("switches", [{"write": "post", "put": False, "says_ids": False}])
async def test_a_server_that_does_not_say_its_ids_is_looked_at_for_them(here: Here) -> None:
    await here.choose(classes=(await here.classes())[:1], category=await _category_of(here))
    made = await here.push()
    assert made["state"] == "delivered", (made["reason"], made["receipts"])
    (_, _, items), (_, second, _) = here.written()
    assert items["lineItems"][0]["sourcedId"] not in second
    assert (await here.push())["state"] == "delivered" and len(here.written()) == 2


@pytest.mark.parametrize("switches", [{"write": "post", "put": False}])
async def test_what_was_posted_and_whose_id_was_lost_is_not_said_to_be_taken_back(here: Here) -> None:
    """The student's result is still there: pushed once more it is found, and then it can be taken back."""
    await here.choose(classes=(await here.classes())[:1], category=await _category_of(here))
    await here.push()
    async with here.store.owner.begin() as c:
        await c.execute(text("UPDATE ledger SET delivered_sha256 = NULL, remote_id = ''"))
    kept = await taken_back(here.store, here.district, here.plan, "sis", COUNSELOR, "it ended")
    assert (kept["state"], objects(kept)) == ("parked", 0) and "Push the plan once more" in kept["reason"]
    await here.push()
    assert objects(await taken_back(here.store, here.district, here.plan, "sis", COUNSELOR, "it ended")) == 1
    assert [method for method, *_ in here.written()][-1] == "DELETE"


@pytest.mark.parametrize("switches", [{"write": "post", "put": False}])
async def test_what_a_server_gave_its_own_ids_is_read_back(here: Here) -> None:
    await here.choose(classes=(await here.classes())[:1], category=await _category_of(here))
    await here.push()
    found = await delivery.read_back(here.store, here.district, here.plan, "sis")
    assert [document.resource for document, there in found if there is None] == []


async def _category_of(here: Here) -> str:
    """A category that the gradebook has."""
    async with opened(here.store, here.connection) as (_, settings, http):
        assert isinstance(settings, OneRosterSettings)
        reply = await http.get(f"{settings.base_url}/ims/oneroster/gradebook/v1p2/categories", {"limit": 1})
        return str(reply.json()["categories"][0]["sourcedId"])


@pytest.mark.parametrize("switches", [{"versions": ("1.1",)}])
async def test_a_score_is_made_up_for_no_gradebook(here: Here) -> None:
    """1.1 demands one; the delivery waits, and says why."""
    await here.choose(classes=(await here.classes())[:1])
    made = await here.push()
    assert made["state"] == "parked" and "a plan is never graded" in made["reason"]
    assert "score" not in here.written()[-1][2]["result"]


@pytest.mark.parametrize("switches", [{"versions": ("1.1",), "score_missing": True}])
async def test_an_old_gradebook_gets_the_old_shape(here: Here) -> None:
    await here.choose(classes=(await here.classes())[:1])
    made = await here.push()
    assert made["state"] == "delivered", (made["reason"], made["receipts"])
    _, (_, path, item), (_, _, result) = here.written()
    assert "/ims/oneroster/v1p1/lineItems/" in path
    assert "school" not in item["lineItem"] and item["lineItem"]["resultValueMax"] == 100
    assert "class" not in result["result"]


@pytest.mark.parametrize("switches", [{}, {"delete": False}, {"write": "post", "put": False}])
async def test_a_plan_is_taken_back_from_the_gradebook_and_the_class_keeps_its_line_item(here: Here) -> None:
    wanted = (await here.classes())[0]
    await here.choose(classes=[wanted], category=await _category_of(here))
    assert (await here.push())["state"] == "delivered"
    assert [found is not None for _, found in await _there(here)] == [True, True]
    with pytest.raises(Refused, match="needs a reason"):
        await taken_back(here.store, here.district, here.plan, "sis", COUNSELOR, " ")
    assert objects(await taken_back(here.store, here.district, here.plan, "sis", COUNSELOR, "The family asked.")) == 1
    assert [found is not None for _, found in await _there(here)] == [True, False]
    assert (await here.push())["state"] == "delivered"
    assert [found is not None for _, found in await _there(here)] == [True, True]


async def _there(here: Here) -> list[tuple[Document, dict[str, Any] | None]]:
    return await delivery.read_back(here.store, here.district, here.plan, "sis")


@pytest.mark.parametrize("delete", [True, False])
async def test_what_was_written_can_be_taken_back(store: Store, delete: bool) -> None:
    with a_system(delete=delete) as (_, url):
        given = {"base_url": url, "token_url": f"{url}/token", "client_id": "demo-client", "write": "put"}
        given |= {"client_secret": "demo-secret", "private_addresses": ["127.0.0.1: a twin"], "version": "1.2"}
        settings = OneRosterSettings.model_validate(given)
        async with Http(auth(settings), tokens=MemoryTokens(), network=settings.network) as http:
            sink = await open_sink(settings, http)
            document = Document(
                "categories", {"sourcedId": "planbridge-x"}, {"sourcedId": "planbridge-x", "title": "Plans"}
            )
            assert (await sink.push(document)).delivered
            assert await sink.read_back(document) == {"sourcedId": "planbridge-x", "title": "Plans"}
            assert (await sink.delete(document)).delivered
            assert await sink.read_back(document) is None
            if delete:
                assert (await sink.delete(document)).unchanged


async def test_a_server_that_does_not_know_how_to_delete_is_not_believed_to_have_done_it(store: Store) -> None:
    """404 may mean that nothing is there, or that there is no such request: only a look tells."""
    made = twin(DISTRICT)

    async def without_delete(scope: Any, receive: Any, send: Any) -> None:
        other = {**scope, "path": "/nowhere", "raw_path": b"/nowhere"} if scope.get("method") == "DELETE" else scope
        await made(other, receive, send)

    with serve(without_delete) as url:
        given = {"base_url": url, "token_url": f"{url}/token", "client_id": "demo-client", "write": "put"}
        given |= {"client_secret": "demo-secret", "private_addresses": ["127.0.0.1: a twin"], "version": "1.2"}
        settings = OneRosterSettings.model_validate(given)
        async with Http(auth(settings), tokens=MemoryTokens(), network=settings.network) as http:
            sink = await open_sink(settings, http)
            document = Document(
                "categories", {"sourcedId": "planbridge-x"}, {"sourcedId": "planbridge-x", "title": "P"}
            )
            assert (await sink.delete(document)).unchanged
            await sink.push(document)
            assert (await sink.delete(document)).delivered
            assert await sink.read_back(document) is None
