"""What is written to the twin's gradebook can be read again, and what the contract forbids is refused."""

import json
from typing import Any

import httpx
import pytest

from connectors.oneroster.twin import twin
from tests.serving import serve
from tests.twins.oneroster import DISTRICT, Client, asked, complaints

BOTH = ("1.1", "1.2")
MOMENT = "2026-10-01T00:00:00.000Z"


def reference(row: dict[str, Any], kind: str) -> dict[str, str]:
    return {"href": f"https://ours.example.org/{row['sourcedId']}", "sourcedId": row["sourcedId"], "type": kind}


class Desk:
    """Records about one class of the twin's, as a client writes them."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.item = client.rows("lineItems")[0]
        self.of_class = self.item["class"]["sourcedId"]
        self.student = client.rows(f"classes/{self.of_class}/students")[0]

    def line_item(self, sourced_id: str = "our-item", **other: Any) -> dict[str, Any]:
        row = {
            "sourcedId": sourced_id, "status": "active", "dateLastModified": MOMENT, "title": "Goals",
            "assignDate": MOMENT, "dueDate": MOMENT, "class": self.item["class"], "category": self.item["category"],
            "resultValueMin": 0, "resultValueMax": 1,
        }  # fmt: skip
        return row | ({"school": self.item["school"]} if self.client.version == "1.2" else {}) | other

    def result(self, sourced_id: str = "our-result", item: str = "our-item", **other: Any) -> dict[str, Any]:
        row = {
            "sourcedId": sourced_id, "status": "active", "dateLastModified": MOMENT,
            "lineItem": reference({"sourcedId": item}, "lineItem"), "student": reference(self.student, "user"),
            "scoreStatus": "exempt", "scoreDate": "2026-10-01", "comment": "Said to the student only.",
        }  # fmt: skip
        return row | ({"score": 0} if self.client.version == "1.1" else {}) | other

    def put(self, collection: str, single: str, row: dict[str, Any]) -> httpx.Response:
        return self.client.put(self.client.at(f"{collection}/{row['sourcedId']}"), json={single: row})

    def post(self, path: str, collection: str, *rows: dict[str, Any]) -> httpx.Response:
        return self.client.post(self.client.at(path), json={collection: rows})


@pytest.mark.usefixtures("contracts")
@pytest.mark.parametrize("version", BOTH)
def test_what_is_put_can_be_read(version: str) -> None:
    new, gone = (200, 200) if version == "1.1" else (201, 204)
    with asked(version, versions=BOTH) as client:
        desk = Desk(client)
        item, result = desk.line_item(), desk.result()
        assert complaints(version, "lineItems", item) == complaints(version, "results", result) == []
        assert desk.put("lineItems", "lineItem", item).status_code == new
        assert desk.put("results", "result", result).status_code == new
        for path in (
            "results",
            f"classes/{desk.of_class}/results",
            f"classes/{desk.of_class}/lineItems/our-item/results",
        ):
            found = client.all(path)["our-result"]
            assert found["comment"] == "Said to the student only." and complaints(version, "results", found) == []
            assert found["student"]["href"].startswith(str(client.base_url)), "not what the client called it"
        client.version = "1.1" if version == "1.2" else "1.2"
        assert complaints(client.version, "lineItems", client.all("lineItems")["our-item"]) == []
        client.version = version
        delta = client.rows("results", filter=f"dateLastModified>'{MOMENT}'")
        assert [row["sourcedId"] for row in delta] == ["our-result"]
        assert desk.put("lineItems", "lineItem", desk.line_item(title="Other")).is_success
        assert client.all("lineItems")["our-item"]["title"] == "Other"
        assert client.delete(client.at("lineItems/our-item")).status_code == gone
        assert client.delete(client.at("lineItems/our-item")).status_code == 404
        assert client.get(client.at("lineItems/our-item")).status_code == 404
        assert "our-result" not in client.all("results"), "a line item goes with its results"
        first = client.rows("categories")[0]["sourcedId"]
        assert client.delete(client.at(f"categories/{first}")).status_code == gone
        assert first not in client.all("categories"), "what the system had before can go too"


def test_assessments_and_scales_are_written_in_1_2() -> None:
    with asked() as client:
        for collection, single in (
            ("scoreScales", "scoreScale"), ("assessmentLineItems", "assessmentLineItem"),
            ("assessmentResults", "assessmentResult"), ("categories", "category"),
        ):  # fmt: skip
            row = client.rows(collection)[0] | {"sourcedId": "ours"}
            assert client.put(client.at(f"{collection}/ours"), json={single: row}).status_code == 201, collection
            kept = client.get(client.at(f"{collection}/ours")).json()[single]
            assert kept == row | {"dateLastModified": kept["dateLastModified"]}
            assert client.delete(client.at(f"{collection}/ours")).status_code == 204


def test_deleted_rows_stay_as_tombstones_where_these_are_kept() -> None:
    with asked(tombstones=True) as client:
        client.delete(client.at(f"results/{client.rows('results')[0]['sourcedId']}"))
        (gone,) = client.rows("results", filter="status='tobedeleted'")
        assert gone["student"]


@pytest.mark.parametrize(("allocates", "written"), [(True, "allocated-1"), (False, "our-item")])
def test_a_post_is_answered_with_pairs(allocates: bool, written: str) -> None:
    with asked(allocates=allocates) as client:
        desk = Desk(client)
        answer = desk.post(f"classes/{desk.of_class}/lineItems", "lineItems", desk.line_item())
        assert answer.status_code == 201
        assert answer.json() == {"sourcedIdPairs": [{"suppliedSourcedId": "our-item", "allocatedSourcedId": written}]}
        assert client.all("lineItems")[written]["title"] == "Goals"
        answer = desk.post(
            f"lineItems/{written}/results", "results", desk.result("a", written), desk.result("b", written)
        )
        assert len(answer.json()["sourcedIdPairs"]) == 2
        term = client.rows("terms")[0]["sourcedId"]
        path = f"classes/{desk.of_class}/academicSessions/{term}/results"
        assert desk.post(path, "results", desk.result("c", written)).status_code == 201
        school = desk.item["school"]["sourcedId"]
        assert desk.post(f"schools/{school}/lineItems", "lineItems", desk.line_item("d")).status_code == 201
        assert desk.post(f"lineItems/{written}/results", "results", desk.result("e", "another")).status_code == 422
        other = next(row["sourcedId"] for row in client.rows("classes") if row["sourcedId"] != desk.of_class)
        assert desk.post(f"classes/{other}/lineItems", "lineItems", desk.line_item()).status_code == 422
        assert desk.post("classes/nobody/lineItems", "lineItems", desk.line_item()).status_code == 404


WRONG: list[dict[str, Any]] = [
    {"title": None}, {"title": 7}, {"shoeSize": 41}, {"assignDate": "2026-10-01"}, {"assignDate": "soon"},
    {"class": "text"}, {"class": {"sourcedId": "x"}}, {"status": "inactive"}, {"resultValueMax": "1"},
    {"category": {"href": "https://x.example.org", "sourcedId": "nobody", "type": "category"}},
    {"learningObjectiveSet": [{"learningObjectiveIds": ["x"]}]}, {"sourcedId": "another"},
]  # fmt: skip


def test_what_breaks_the_contract_is_refused_and_not_kept() -> None:
    with asked() as client:
        desk = Desk(client)
        address = client.at("lineItems/our-item")
        for change in WRONG:
            answer = client.put(address, json={"lineItem": desk.line_item() | change})
            assert answer.status_code == 422, change
            assert (
                answer.json()["imsx_CodeMinor"]["imsx_codeMinorField"][0]["imsx_codeMinorFieldValue"] == "invaliddata"
            )
        for missing in ("title", "class", "school", "category", "assignDate", "dueDate", "status", "sourcedId"):
            row = {name: value for name, value in desk.line_item().items() if name != missing}
            assert client.put(address, json={"lineItem": row}).status_code == 422, missing
        assert client.put(address, content=b"no json").status_code == 422
        assert client.put(address, json={"lineItems": [desk.line_item()]}).status_code == 422
        assert (
            desk.put("results", "result", desk.result(item=desk.item["sourcedId"], scoreStatus="great")).status_code
            == 422
        )
        assert desk.put("results", "result", desk.result(item=desk.item["sourcedId"], late=True)).status_code == 422
        extended = desk.result(item=desk.item["sourcedId"], scoreStatus="ext:great")
        assert desk.put("results", "result", extended).status_code == 201
        assert client.get(address).status_code == 404


def test_each_verb_can_be_missing_and_each_has_its_scope() -> None:
    scope = "https://purl.imsglobal.org/spec/or/v1p2/scope/gradebook."
    for verb in ("put", "post", "delete"):
        with asked(**{verb: False}) as client:
            desk = Desk(client)
            answers = {
                "put": desk.put("lineItems", "lineItem", desk.line_item()),
                "post": desk.post(f"classes/{desk.of_class}/lineItems", "lineItems", desk.line_item()),
                "delete": client.delete(client.at(f"lineItems/{desk.item['sourcedId']}")),
            }
            assert {name: answer.status_code for name, answer in answers.items()} == {
                "put": 201, "post": 201, "delete": 204
            } | {verb: 405}  # fmt: skip
    for verb, granted in (("put", "createput"), ("post", "createpost"), ("delete", "delete")):
        with asked() as client:
            desk = Desk(client)
            client.sign_in(scope=scope + granted)
            statuses = {
                "put": desk.put("lineItems", "lineItem", desk.line_item()).status_code,
                "post": desk.post(f"classes/{desk.of_class}/lineItems", "lineItems", desk.line_item()).status_code,
                "delete": client.delete(client.at(f"lineItems/{desk.item['sourcedId']}")).status_code,
            }
            assert statuses.pop(verb) < 300 and set(statuses.values()) == {403}


def test_everything_received_can_be_read_without_the_secrets() -> None:
    app = twin(DISTRICT, client=("basic", "form", "query"))
    with serve(app) as url, Client(base_url=url) as client:
        client.sign_in(client_secret="demo-secret")
        client.post("/token", params={"grant_type": "client_credentials", "client_secret": "demo-secret"})
        desk = Desk(client)
        desk.put("lineItems", "lineItem", desk.line_item(title="PLANTED"))
        client.get(client.at("lineItems"), params={"filter": "title='PLANTED-2'"})
        put = next(one for one in app.state.received if one.method == "PUT")
        assert put.path == client.at("lineItems/our-item") and json.loads(put.body)["lineItem"]["title"] == "PLANTED"
        assert put.headers["authorization"] == "Bearer" and put.headers["content-type"] == "application/json"
        assert "PLANTED-2" in app.state.received[-1].query
        token = client.headers["Authorization"].removeprefix("Bearer ")
        assert not [one for one in app.state.received if "demo-secret" in repr(one) or token in repr(one)]
