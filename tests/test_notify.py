"""Who is told what, and when: from runs that really stand in the database to a mail server and a web server."""

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway import clock, notify
from gateway.settings import Settings
from gateway.store import amendments, channels, notices, outbox, registers
from gateway.store.channels import EVENTS
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.sinks import MailServer, WebServer, mail_server, web_server

PLANTED = "Hollowmere"
"""A name that stands wherever a source could have put one, and may stand in no message."""
NUMBERS = itertools.count(1)


@dataclass
class Desk:
    """One district with a connection, and what its people receive."""

    store: Store
    settings: Settings
    district: int
    actor: Actor
    mail: MailServer
    web: WebServer
    connection: int = 0
    addresses: list[str] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def do(self, statement: str, **values: Any) -> None:
        async with self.store.transaction(self.district) as c:
            await c.execute(text(statement), values)

    async def run(self, state: str, ago: float = 0.0, **more: Any) -> int:
        """A run that ended so many hours ago, as its last transaction leaves it."""
        columns: dict[str, Any] = {"state": state, "actor": "{}", **more}
        async with self.store.transaction(self.district) as c:
            made = await c.scalar(
                text(
                    "INSERT INTO run (district_id, connection_id, created_at, finished_at, good_at, "
                    f"{', '.join(columns)}) VALUES (:district, :connection, :at, "
                    "CASE WHEN :state <> 'held' THEN :at END, "
                    "CASE WHEN :state IN ('published', 'compared') THEN :at END, "
                    f"{', '.join(f':{name}' for name in columns)}) RETURNING id"
                ),
                {
                    "district": self.district,
                    "connection": self.connection,
                    "at": self.now - timedelta(hours=ago),
                    **columns,
                },
            )
        return int(made)

    async def fail(self, ago: float = 0.0) -> int:
        error = f"{PLANTED} answered 503. [server-busy]"
        return await self.run("failed", ago, error_code="server-busy", exit_code=4, error=error)

    async def hold(self, ago: float = 0.0, code: str = "many-removed") -> int:
        """A held run; one that was held before is superseded, as by every new pull."""
        await self.do("UPDATE hold SET state = 'superseded' FROM run r WHERE r.id = run_id AND r.state = 'held'")
        await self.do("UPDATE run SET state = 'superseded' WHERE state = 'held'")
        run = await self.run("held", ago)
        await self.do(
            "INSERT INTO hold (district_id, run_id, code, collection, reason, affected, known, digest) VALUES "
            "(:district, :run, :code, 'users', '480 of 4000 users would be removed.', 480, 4000, 'x')",
            district=self.district,
            run=run,
            code=code,
        )
        return run

    async def tell(self) -> None:
        await notify.tell_and_send(self.store, self.settings, self.district)

    async def watch(self) -> None:
        await notify.Watch(self.store, self.settings).round()

    async def later(self, hours: float) -> None:
        """As if what waits to be sent had waited so many hours."""
        for table in ("sending", "heartbeat"):
            await self.do(f"UPDATE {table} SET next_at = next_at - make_interval(secs => :s)", s=hours * 3600)
        await self.do("UPDATE notice SET at = at - make_interval(secs => :s)", s=hours * 3600)

    async def told(self) -> list[str]:
        """The events of every notice, in their order."""
        return [one["event"] for one in reversed(await outbox.listed(self.store, self.district, 1000))]

    async def email(self, *events: str, at: str = "23:59", zone: str = "UTC") -> int:
        address = f"it{next(NUMBERS)}@district.example.org"
        self.addresses.append(address)
        morning = channels.parsed_morning(at, zone)
        return await channels.add_email(
            self.store, self.district, address, events or tuple(EVENTS), morning, self.actor
        )

    @property
    def mails(self) -> list[EmailMessage]:
        """What the district was sent: a round is about every district there is, and other tests have theirs."""
        return [mail for mail in self.mail.mails if mail["To"] in self.addresses]

    async def webhook(self, *events: str, path: str = "/hook", allow_private: bool = True) -> str:
        morning = channels.parsed_morning("23:59", "UTC")
        _, secret = await channels.add_webhook(
            self.store, self.district, self.web.url + path, events or tuple(EVENTS), morning, allow_private, self.actor
        )
        return secret


@pytest.fixture
async def desk(store: Store, settings: Settings, district: int, actor: Actor) -> AsyncIterator[Desk]:
    async with mail_server() as mail, web_server() as web:
        its = settings.model_copy(
            update={
                "smtp_host": "127.0.0.1", "smtp_port": mail.port, "smtp_tls": "none",
                "smtp_from": "planbridge@district.example.org",
            }
        )  # fmt: skip
        made = Desk(store, its, district, actor, mail, web)
        made.connection = await registers.add_connection(store, district, "sis", "oneroster", {}, {}, actor)
        await made.do("UPDATE connection SET created_at = now() - interval '100 hours'")
        yield made
        await made.do("DELETE FROM channel")  # a round is about every district there is


async def test_a_held_run_reaches_everybody_who_wants_it_once(desk: Desk) -> None:
    await desk.email()
    await desk.email("digest")
    secret = await desk.webhook()
    run = await desk.hold()
    await desk.tell()
    await desk.tell()
    [mail] = desk.mails
    assert mail["Subject"].startswith(f"The sync of sis (run {run}) is held (district-")
    assert mail["From"] == "planbridge@district.example.org"
    text = mail.get_content()
    assert [title in text for title in ("What happened:", "How many are affected:", "What is live now:")]
    assert "480 of 4,000 users" in text and "What to do:" in text and "By when:" in text
    [asked] = desk.web.asked
    body = json.loads(asked.body)
    assert (asked.method, asked.path, body["type"], body["data"]["run"]) == ("POST", "/hook", "hold", run)
    assert body["data"]["message"]["affected"] == "480 of 4,000 users."
    assert _documented_check()(asked.headers, asked.body, secret)
    assert not _documented_check()(asked.headers, asked.body + b" ", secret)
    assert not _documented_check()(asked.headers, asked.body, "whsec_" + "A" * 43 + "=")


def _documented_check() -> Any:
    """The function that docs/notices.md tells receivers to use."""
    document = (Path(__file__).parents[1] / "docs/notices.md").read_text(encoding="utf-8")
    found = re.search(r"^    import base64.*?(?=^\S)", document, re.MULTILINE | re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {}
    exec(re.sub(r"^    ", "", found.group(0), flags=re.MULTILINE), names)
    return names["is_ours"]


async def test_a_night_of_failures_is_told_once_then_once_a_day_until_it_is_over(desk: Desk) -> None:
    await desk.email()
    await desk.run("published", 72.5)
    for hours in (72, 71.75, 71.5, 60.5, 50, 48, 26, 24, 1):  # 72 hours ago is the first; 60, 36 and 12 begin a day
        await desk.fail(hours)
        await desk.tell()
    assert await desk.told() == ["failure"] * 4
    assert "It has failed 9 times since" in desk.mail.texts[-1]
    for hours in (0.5, 0.25):
        await desk.run("published", hours)
        await desk.tell()
    assert await desk.told() == [*["failure"] * 4, "recovery"]
    assert desk.mail.subjects[-1].startswith("The sync of sis works again (")
    await desk.fail()
    await desk.tell()
    assert (await desk.told())[-1] == "failure", "what begins after a recovery is new"


async def test_a_night_of_runs_held_for_the_same_reason_is_told_once_a_day(desk: Desk) -> None:
    for hours in (30, 29, 28, 17, 16):
        await desk.hold(hours)
        await desk.tell()
    assert await desk.told() == ["hold"] * 2
    await desk.hold(15, "empty-collection")
    await desk.tell()
    assert await desk.told() == ["hold"] * 3, "another reason is news"
    run = await desk.hold(14, "empty-collection")
    await desk.tell()
    assert await desk.told() == ["hold"] * 3
    await desk.do("UPDATE run SET state = 'refused' WHERE id = :run", run=run)
    await desk.do("UPDATE hold SET state = 'refused' WHERE run_id = :run", run=run)
    await desk.hold(13, "empty-collection")
    await desk.tell()
    assert await desk.told() == ["hold"] * 4, "somebody had decided, and now it is asked again"
    await desk.run("published", 12)
    await desk.tell()
    assert await desk.told() == ["hold"] * 4, "a hold is no failure to recover from"


async def test_what_is_no_pull_raises_no_alarm_and_ends_none(desk: Desk) -> None:
    await desk.run("failed", error_code="server-busy", exit_code=4, error="x", kind="replay")
    await desk.run("failed", error_code="server-busy", exit_code=4, error="x", mode="dry")
    await desk.tell()
    assert await desk.told() == []
    await desk.fail()
    await desk.run("compared", mode="dry")
    await desk.run("published", kind="undo")
    await desk.tell()
    assert await desk.told() == ["failure"]
    await desk.do("UPDATE connection SET shadow = true")
    await desk.run("compared", mode="shadow")
    await desk.tell()
    assert await desk.told() == ["failure", "recovery"]


async def test_many_at_once_tell_and_send_everything_once(desk: Desk) -> None:
    await desk.email()
    await desk.webhook()
    await channels.set_heartbeat(desk.store, desk.district, "sis", f"{desk.web.url}/ping", False, True, desk.actor)
    for _ in range(5):
        await desk.fail(1)
        await desk.run("published", 0.5)
    await desk.hold()
    await asyncio.gather(*(desk.tell() for _ in range(6)))
    await desk.tell()
    assert await desk.told() == [*["failure", "recovery"] * 5, "hold"]
    hooks = [asked for asked in desk.web.asked if asked.path == "/hook"]
    assert len(desk.mails) == len(hooks) == 11
    assert len({mail["Message-ID"] for mail in desk.mails}) == 11
    assert len(desk.web.asked) - len(hooks) == 1, "the last good run is reported, once"


async def test_what_cannot_be_sent_is_tried_for_a_day_and_then_kept_as_failed(desk: Desk) -> None:
    await desk.email()
    await desk.webhook()
    desk.mail.refusing, desk.web.status = True, 500
    await desk.hold()
    await desk.tell()
    [notice] = await outbox.listed(desk.store, desk.district)
    assert (notice["queued"], notice["errors"]) == (2, ["mail-refused", "server-error"])
    await desk.tell()
    assert len(desk.web.asked) == 1, "not again at once"
    await desk.later(0.1)
    desk.mail.refusing = False
    await desk.tell()
    assert len(desk.mails) == 1 and len(desk.web.asked) == 2
    first, second = desk.web.asked
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    attempts = 2
    for _ in range(30):
        await desk.later(1)
        await desk.tell()
        attempts += 1
        [notice] = await outbox.listed(desk.store, desk.district)
        if notice["failed"]:
            break
    assert (notice["sent"], notice["queued"], notice["failed"]) == (1, 0, 1)
    assert 20 < attempts < 30
    assert len(desk.web.asked) == attempts


async def test_a_silence_is_told_once_by_whoever_looks_and_again_after_a_recovery(desk: Desk) -> None:
    await desk.email("silence", "recovery")
    await desk.run("published", 25)
    await desk.watch()
    assert await desk.told() == []
    await desk.do("UPDATE run SET good_at = good_at - interval '2 hours'")
    await asyncio.gather(*(desk.watch() for _ in range(4)))
    await desk.watch()
    assert await desk.told() == ["silence"]
    [mail] = desk.mails
    assert mail["Subject"].startswith("There was no good sync of sis for more than 26 hours (")
    assert "No worker of Planbridge is alive" in mail.get_content()
    await desk.run("published")
    await desk.watch()
    assert await desk.told() == ["silence", "recovery"]
    await desk.do("UPDATE run SET good_at = good_at - interval '27 hours'")
    await desk.watch()
    assert await desk.told() == ["silence", "recovery", "silence"]


async def test_an_end_date_of_a_connection_whose_place_was_taken_silences_nobody(desk: Desk) -> None:
    old = desk.connection
    desk.connection = await registers.add_connection(desk.store, desk.district, "next", "oneroster", {}, {}, desk.actor)
    await desk.do(
        "INSERT INTO succession (new_id, old_id, district_id, on_day, actor, begun_at, done_at) "
        "VALUES (:new, :old, :d, current_date, '{}', now(), now())",
        new=desk.connection, old=old, d=desk.district,
    )  # fmt: skip
    taken = await registers.connection(desk.store, desk.district, old)
    await notices.set_end_date(desk.store, taken, date.today() + timedelta(days=3), desk.actor)
    await desk.email("hold", "credential")
    await desk.hold()
    await desk.tell()
    assert await desk.told() == ["hold"]


async def test_end_dates_are_announced_30_7_and_1_day_before_each_once(desk: Desk) -> None:
    connection = await registers.connection(desk.store, desk.district, "sis")
    ends = date(2030, 6, 30)
    said = []
    for left in (40, 31, 30, 29, 20, 8, 7, 6, 2, 1, 0, -1):
        async with desk.store.transaction(desk.district) as c:
            found = await notices.ending_credentials(c, ends - timedelta(days=left))
        if left == 40:
            await notices.set_end_date(desk.store, connection, ends, desk.actor)
        said += [(left, step) for *_, step in found]
    assert said == [(30, 30), (7, 7), (1, 1)]
    in_five_days = datetime.now(UTC).date() + timedelta(days=5)
    await notices.set_end_date(desk.store, connection, in_five_days, desk.actor)
    await desk.email("credential")
    await desk.watch()
    await desk.watch()
    assert len(desk.mails) == 1 and "in 5 days" in desk.mails[0]["Subject"]


async def test_the_digest_goes_out_every_morning_once(desk: Desk) -> None:
    await desk.email("digest", at="00:00", zone="Pacific/Auckland")
    await desk.email("digest", at="23:59", zone="Pacific/Auckland")
    await desk.run("published", 25, unmapped='[["grades", "Quillfeather", 7]]')
    run = await desk.run("published", 1, unmapped='[["grades", "Quillfeather", 4], ["roles", "x", 1]]')
    await desk.do(
        "INSERT INTO reject (district_id, run_id, connection_id, collection, key, position, field, code, reason) "
        "VALUES (:district, :run, :connection, 'users', 'Quillfeather', '', '', 'bad-date', 'Quillfeather')",
        district=desk.district, run=run, connection=desk.connection,
    )  # fmt: skip
    await desk.hold()
    await desk.watch()
    assert desk.mails == [], "a morning that was over when the channel was made is not made up for"
    await desk.do("UPDATE channel SET digested_on = digested_on - 1")
    await desk.watch()
    await desk.watch()
    [mail] = desk.mails
    said = mail.get_content()
    assert "0 of 1 good" in said and "- sis: held." in said
    assert "- decide about run" in said
    assert PLANTED not in said


async def test_the_first_delivery_that_is_parked_is_told_then_one_a_day_until_one_arrives(desk: Desk) -> None:
    await desk.email("failure")
    plan = "6f1c0e9a-0000-4000-8000-000000000000"
    await desk.do(
        "INSERT INTO plan (id, district_id, student_id, state, content) "
        "VALUES (CAST(:plan AS uuid), :district, CAST(:plan AS uuid), 'finalized', '{}')",
        plan=plan, district=desk.district,
    )  # fmt: skip

    async def deliver(state: str, ago: float) -> None:
        await desk.do(
            "INSERT INTO delivery (district_id, plan_id, version, connection_id, state, actor, reason, finished_at) "
            "VALUES (:district, CAST(:plan AS uuid), 1, :connection, :state, '{}', 'Quillfeather', :at)",
            district=desk.district, plan=plan, connection=desk.connection, state=state,
            at=desk.now - timedelta(hours=ago),
        )  # fmt: skip
        await desk.tell()

    for hours in (30, 29, 28, 15):
        await deliver("parked", hours)
    assert len(desk.mails) == 2
    assert "A plan could not be delivered to sis." in desk.mail.texts[0]
    assert PLANTED not in desk.mail.texts[0] and plan not in desk.mail.texts[0]
    await deliver("delivered", 14)
    await deliver("parked", 13)
    assert len(desk.mails) == 3


async def test_why_a_mail_did_not_go_out_is_told_by_a_code(desk: Desk) -> None:
    await desk.email()
    closed = desk.settings.model_copy(update={"smtp_port": 1})
    none = desk.settings.model_copy(update={"smtp_host": None})
    plain = desk.settings.model_copy(update={"smtp_tls": "starttls"})
    far = desk.settings.model_copy(update={"smtp_host": "mail.example.org"})
    for its, code in (
        (closed, "mail-unreachable"),
        (none, "mail-not-configured"),
        (plain, "mail-unreachable"),
        (far, "mail-in-the-clear"),
    ):
        await desk.do("DELETE FROM notice")
        await desk.hold(code=code)
        await notify.tell_and_send(desk.store, its, desk.district)
        [notice] = await outbox.listed(desk.store, desk.district)
        assert notice["errors"] == [code]
    assert desk.mails == [], "a mail server that cannot encrypt gets nothing unless that is allowed"


async def test_a_good_run_calls_its_heartbeat_and_a_dead_one_blocks_nothing(desk: Desk) -> None:
    await channels.set_heartbeat(
        desk.store, desk.district, "sis", f"{desk.web.url}/ping/secret", False, True, desk.actor
    )
    await desk.fail(2)
    await desk.tell()
    assert desk.web.asked == []
    await desk.run("published", 1)
    await desk.tell()
    await desk.tell()
    assert [(asked.method, asked.path) for asked in desk.web.asked] == [("GET", "/ping/secret")]
    desk.web.status = 503
    await desk.run("published")
    for _ in range(10):
        await desk.tell()
        await desk.later(1)
    [beat] = await channels.heartbeats(desk.store, desk.district)
    assert (beat["failures"], beat["error_code"]) == (5, "server-busy")
    assert beat["shown"] == desk.web.url, "the rest of it is a key"
    assert len(desk.web.asked) == 6
    await channels.set_heartbeat(desk.store, desk.district, "sis", f"{desk.web.url}/p", True, True, desk.actor)
    desk.web.status = 200
    await desk.run("published")
    await desk.tell()
    assert (desk.web.asked[-1].method, desk.web.asked[-1].path) == ("POST", "/p")


async def test_addresses_inside_the_network_are_refused_unless_they_are_allowed(desk: Desk) -> None:
    await desk.webhook(allow_private=False)
    await desk.hold()
    await desk.tell()
    [notice] = await outbox.listed(desk.store, desk.district)
    assert (notice["errors"], desk.web.asked) == (["address-refused"], [])


async def test_no_address_and_no_secret_rests_in_the_open(desk: Desk) -> None:
    secret = await desk.webhook(path="/T000/key-of-the-room")
    await desk.email()
    async with desk.store.owner.begin() as c:
        rows = str((await c.execute(text("SELECT * FROM channel"))).all())
        acts = str((await c.execute(text("SELECT * FROM act"))).all())
    assert "key-of-the-room" not in rows + acts
    assert secret.removeprefix("whsec_") not in rows + acts
    assert "key-of-the-room" not in str(await channels.listed(desk.store, desk.district))


async def test_nothing_that_a_source_sent_is_in_any_message(desk: Desk) -> None:
    await desk.email()
    await desk.webhook()
    await desk.fail(3)
    await desk.run("failed", 2, error_code="internal-error", exit_code=1, error=f"Fault: {PLANTED}")
    run = await desk.run("published", 1, unmapped=f'[["grades", "{PLANTED}", 7]]')
    await desk.do(
        "INSERT INTO reject (district_id, run_id, connection_id, collection, key, position, field, code, reason) "
        "VALUES (:district, :run, :connection, 'users', :name, :name, 'f', 'bad-date', :name)",
        district=desk.district, run=run, connection=desk.connection, name=PLANTED,
    )  # fmt: skip
    await desk.hold()
    await desk.do("UPDATE channel SET digested_on = digested_on - 1, digest_at = '00:00'")
    await desk.do("UPDATE connection SET secret_ends = current_date + 3, paused_because = :name", name=PLANTED)
    await desk.watch()
    assert set(await desk.told()) == {"failure", "recovery", "hold", "credential", "digest"}
    everything = [*desk.mail.texts, *desk.mail.subjects, *(asked.body.decode() for asked in desk.web.asked)]
    assert len(everything) == 3 * 5
    assert [said for said in everything if PLANTED in said] == []


async def test_assignments_that_end_together_are_one_notice(desk: Desk) -> None:
    ended = [{"school": school, "ends_on": "2027-06-30", "assignments": 20} for school in ("Old Mill", "Sandpit")]
    await desk.run("published", counts=json.dumps({"assignments": ended}))
    await desk.tell()
    await desk.tell()
    assert await desk.told() == ["year"]
    [notice] = await outbox.listed(desk.store, desk.district, 1)
    said = json.dumps(notice, default=str)
    assert "Staff assignments that end on Wed 30 Jun 2027: 20 at Old Mill, 20 at Sandpit." in said


async def test_families_who_wait_for_an_answer_too_long_are_told_of(desk: Desk) -> None:
    """Once; again when another one is late, and each week."""
    today = clock.today()

    async def asked(due: int) -> None:
        by_when = today + timedelta(days=due)
        async with desk.store.transaction(desk.district) as c:
            words = (PLANTED, PLANTED, PLANTED, today - timedelta(days=60), by_when, desk.actor)
            await amendments.ask(desk.store, c, desk.district, "00000000-0000-4000-8000-000000000001", *words)

    await asked(due=0)
    await desk.tell()
    assert await desk.told() == [], "today it may still be answered"
    await asked(due=-9)
    await desk.tell()
    await desk.tell()
    assert await desk.told() == ["plans"]
    await asked(due=-1)
    await desk.tell()
    notices = await outbox.listed(desk.store, desk.district, 10)
    assert len(notices) == 2 and PLANTED not in str(notices)
    assert "2 requests" in str(notices[0]) and "1 request " in str(notices[1])
