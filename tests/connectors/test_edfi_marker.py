"""Layer A: a value is put into an enrollment of the SIS, and everything else in it stays as it was."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from connectors.edfi import CONNECTOR
from connectors.edfi.server import EdfiSettings, auth
from connectors.edfi.sink import EdfiSink
from gateway.connector import Document, Receipt
from gateway.errors import AuthError, Unavailable
from gateway.http import Http, MemoryTokens
from tests.serving import serve

CORE = "uri://ed-fi.org/EducationPlanDescriptor"
MARK, OTHER = f"{CORE}#Student Success Plan", "uri://district.example.org/EducationPlanDescriptor#Reading Plan"
STUDENT = "0012001"
ID = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
WIRE = """{
  "id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
  "schoolReference": {"schoolId": 990101, "link": {"rel": "School", "href": "/ed-fi/schools/ab"}},
  "studentReference": {"studentUniqueId": "0012001", "link": {"rel": "Student", "href": "/ed-fi/students/cd"}},
  "entryDate": "2026-08-17", "primarySchool": true, "fullTimeEquivalency": 0.50,
  "entryGradeLevelDescriptor": "uri://ed-fi.org/GradeLevelDescriptor#Fourth grade",
  "alternativeGraduationPlans": [{"alternativeGraduationPlanReference": {
    "educationOrganizationId": 990100, "link": {"rel": "GraduationPlan", "href": "/ed-fi/graduationPlans/ef"}}}],
  "educationPlans": [{"educationPlanDescriptor": "uri://district.example.org/EducationPlanDescriptor#Reading Plan",
                      "_ext": {"planted": {"weight": 0.10}}}],
  "ofAnotherRelease": {"link": "a word", "Mixed_Case": [null, 12345678901234567890.123456789012345678]},
  "_ext": {"planted": {"link": {"note": "no link"}, "bell": 7}},
  "_etag": "5250000000000000001", "_lastModifiedDate": "2026-11-27T03:00:00Z"
}"""


def enrollment(**other: Any) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(WIRE)
    return row | other


def text_of(row: dict[str, Any]) -> str:
    """The row as the wire has it: with every digit of its numbers."""
    return WIRE if row == json.loads(WIRE) else json.dumps(row)


@dataclass
class Ods:
    """Enrollments of one student behind If-Match. `meddle` happens after a read, as another writer would do it."""

    rows: list[dict[str, Any]]
    meddle: Callable[["Ods"], None] = lambda ods: None
    filtered: bool = True
    answers: dict[str, int] = field(default_factory=dict)
    says: dict[str, Any] = field(default_factory=lambda: {"message": "no"})
    lost: int = 0
    """So many writes happen, and their answer is lost behind a gateway."""
    asked: list[Request] = field(default_factory=list)
    put: list[bytes] = field(default_factory=list)

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.asked]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        await self._response(request, await request.body())(scope, receive, send)

    def _response(self, request: Request, body: bytes) -> Response:
        path = request.url.path
        if path.endswith("/oauth/token"):
            return JSONResponse({"access_token": "t", "expires_in": 1800, "token_type": "bearer"})
        if "/ed-fi/" not in path:
            base = str(request.base_url).rstrip("/")
            urls = {"oauth": f"{base}/oauth/token", "dataManagementApi": f"{base}/data/v3/", "dependencies": ""}
            models = [{"name": "Ed-Fi", "version": "5.2.0"}]
            return JSONResponse({"version": "7.3", "suite": "3", "dataModels": models, "urls": urls})
        self.asked.append(request)
        if status := self.answers.get(request.method):
            return JSONResponse(self.says, status)
        id = path.rpartition("/studentSchoolAssociations")[2].strip("/")
        if not id:
            asked = request.query_params["studentUniqueId"]
            mine = [row for row in self.rows if row["studentReference"]["studentUniqueId"] == asked]
            return JSONResponse(mine if self.filtered else self.rows)
        found = next((place for place, row in enumerate(self.rows) if row["id"] == id), None)
        if found is None:
            return JSONResponse({"message": "gone"}, 404)
        row = self.rows[found]
        if request.method == "GET":
            tag = {"ETag": f'"{row["_etag"]}"'} if row["_etag"] else {}
            reply = Response(text_of(row), media_type="application/json", headers=tag)
            self.meddle(self)
            return reply
        if request.headers.get("if-match", "").strip('"') != row["_etag"]:
            return JSONResponse({"type": "urn:ed-fi:api:optimistic-lock-failed", "status": 412}, 412)
        self.put.append(body)
        self.rows[found] = {**json.loads(body), "_etag": str(int(row["_etag"]) + 1)}
        if self.lost:
            self.lost -= 1
            return Response("<html>Bad Gateway</html>", 502, media_type="text/html")
        return Response(status_code=204, headers={"ETag": f'"{self.rows[found]["_etag"]}"'})

    def writes_of_another(self, times: int) -> None:
        """Somebody else changes the record between our reading and our writing, so many times."""
        left = iter(range(times))

        def meddle(ods: "Ods") -> None:
            if (n := next(left, None)) is not None:
                row = ods.rows[0]
                ods.rows[0] = row | {"meddled": n, "_etag": str(int(row["_etag"]) + 1)}

        self.meddle = meddle

    def plans(self, place: int = 0) -> list[str]:
        return [item["educationPlanDescriptor"] for item in self.rows[place].get("educationPlans", [])]


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, Callable[[Ods], None]]]:
    """One server for all tests; each puts its own enrollments in."""
    there: list[Ods] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await there[-1](scope, receive, send)

    with serve(app) as url:
        yield url, there.append


@pytest.fixture
def ods(address: tuple[str, Callable[[Ods], None]]) -> Ods:
    made = Ods([enrollment()])
    address[1](made)
    return made


@pytest.fixture
async def sink(address: tuple[str, Callable[[Ods], None]], ods: Ods) -> AsyncIterator[EdfiSink]:
    async for opened in opening(address[0]):
        yield opened


async def opening(url: str, **more: Any) -> AsyncIterator[EdfiSink]:
    here = {"base_url": url, "key": "k", "secret": "s", "private_addresses": ["127.0.0.1: a test"]}
    settings = EdfiSettings.model_validate({**here, "education_organization_id": 990100, **more})
    async with Http(auth(settings), tokens=MemoryTokens(), network=settings.network, attempts=1) as http:
        assert CONNECTOR.open_sink is not None
        opened = await CONNECTOR.open_sink(settings, http)
        assert isinstance(opened, EdfiSink)
        yield opened


def mark(*, there: bool = True, school: int = 990101) -> Document:
    body = {
        "studentReference": {"studentUniqueId": STUDENT},
        "schoolReference": {"schoolId": school},
        "educationPlans": [{"educationPlanDescriptor": MARK}] if there else [],
    }
    key = {"educationPlanDescriptor": MARK, "plan": "p-1", "studentUniqueId": STUDENT}
    return Document("studentSchoolAssociations", key, body, merge=True)


async def pushed(sink: EdfiSink, document: Document, known: str = "") -> Receipt:
    sink.know(document, known)
    return await sink.push(document)


async def test_12_every_other_property_goes_back_as_it_came(sink: EdfiSink, ods: Ods) -> None:
    before = enrollment()
    receipt = await pushed(sink, mark())
    assert (receipt.status, receipt.remote_id, receipt.unchanged) == (204, ID, False)
    [body] = ods.put
    sent = json.loads(body)
    assert ods.methods == ["GET", "GET", "PUT"] and ods.asked[-1].headers["if-match"] == '"5250000000000000001"'
    assert sent["educationPlans"] == [*before["educationPlans"], {"educationPlanDescriptor": MARK}]
    assert list(sent) == [name for name in before if name not in ("_etag", "_lastModifiedDate")], "in their order"
    for name in ("_ext", "ofAnotherRelease", "primarySchool", "entryDate", "entryGradeLevelDescriptor", "id"):
        assert sent[name] == before[name]
    assert b"0.50" in body and b"0.10" in body and b"12345678901234567890.123456789012345678" in body
    assert sent["schoolReference"] == {"schoolId": 990101} and b"href" not in body, "no link that a server adds"
    assert sent["alternativeGraduationPlans"] == [
        {"alternativeGraduationPlanReference": {"educationOrganizationId": 990100}}
    ]
    assert await sink.read_back(mark()) == mark().body


async def test_a_mark_that_is_there_is_not_sent_and_is_not_ours(sink: EdfiSink, ods: Ods) -> None:
    ods.rows[0]["educationPlans"].append({"educationPlanDescriptor": MARK.upper()})
    receipt = await pushed(sink, mark())
    assert (receipt.status, receipt.remote_id, receipt.unchanged) == (200, "", True)
    assert (await pushed(sink, mark(there=False), receipt.remote_id)).unchanged
    assert ods.put == [] and MARK.upper() in ods.plans()


async def test_a_mark_of_ours_stays_ours_and_is_taken_out_alone(sink: EdfiSink, ods: Ods) -> None:
    ours = (await pushed(sink, mark())).remote_id
    again = await pushed(sink, mark(), f"{ours[:8]}-{ours[8:]}".upper())
    assert (again.unchanged, again.remote_id) == (True, ours)
    ods.rows[0]["exitWithdrawDate"] = "2026-11-20"
    receipt = await pushed(sink, mark(there=False), ours)
    assert (receipt.status, receipt.remote_id) == (204, "")
    assert ods.plans() == [OTHER] and ods.rows[0]["_ext"] == enrollment()["_ext"]
    assert await sink.read_back(mark(there=False)) == mark(there=False).body


async def test_what_we_put_into_a_record_that_is_gone_is_gone_with_it(sink: EdfiSink, ods: Ods) -> None:
    receipt = await pushed(sink, mark(there=False), "ff" * 16)
    assert (receipt.status, receipt.remote_id, ods.put) == (200, "", [])
    sink.know(mark(there=False), "ff" * 16)
    assert await sink.standing(mark(there=False)) == "kept"
    assert await sink.read_back(mark(there=False)) is None


async def test_what_was_never_put_anywhere_is_nowhere_looked_for(sink: EdfiSink, ods: Ods) -> None:
    sink.know(mark(there=False), "")
    assert await sink.read_back(mark(there=False)) == mark(there=False).body
    assert await sink.standing(mark(there=False)) == "kept" and ods.methods == []


@pytest.mark.parametrize("times", [1, 2])
async def test_8_who_was_faster_is_read_and_merged_again(sink: EdfiSink, ods: Ods, times: int) -> None:
    ods.writes_of_another(times)
    receipt = await pushed(sink, mark())
    assert (receipt.status, receipt.remote_id) == (204, ID)
    assert ods.methods == ["GET", *["GET", "PUT"] * (times + 1)]
    assert ods.rows[0]["meddled"] == times - 1 and MARK in ods.plans()


async def test_a_write_whose_answer_is_lost_is_looked_up_and_is_ours(sink: EdfiSink, ods: Ods) -> None:
    """Sent again blindly it would be refused, because of our own write, and then pass for somebody else's for ever."""
    ods.lost = 1
    receipt = await pushed(sink, mark())
    assert (receipt.delivered, receipt.remote_id, len(ods.put)) == (True, ID, 1)
    assert ods.methods == ["GET", "GET", "PUT", "GET"]
    ods.lost = 1
    assert (await pushed(sink, mark(there=False), receipt.remote_id)).delivered
    assert ods.plans() == [OTHER] and len(ods.put) == 2


async def test_a_write_that_is_never_answered_is_tried_again_later(sink: EdfiSink, ods: Ods) -> None:
    ods.answers["PUT"] = 502
    with pytest.raises(Unavailable):
        await pushed(sink, mark())
    assert ods.methods.count("PUT") == 3 and ods.plans() == [OTHER]


async def test_a_write_that_certainly_did_not_happen_is_not_looked_up(sink: EdfiSink, ods: Ods) -> None:
    ods.answers["PUT"] = 429
    with pytest.raises(Unavailable):
        await pushed(sink, mark())
    assert ods.methods == ["GET", "GET", "PUT"]


async def test_where_it_is_put_is_announced_before_and_taken_back_where_it_was_refused(
    sink: EdfiSink, ods: Ods
) -> None:
    said: list[tuple[str, int]] = []

    async def announce(document: Document, remote_id: str) -> None:
        said.append((remote_id, len(ods.put)))

    sink.announcing(announce)
    ods.answers["PUT"] = 403
    assert not (await pushed(sink, mark())).delivered
    ods.answers["PUT"] = 429
    with pytest.raises(Unavailable):
        await pushed(sink, mark())
    assert said == [(ID, 0), ("", 0)] * 2
    said.clear()
    ods.answers["PUT"] = 502
    with pytest.raises(Unavailable):
        await pushed(sink, mark())
    assert said == [(ID, 0)], "it may have arrived"
    said.clear()
    ods.answers.clear()
    await pushed(sink, mark())
    assert said == [(ID, 0)] and len(ods.put) == 1
    await pushed(sink, mark(), ID)
    await pushed(sink, mark(there=False), ID)
    assert len(said) == 1


async def test_who_is_not_enrolled_or_related_yet_may_be_by_itself(sink: EdfiSink, ods: Ods) -> None:
    rows, ods.rows = ods.rows, []
    assert (await pushed(sink, mark())).waits == "enrollment"
    ods.rows, ods.answers["PUT"] = rows, 403
    ods.says = {
        "type": "urn:ed-fi:api:security:authorization:",
        "detail": "Access to the resource could not be authorized.",
        "errors": ["No relationships have been established between the caller's education organization id claims "
                   "('990100') and the resource item's 'StudentUniqueId' value."],
    }  # fmt: skip
    assert (await pushed(sink, mark())).waits == "enrollment"


async def test_8_after_three_times_it_is_parked(sink: EdfiSink, ods: Ods) -> None:
    ods.writes_of_another(9)
    receipt = await pushed(sink, mark())
    assert receipt.status == 412 and "changed by someone else" in receipt.message
    assert ods.methods.count("PUT") == 3 and ods.plans() == [OTHER]


def at(school: int, id: str, **other: Any) -> dict[str, Any]:
    return enrollment(id=id, schoolReference={"schoolId": school}, **other)


NEXT_YEAR = {"entryDate": "2099-08-16"}


@pytest.mark.parametrize(
    ("rows", "marked"),
    [
        ([at(1, "a", exitWithdrawDate="2026-06-01"), at(2, "b", primarySchool=False)], "b"),
        ([at(990101, "a", primarySchool=False), at(2, "b")], "b"),
        ([at(1, "a"), at(990101, "b")], "b"),
        ([at(1, "a"), at(990101, "b", **NEXT_YEAR)], "a"),
        ([at(1, "a", entryDate="2026-09-01"), at(1, "b")], "a"),
        ([at(1, "a"), at(2, "b")], 409),
        ([at(1, "a", exitWithdrawDate="2026-06-01")], 404),
        ([], 404),
    ],
)
async def test_which_enrollment_is_marked(
    sink: EdfiSink, ods: Ods, rows: list[dict[str, Any]], marked: str | int
) -> None:
    """The open one; then the primary one, then that of the plan's school. Otherwise nobody is marked."""
    ods.rows = rows
    receipt = await pushed(sink, mark())
    if isinstance(marked, int):
        assert (receipt.status, ods.put) == (marked, []) and "enrollment" in receipt.message
    else:
        assert [row["id"] for place, row in enumerate(ods.rows) if MARK in ods.plans(place)] == [marked]
        assert receipt.remote_id == marked


async def test_the_enrollment_of_another_student_is_never_marked(sink: EdfiSink, ods: Ods) -> None:
    ods.rows, ods.filtered = [enrollment(studentReference={"studentUniqueId": "0012002"})], False
    assert (await pushed(sink, mark())).status == 404
    assert ods.put == []


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_refusal_is_a_receipt(sink: EdfiSink, ods: Ods, method: str) -> None:
    ods.answers[method] = 403
    receipt = await pushed(sink, mark())
    assert receipt.status == 403 and not receipt.delivered and STUDENT not in receipt.message
    if method == "GET":
        with pytest.raises(AuthError):
            await sink.standing(mark())


async def test_without_an_etag_nothing_is_written(sink: EdfiSink, ods: Ods) -> None:
    ods.rows[0]["_etag"] = ""
    receipt = await pushed(sink, mark())
    assert (receipt.status, ods.put) == (412, []) and "ETag" in receipt.message


@pytest.mark.parametrize("spelled", ["educationPlans", "EducationPlans"])
async def test_the_property_is_spelled_as_the_server_spells_it(sink: EdfiSink, ods: Ods, spelled: str) -> None:
    """The Ed-Fi API drops a property that is spelled otherwise, without a word."""
    row = ods.rows[0]
    row[spelled] = row.pop("educationPlans")
    await pushed(sink, mark())
    assert len(ods.rows[0][spelled]) == 2
    assert sum(name.casefold() == "educationplans" for name in ods.rows[0]) == 1


async def test_a_key_that_is_bound_to_a_profile_uses_its_media_types(
    address: tuple[str, Callable[[Ods], None]], ods: Ods
) -> None:
    async for opened in opening(address[0], enrollment_profile="Plan-Marks"):
        await pushed(opened, mark())
    kind = "application/vnd.ed-fi.studentschoolassociation.plan-marks.{}+json"
    assert [request.headers["accept"] for request in ods.asked[:2]] == [kind.format("readable")] * 2
    assert ods.asked[2].headers["content-type"] == kind.format("writable")


async def test_how_a_mark_stands_afterwards(sink: EdfiSink, ods: Ods) -> None:
    for known in ("", ID):
        sink.know(mark(), known)
        assert await sink.standing(mark()) == "dropped"
    ods.rows.append(at(990102, "new"))
    ods.rows[0]["exitWithdrawDate"] = "2026-11-20"
    assert await sink.standing(mark()) == "due", "another school has the student by now"
    ods.rows.pop()
    assert await sink.standing(mark()) == "kept", "who has left needs no mark"
    ods.rows[0].pop("exitWithdrawDate")
    await pushed(sink, mark(), ID)
    assert await sink.standing(mark()) == "kept"
    sink.know(mark(there=False), ID)
    assert await sink.standing(mark(there=False)) == "due"
    await pushed(sink, mark(there=False), ID)
    assert await sink.standing(mark(there=False)) == "kept"
