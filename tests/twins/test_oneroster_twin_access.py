"""The twin lets in as each kind of system does, and nobody else; every preset is what the vendors' systems are."""

import time
from typing import Any

import httpx
import pytest

from connectors.oneroster.twin import PRESETS, app, twin
from tests.serving import serve
from tests.twins.oneroster import DISTRICT, ROOT, ROOTS, Client, asked, signed

FORM = {"grant_type": "client_credentials"}
CREDENTIALS = {"client_id": "demo-client", "client_secret": "demo-secret"}
SCOPE = "https://purl.imsglobal.org/spec/or/v1p1/scope/roster-core.readonly"
ORGS = f"{ROOTS['roster']}/orgs"


@pytest.mark.parametrize("place", ["basic", "form", "query"])
def test_credentials_are_looked_for_in_their_place_only(place: str) -> None:
    with serve(twin(DISTRICT, client=(place,))) as url, httpx.Client(base_url=url) as client:
        answers = {
            "basic": client.post("/token", data=FORM, auth=("demo-client", "demo-secret")),
            "form": client.post("/token", data=FORM | CREDENTIALS),
            "query": client.post("/token", params=FORM | CREDENTIALS),
        }
        assert {where: answer.status_code for where, answer in answers.items()} == {
            where: 200 if where == place else 401 for where in answers
        }


@pytest.mark.parametrize(
    ("scope", "without", "known", "unknown"),
    [("optional", 200, 200, 400), ("required", 400, 200, 400), ("ignored", 200, 200, 200), ("refused", 200, 400, 400)],
)
def test_scopes_of_a_token(scope: str, without: int, known: int, unknown: int) -> None:
    with serve(twin(DISTRICT, scope=scope, versions=("1.1",))) as url, Client(base_url=url) as client:
        assert client.sign_in().status_code == without
        assert client.sign_in(scope=SCOPE).status_code == known
        assert client.sign_in(scope="https://example.org/other").status_code == unknown


def test_a_token_is_spelt_and_given_out_where_the_switches_say() -> None:
    with serve(twin(DISTRICT, token_type="bearer", grant_path="/sign/in")) as url, Client(base_url=url) as client:
        assert client.sign_in("/token").status_code == 404
        assert client.sign_in("/sign/in").json()["token_type"] == "bearer"
        assert client.rows("orgs")


def test_a_fixed_token_is_the_secret() -> None:
    with serve(twin(DISTRICT, style="bearer")) as url, Client(base_url=url) as client:
        assert client.sign_in().status_code == 404
        for token, status in (("demo-secret", 200), ("another", 401)):
            assert client.get(ORGS, headers={"Authorization": f"Bearer {token}"}).status_code == status
        client.put("/_twin/secret", json={"secret": "renewed"})
        assert client.get(ORGS, headers={"Authorization": "Bearer demo-secret"}).status_code == 401
        assert client.get(ORGS, headers={"Authorization": "Bearer renewed"}).status_code == 200


# --- OAuth 1.0a, as another implementation signs

AWKWARD = "s e+c/r&e=t%20ü*~"
QUERY = {"filter": "familyName='O\"Hara & Söhne+'", "sort": "", "limit": "5", "fields": "sourcedId,name"}


@pytest.mark.parametrize("hashing", ["HMAC-SHA1", "HMAC-SHA256"])
def test_signatures_of_another_implementation_are_good(hashing: str) -> None:
    with (
        serve(twin(DISTRICT, style="oauth1", client_secret=AWKWARD)) as url,
        httpx.Client(base_url=url) as client,
    ):
        for query in ({}, {"limit": "7", "offset": "2"}, QUERY | {"fields": "sourcedId", "filter": "name~'é+ &=%'"}):
            address = str(httpx.URL(f"{url}{ORGS}", params=query))
            answer = client.get(address, headers=signed("GET", address, hashing, AWKWARD))
            assert answer.status_code == 200, answer.text


def test_signatures_that_are_refused() -> None:
    with serve(twin(DISTRICT, style="oauth1")) as url, httpx.Client(base_url=url) as client:
        address = f"{url}{ORGS}?limit=7"

        def refusal(headers: dict[str, str], sent: str = address, method: str = "GET") -> str:
            answer = client.request(method, sent, headers=headers)
            return "" if answer.status_code == 200 else str(answer.json()["imsx_description"])

        good = signed("GET", address, "HMAC-SHA1")
        assert refusal(good) == ""
        assert "nonce" in refusal(good)
        assert "not signed" in refusal({})
        assert "signature is wrong" in refusal(signed("GET", address, "HMAC-SHA1", "other"))
        assert "signature is wrong" in refusal(signed("GET", address, "HMAC-SHA1"), f"{url}{ORGS}?limit=8")
        assert "signature is wrong" in refusal(signed("GET", f"{url}{ORGS}", "HMAC-SHA1"), address)
        assert "signature is wrong" in refusal(signed("GET", f"{url}/orgs?limit=7", "HMAC-SHA1"))
        old = str(int(time.time()) - 3600)
        assert "timestamp" in refusal(signed("GET", address, "HMAC-SHA1", timestamp=old))
        renamed = good["Authorization"].replace("oauth_nonce", "oauth_nonsense")
        assert "not signed" in refusal({"Authorization": renamed})
        assert "not known" in refusal({"Authorization": f'{good["Authorization"]}, oauth_more="1"'})
        client.put("/_twin/secret", json={"secret": "renewed"})
        assert "signature is wrong" in refusal(signed("GET", address, "HMAC-SHA1"))
        assert refusal(signed("GET", address, "HMAC-SHA1", "renewed")) == ""


def test_one_hash_only() -> None:
    with serve(twin(DISTRICT, preset="classlink")) as url, httpx.Client(base_url=url) as client:
        address = f"{url}{ROOT}/orgs"
        assert client.get(address, headers=signed("GET", address, "HMAC-SHA1")).status_code == 401
        assert client.get(address, headers=signed("GET", address, "HMAC-SHA256")).status_code == 200


def test_a_session_is_demanded_after_the_first_request() -> None:
    with serve(twin(DISTRICT, cookie=True)) as url, Client(base_url=url) as client, Client(base_url=url) as other:
        client.sign_in()
        for _ in range(3):
            assert client.get(ORGS).status_code == 200
        other.headers["Authorization"] = client.headers["Authorization"]
        assert other.get(ORGS).status_code == 401, "the token is good, the session is another's"
        other.cookies.set("ONEROSTERSESSION", client.cookies["ONEROSTERSESSION"])
        assert other.get(ORGS).status_code == 200
        client.cookies.clear()
        assert client.get(ORGS).status_code == 401


def test_a_session_of_a_fixed_token_begins_with_its_first_request() -> None:
    with serve(twin(DISTRICT, style="bearer", cookie=True)) as url, Client(base_url=url) as client:
        client.headers["Authorization"] = "Bearer demo-secret"
        assert [client.get(ORGS).status_code for _ in range(2)] == [200, 200]
        client.cookies.clear()
        assert client.get(ORGS).status_code == 401


# --- presets


def test_a_switch_that_nothing_has_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="page_cup"):
        twin(DISTRICT, page_cup=7)
    with pytest.raises(KeyError):
        twin(DISTRICT, preset="clever")


def test_a_preset_can_be_named_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIN_PRESET", "aeries")
    monkeypatch.setenv("TWIN_STUDENTS", "20")
    with serve(app()) as url, Client(base_url=url) as client:
        assert client.get(f"{entered(client, 'aeries')}/orgs").status_code == 200


def entered(client: Client, preset: str) -> str:
    """Signs in as the preset wants it, and gives the address of its roster."""
    access, below = PRESETS[preset].access, PRESETS[preset].below
    match preset:
        case "classlink-proxy":
            client.headers["Authorization"] = "Bearer demo-secret"
        case "infinite-campus":
            token = client.post(access.grant_path, params=FORM | CREDENTIALS).json()
            client.headers["Authorization"] = f"Bearer {token['access_token']}"
        case "synergy":
            token = client.post(access.grant_path, data=FORM | CREDENTIALS).json()
            client.headers["Authorization"] = f"Bearer {token['access_token']}"
        case "aeries":
            assert client.sign_in(access.grant_path).status_code == 400, "it wants a scope"
            core, grades = SCOPE, SCOPE.replace("roster-core", "gradebook")
            assert client.sign_in(access.grant_path, scope=f"{core} {grades}").status_code == 200
        case _:
            assert client.sign_in(access.grant_path).status_code == 200
    return below + (ROOT if PRESETS[preset].versions[0] == "1.1" else ROOTS["roster"])


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "classlink"])
def test_every_preset_serves_its_roster(preset: str) -> None:
    with serve(twin(DISTRICT, preset=preset)) as url, Client(base_url=url) as client:
        root = entered(client, preset)
        answer = client.get(f"{root}/users", params={"limit": 7})
        assert (answer.status_code, len(answer.json()["users"])) == (200, 7)
        quirks = PRESETS[preset].quirks
        assert ("X-Total-Count" in answer.headers, "Link" in answer.headers) == (quirks.totals, quirks.link)


def look(preset: str, path: str, **query: Any) -> httpx.Response:
    with serve(twin(DISTRICT, preset=preset)) as url, Client(base_url=url) as client:
        return client.get(f"{entered(client, preset)}/{path}", params=query)


def test_classlink_serves_the_new_shape_below_the_old_path_with_headers_of_its_own() -> None:
    with serve(twin(DISTRICT, preset="classlink")) as url, httpx.Client(base_url=url) as client:
        address = f"{url}{ROOT}/users?limit=7"
        answer = client.get(address, headers=signed("GET", address, "HMAC-SHA256"))
        assert all("roles" in row and "role" not in row for row in answer.json()["users"])
        assert answer.headers["x-count"] == "7" and int(answer.headers["x-total-count"]) > 7
        assert answer.headers["x-perm-rev"]


def test_the_proxy_of_classlink_lists_its_districts() -> None:
    with serve(twin(DISTRICT, preset="classlink-proxy")) as url, Client(base_url=url) as client:
        assert client.get("/applications").status_code == 401
        root = entered(client, "classlink-proxy")
        (one,) = client.get("/applications").json()["applications"]
        assert root == f"/{one['oneroster_application_id']}{ROOT}"


def test_aeries_has_no_resources_and_deletes_nothing() -> None:
    assert look("aeries", "resources").status_code == 404
    with serve(twin(DISTRICT, preset="aeries")) as url, Client(base_url=url) as client:
        root = entered(client, "aeries")
        (first, *_) = client.get(f"{root}/lineItems").json()["lineItems"]
        assert client.delete(f"{root}/lineItems/{first['sourcedId']}").status_code == 405


def test_edfi_filters_no_roles_and_writes_in_words() -> None:
    assert look("edfi", "users", filter="role='student'").status_code == 400
    assert look("edfi", "users", filter="status='active'").status_code == 200
    users = look("edfi", "students").json()["users"]
    assert users[0]["grades"][0].endswith("grade") or users[0]["grades"] == ["Kindergarten"]
    assert users[0]["metadata"] is None and "" in users[0].values()
    assert not users[0]["dateLastModified"].endswith("Z")


def test_powerschool_takes_a_put_and_no_post() -> None:
    with asked(preset="powerschool") as client:
        item = client.rows("lineItems")[0]
        assert client.put(client.at(f"lineItems/{item['sourcedId']}"), json={"lineItem": item}).status_code == 201
        posted = client.post(client.at(f"classes/{item['class']['sourcedId']}/lineItems"), json={"lineItems": [item]})
        assert posted.status_code == 405
