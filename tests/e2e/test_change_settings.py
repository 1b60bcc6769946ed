"""The settings of a connection can be changed, and its secret renewed; what is wrong is not saved."""

from collections.abc import Iterator

import pytest

from connectors.oneroster.twin import twin
from synthetic import build
from tests.e2e.office import Office
from tests.e2e.processes import steer
from tests.serving import serve

CHANGE, CREDENTIALS, RULE = 2, 3, 6
RENEWED = "renewed-sesame"


@pytest.fixture
def sis(office: Office) -> Iterator[str]:
    with serve(twin(build(schools=1, students=6))) as url:
        office.connect("oneroster", url)
        yield url


def change(office: Office, secret: str, *more: str) -> int:
    arguments = ("connections", "change", "oneroster", "--set", "client_secret=env:GIVEN", *more, "--json")
    return office.home.run(*arguments, district=office.district, GIVEN=secret).returncode


def test_a_renewed_secret_lifts_the_pause_and_is_repeated_nowhere(office: Office, sis: str) -> None:
    steer(sis, "PUT", "secret", {"secret": RENEWED})
    assert office.pull("oneroster", code=CREDENTIALS)["state"] == "failed"
    assert office.ask("pull", "oneroster", code=RULE)["error"] == "connection-paused"
    assert change(office, "not-this-one") == CHANGE
    assert office.ask("pull", "oneroster", code=RULE)["error"] == "connection-paused"
    assert change(office, RENEWED) == 0
    assert office.pull("oneroster")["state"] == "published"
    acts = office.home.sql("SELECT detail FROM act WHERE act = 'settings-changed' ORDER BY seq DESC LIMIT 1")
    assert acts == [({"settings": ["client_secret"]},)]
    assert RENEWED.encode() not in office.home.dump()


def test_other_settings_stay_as_they_were(office: Office, sis: str) -> None:
    office.ask("connections", "change", "oneroster", "--set", "page_size=3")
    with office.home.database() as c:
        own = "SELECT settings FROM connection WHERE district_id = (SELECT id FROM district WHERE name = %s)"
        [(settings,)] = c.execute(own.encode(), [office.district]).fetchall()
    assert (settings["page_size"], settings["base_url"]) == (3, sis)
    assert office.pull("oneroster")["state"] == "published"
    assert office.ask("connections", "change", "oneroster", "--set", "page_sice=3", code=CHANGE)["error"] == (
        "setting-unknown"
    )


def test_a_private_address_keeps_its_reason_and_a_proxy_is_kept_like_a_secret(office: Office, sis: str) -> None:
    shown = office.ask("check", "oneroster")
    assert "127.0.0.1 is allowed although it is private: a twin." in [finding["text"] for finding in shown]
    ask = ("connections", "change", "oneroster", "--set")
    assert office.ask(*ask, "private_addresses=127.0.0.1", code=CHANGE)["error"] == "settings-invalid"
    assert office.ask(*ask, "private_addresses=", code=CHANGE)["error"] == "check-failed"
    assert office.ask(*ask, "proxy=http://proxy.example.org:3128", code=CHANGE)["error"] == "secret-on-command-line"
    nobody = "http://user:sesame-street@127.0.0.1:9"
    given = office.home.run(*ask, "proxy=env:WAY", "--json", district=office.district, WAY=nobody)
    assert (
        "The proxy 127.0.0.1:9 cannot be reached" in given.stdout + given.stderr
        and "sesame-street" not in given.stdout + given.stderr
    )
    assert office.ask(*ask, "proxy=") is not None
    assert office.pull("oneroster")["state"] == "published"
    assert b"sesame-street" not in office.home.dump()
