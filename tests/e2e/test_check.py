"""What `planbridge check` says of a OneRoster server, what it keeps of that, and the mail that it writes."""

from pathlib import Path
from typing import Any

import pytest

from connectors.oneroster.twin import twin
from synthetic import build
from tests.e2e.office import Office
from tests.serving import serve

SECRET = "a-secret-that-nobody-shows"


@pytest.fixture
def secret(tmp_path: Path) -> str:
    file = tmp_path / "secret"
    file.write_text(SECRET, encoding="utf-8")
    return f"client_secret=file:{file}"


def test_what_check_learns_is_kept_and_used(office: Office, secret: str) -> None:
    app = twin(build(students=40), versions=("1.1",), client=("form",), sort="refused", filter="refused", page_cap=70,
               wrong_total=3, client_secret=SECRET)  # fmt: skip
    with serve(app) as url:
        given = [
            f"base_url={url}",
            f"token_url={url}/token",
            "client_id=demo-client",
            secret,
            "private_addresses=127.0.0.1: a twin",
        ]
        pairs = [part for one in given for part in ("--set", one)]
        # A wrong count is told as wrong, and is no reason not to connect.
        connected = office.ask("connect", "oneroster", "--name", "oneroster", *pairs, "--yes")
        proposed = {key: value for one in connected["findings"] for key, value in one["propose"].items()}
        assert (
            proposed.items()
            >= {
                "version": "1.1",
                "token_style": "form",
                "order": "natural",
                "changes": "no",
                "page_size": 70,
                "totals": "no",
            }.items()
        )
        office.ask("pull", "oneroster")
        sent = [one for one in app.state.received if one.path.endswith("/users")]
        again = office.ask("check", "oneroster", code=2)
    tried = sent[-3:]
    assert all("v1p1" in one.path and "sort" not in one.query for one in tried)
    assert {key for one in again for key in one["propose"]} >= {"totals"}


@pytest.mark.parametrize(("wrong_total", "said"), [(0, "Connected as sis"), (3, "Saved as sis")])
def test_what_is_saved_though_something_is_wrong_is_not_called_connected(
    office: Office, secret: str, wrong_total: int, said: str
) -> None:
    with serve(twin(build(students=40), client_secret=SECRET, wrong_total=wrong_total)) as url:
        given = [f"base_url={url}", f"token_url={url}/token", "client_id=demo-client", secret, "collections=roster"]
        given += ["private_addresses=127.0.0.1: a twin"]
        told = office.tell(
            "connect", "oneroster", "--name", "sis", *(p for one in given for p in ("--set", one)), "--yes"
        )
    assert said in told and ("Connected as" in told) == (not wrong_total)


def test_a_look_keeps_nothing_and_lifts_no_pause(office: Office, secret: str) -> None:
    with serve(twin(build(students=40), page_cap=70, client_secret=SECRET)) as url:
        given = [f"base_url={url}", f"token_url={url}/token", "client_id=demo-client", secret, "collections=roster"]
        given += ["private_addresses=127.0.0.1: a twin"]
        pairs = [part for one in given for part in ("--set", one)]
        office.ask("connect", "oneroster", "--name", "sis", *pairs, "--yes")
        where = "WHERE district_id = (SELECT id FROM district WHERE name = %(name)s)"
        forget = (
            "UPDATE connection SET settings = (settings::jsonb || '{\"page_size\": 0}')::json, "
            f"paused_because = 'refused', paused_code = 'credentials' {where}"
        )
        stands = f"SELECT settings->>'page_size', paused_code FROM connection {where}"

        def standing() -> tuple[str, str | None]:
            with office.home.database() as c:
                [found] = c.execute(stands.encode(), {"name": office.district}).fetchall()
                return (found[0], found[1])

        with office.home.database() as c:
            c.execute(forget.encode(), {"name": office.district})
        office.ask("check", "sis", "--dry")
        assert standing() == ("0", "credentials")
        office.ask("check", "sis")
        assert standing() == ("70", None)


def test_a_letter_asks_for_the_exact_scopes_and_tells_no_secret(office: Office, secret: str) -> None:
    with serve(twin(build(students=40), preset="aeries", client_secret=SECRET)) as url:
        given = [
            f"base_url={url}/aeries",
            "preset=aeries",
            "client_id=demo-client",
            secret,
            "private_addresses=127.0.0.1: a twin",
        ]
        office.ask("connect", "oneroster", "--name", "sis", *(part for one in given for part in ("--set", one)))
        letter = office.tell("check", "sis", "--letter")
    for scope in ("roster-core.readonly", "roster-demographics.readonly"):
        assert f"- https://purl.imsglobal.org/spec/or/v1p1/scope/{scope}\n" in letter
    assert f"{url}/aeries/ims/oneroster/v1p1" in letter
    assert f"{url}/aeries/token" in letter
    assert SECRET not in letter
    assert "assessment" not in letter


def test_a_letter_asks_for_a_gradebook_that_is_written_to(office: Office, secret: str) -> None:
    """Who writes must not tell the vendor that all of it is only read."""
    with serve(twin(build(students=40), client_secret=SECRET)) as url:
        given = [f"base_url={url}", f"token_url={url}/token", "client_id=demo-client", secret, "write=post"]
        given.append("private_addresses=127.0.0.1: a twin")
        pairs = [part for one in given for part in ("--set", one)]
        office.ask("connect", "oneroster", "--name", "sis", *pairs, "--yes")
        letter = office.tell("check", "sis", "--letter")
    assert "scope/gradebook.createpost\n" in letter and "/ims/oneroster/gradebook/v1p2" in letter
    assert "writes nothing" not in letter and "only read" not in letter
    assert "POST" in letter


def test_a_check_takes_nothing_back_that_somebody_set_meanwhile(office: Office, secret: str) -> None:
    """A check takes its time. Whoever switches writing off in between must not find it on again."""
    system = twin(build(students=40), page_cap=70, client_secret=SECRET)
    meanwhile: list[str] = []

    async def asked(scope: Any, receive: Any, send: Any) -> None:
        if meanwhile and scope["path"].endswith("/orgs"):
            with office.home.database() as c:
                c.execute(meanwhile.pop().encode(), {"name": office.district})
        await system(scope, receive, send)

    with serve(asked) as url:
        given = [f"base_url={url}", f"token_url={url}/token", "client_id=demo-client", secret, "write=put"]
        given += ["private_addresses=127.0.0.1: a twin", "collections=roster"]
        pairs = [part for one in given for part in ("--set", one)]
        office.ask("connect", "oneroster", "--name", "sis", *pairs, "--yes")
        own = "district_id = (SELECT id FROM district WHERE name = %(name)s)"
        # As if nothing had been learnt yet.
        forgotten = (
            'UPDATE connection SET settings = (settings::jsonb || \'{"page_size": 0, "write": "%s"}\')::json WHERE '
        )
        with office.home.database() as c:
            c.execute((forgotten.replace("%s", "put") + own).encode(), {"name": office.district})
        meanwhile.append(forgotten.replace("%s", "no") + own)
        office.ask("check", "sis", code=2)
        assert meanwhile == []
        with office.home.database() as c:
            [(write,)] = c.execute(
                f"SELECT settings->>'write' FROM connection WHERE {own}".encode(), {"name": office.district}
            ).fetchall()
    assert write == "no"
