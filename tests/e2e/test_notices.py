"""People are told also when processes die: the worker that was about to, every worker, the database."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest

from gateway.messages import Message
from tests.api.world import PLANTED, write_package
from tests.e2e.office import HELD, Office, QuickHome
from tests.e2e.processes import closed_port, until
from tests.sinks import MailServer, WebServer, both


@dataclass(frozen=True)
class Desk:
    """A district with one connection, and what its people receive."""

    office: Office
    mail: MailServer
    web: WebServer

    @property
    def variables(self) -> dict[str, str]:
        return {
            "PLANBRIDGE_SMTP_HOST": "127.0.0.1",
            "PLANBRIDGE_SMTP_PORT": str(self.mail.port),
            "PLANBRIDGE_SMTP_TLS": "none",
            "PLANBRIDGE_SMTP_FROM": "planbridge@district.example.org",
            "PLANBRIDGE_WATCH_SECONDS": "0.3",
            "PLANBRIDGE_PORT": str(closed_port()),
        }

    @property
    def roster(self) -> Path:
        return self.office.home.folder / "roster"

    def change(self, statement: str) -> None:
        with self.office.home.database() as c:
            c.execute(statement.encode())


@pytest.fixture(scope="module")
def home() -> Iterator[QuickHome]:
    """Of its own, because its database is stopped. Its connection reads a folder; whoever says something in it about
    a person says a planted word."""
    with QuickHome.made(laid=True) as made:
        write_package(made.folder / "roster", 30)
        made.json("connect", "oneroster", "--name", "sis", "--set", f"path={made.folder / 'roster'}", "--yes")
        yield made


@pytest.fixture
def desk(home: QuickHome) -> Iterator[Desk]:
    with both() as (mail, web):
        yield Desk(Office(home, "default"), mail, web)
        for channel in Office(home, "default").ask("notices", "channels")["channels"]:
            home.run("notices", "remove", str(channel["id"]))


def test_a_worker_killed_between_the_end_of_a_run_and_its_notices_costs_none_and_doubles_none(
    home: QuickHome, desk: Desk
) -> None:
    desk.roster.rename(desk.roster.with_name("away"))
    desk.office.ask("notices", "add-webhook", f"{desk.web.url}/hook", "--event", "failure", "--allow-private")
    desk.office.ask("notices", "add-email", "it@district.example.org", "--event", "failure")
    desk.web.status = 0
    first = home.start("worker", **desk.variables)
    desk.office.ask("pull", "sis", "--no-wait")
    until(lambda: desk.web.asked, "the worker begins to send")
    home.kill(first)
    assert home.one("SELECT state FROM run") == "failed"
    assert desk.office.ask("notices", "list")[0]["queued"], "nobody knows yet that it has arrived"
    desk.web.status = 200
    desk.change("UPDATE sending SET next_at = now()")  # what it began is due again in a minute
    second = home.start("worker", **desk.variables)
    until(lambda: len(desk.web.asked) == 2 and desk.mail.mails, "another worker sends")
    until(lambda: desk.office.ask("notices", "list")[0]["sent"] == 2, "both are marked as sent")
    home.stop(second)
    assert len(desk.mail.mails) == 1 and len(desk.web.asked) == 2
    unanswered, answered = desk.web.asked
    assert unanswered.headers["webhook-id"] == answered.headers["webhook-id"]
    assert json.loads(answered.body)["data"]["connection"] == "sis"


def test_without_any_worker_the_api_tells_of_silence_and_of_a_lost_database(home: QuickHome, desk: Desk) -> None:
    desk.office.ask("notices", "add-email", "it@district.example.org")
    desk.change("UPDATE connection SET created_at = now() - interval '27 hours'")
    api = home.start("api", **desk.variables)
    until(lambda: desk.mail.mails, "the API tells of the silence")
    assert desk.mail.subjects == ["There was no good sync of sis for more than 26 hours (default)"]
    assert "No worker of Planbridge is alive" in desk.mail.texts[0]
    until(lambda: desk.office.ask("notices", "list")[0]["sent"] == 1, "it is marked as sent")
    home.server.stop()
    until(lambda: len(desk.mail.mails) == 2, "the API tells of the lost database")
    assert desk.mail.subjects[1].startswith("The database of Planbridge does not answer, since ")
    home.server.start()
    until(lambda: len(desk.mail.mails) == 3, "the API tells that it is back")
    assert desk.mail.subjects[2] == "The database of Planbridge works again (default)"
    home.kill(api)
    assert len(desk.mail.mails) == 3


def test_the_command_line_sets_tries_and_shows(home: QuickHome, desk: Desk) -> None:
    office = desk.office
    made = office.ask("notices", "add-webhook", f"{desk.web.url}/secret-path", "--allow-private")
    assert made["secret"].startswith("whsec_")
    office.ask("notices", "add-email", "it@district.example.org", "--event", "hold", "--zone", "America/Chicago")
    tried = home.json("notices", "test", **desk.variables)
    assert [(one["kind"], one["code"]) for one in tried] == [("webhook", ""), ("email", "")]
    assert "Somebody typed planbridge notices test." in desk.mail.texts[0]
    assert json.loads(desk.web.asked[0].body)["type"] == "test"
    tried = office.ask("notices", "test", code=2)
    assert tried[1]["code"] == "mail-not-configured"
    shown = office.tell("notices", "channels")
    assert "secret-path" not in shown and desk.web.url in shown and "it@district.example.org" in shown
    told = office.ask("notices", "list")
    assert {"failure", "silence"} <= {one["event"] for one in told}
    assert "What to do: " in office.tell("notices", "list", str(told[0]["id"]))
    assert home.run("notices").stdout.count("sis") >= 2, "without a word it lists"
    office.tell("connections", "heartbeat", "sis", f"{desk.web.url}/ping", "--allow-private")
    assert office.ask("notices", "channels")["heartbeats"][0]["shown"] == desk.web.url
    for wrong, code in (
        (("add-email", "nobody"), "email-invalid"),
        (("add-email", "it@district.example.org"), "channel-exists"),
        (("add-email", "a@b.example.org", "--event", "flood"), "event-unknown"),
        (("add-email", "a@b.example.org", "--zone", "Mars"), "morning-invalid"),
        (("add-webhook", "http://hooks.example.org"), "url-not-https"),
        (("list", "999999"), "notice-unknown"),
    ):
        assert home.json("notices", *wrong, code=2)["error"] == code, wrong


def test_from_failure_to_recovery_and_hold_nobody_is_named(home: QuickHome, desk: Desk) -> None:
    office = desk.office
    office.ask("notices", "add-email", "it@district.example.org")
    office.ask("notices", "add-webhook", f"{desk.web.url}/hook", "--allow-private")
    worker = home.start("worker", **desk.variables)
    desk.roster.with_name("away").rename(desk.roster)
    assert office.pull("sis")["state"] == "published"
    until(lambda: len(desk.mail.mails) == 1, "the recovery is told")
    write_package(desk.roster, 5)
    held = office.pull("sis", code=HELD)
    until(lambda: len(desk.mail.mails) == 2, "the hold is told")
    until(lambda: len(desk.web.asked) >= 2, "the webhooks are sent")
    home.stop(worker)
    recovered, waits = desk.mail.texts
    assert recovered.startswith("What happened: The sync of sis works again.")
    assert waits.replace("\r\n", "\n").startswith(Message(**held["message"]).text), "as the command line says it"
    said = "".join([recovered, waits, *(asked.body.decode() for asked in desk.web.asked), home.said(worker)])
    assert [word for word in PLANTED if word in said] == []


def test_credentials_have_an_end_date_and_can_be_renewed(home: QuickHome, desk: Desk) -> None:
    office = desk.office
    ends = date.today() + timedelta(days=7)
    assert office.ask("connections", "secret-expires", "sis", ends.isoformat())["secret_expires"] == ends.isoformat()
    assert office.ask("connections")[0]["secret_expires"] == ends.isoformat()
    refused = office.ask("connections", "change", "sis", "--set", "path=/elsewhere.zip", code=2)
    assert home.one("SELECT settings->>'path' FROM connection") == str(desk.roster), "it is tried before it is saved"
    assert refused["error"] == "inbox-empty"
    desk.change("UPDATE connection SET paused_because = 'refused', paused_code = 'credentials'")
    elsewhere = desk.roster.with_name("elsewhere")
    write_package(elsewhere, 5)
    office.ask("connections", "change", "sis", "--set", f"path={elsewhere}", "--secret-expires", "2099-06-30")
    [shown] = office.ask("connections")
    assert (shown["secret_expires"], shown["paused_because"]) == ("2099-06-30", None)
    assert home.one("SELECT settings->>'path' FROM connection") == str(elsewhere)
    office.ask("connections", "secret-expires", "sis")
    assert office.ask("connections")[0]["secret_expires"] is None
    made = ("--name", "other", "--set", f"path={desk.roster}", "--yes", "--secret-expires", "2099-01-31")
    office.ask("connect", "oneroster", *made)
    assert office.ask("connections")[1]["secret_expires"] == "2099-01-31"
