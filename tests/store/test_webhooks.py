"""Webhooks over real sockets: verified by the library of the specification, in order, never lost, never too much."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import text
from standardwebhooks import Webhook as Verifier
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gateway import jobs, webhooks
from gateway.errors import ConfigError, Refused
from gateway.store import clients
from gateway.store import webhooks as stored
from gateway.store.clients import Grant
from gateway.store.database import Store
from gateway.store.registers import Actor
from gateway.store.webhooks import Message
from tests.serving import serve
from tests.store.served_rows import agreed, terms

STUDENT, OTHER = "0b2c7a52-5b7d-4d3f-9f60-1c2c5a6f0a01", "0b2c7a52-5b7d-4d3f-9f60-1c2c5a6f0a02"


@dataclass
class Receiver:
    """A program's own server: `answer` decides by the message what it says."""

    url: str = ""
    answer: Callable[[dict[str, Any]], Response] = lambda body: Response(status_code=204)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        body = await request.body()
        self.got.append((dict(request.headers), body))
        return self.answer(json.loads(body))

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(one["type"], one["data"].get("id", "")) for _, body in self.got for one in [json.loads(body)]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    with serve(Starlette(routes=[Route("/hook", made.take, methods=["POST"])])) as url:
        made.url = f"{url}/hook"
        yield made


class Died(Exception):
    """A process that is no more."""


@dataclass
class Place:
    """A district whose change log a test writes itself, and a program of its own that listens."""

    store: Store
    district: int
    actor: Actor
    client: str
    webhook: int = 0
    secret: str = ""

    async def listen(self, receiver: Receiver, *types: str) -> None:
        self.webhook, self.secret = await stored.add(
            self.store, self.district, self.client, receiver.url, types, self.actor, allow_private=True
        )

    async def happens(self, op: str, *ids: str, kind: str = "person") -> None:
        async with self.store.transaction(self.district) as c:
            publication = await c.scalar(
                text("INSERT INTO publication (district_id, at) VALUES (:district, now()) RETURNING id"),
                {"district": self.district},
            )
            for id in ids:
                values = {"district": self.district, "publication": publication, "kind": kind, "id": id, "op": op}
                await c.execute(
                    text(
                        "INSERT INTO entity (district_id, kind, id, doc, publication) VALUES (:district, :kind, "
                        'CAST(:id AS uuid), CAST(\'{"population": "student"}\' AS json), :publication) '
                        "ON CONFLICT DO NOTHING"
                    ),
                    values,
                )
                await c.execute(
                    text(
                        "INSERT INTO change (district_id, publication, kind, entity_id, op) "
                        "VALUES (:district, :publication, :kind, CAST(:id AS uuid), :op)"
                    ),
                    values,
                )

    async def reaches(self, id: str, *, visible: bool) -> None:
        """As a projection finds it for the agreement of the client."""
        async with self.store.transaction(self.district) as c:
            await c.execute(
                text(
                    "INSERT INTO reach (district_id, agreement_id, collection, sourced_id, visible, at) "
                    "SELECT :district, id, 'users', :id, :visible, now() FROM vendor_agreement "
                    "WHERE client_id = :client ON CONFLICT (agreement_id, collection, sourced_id) "
                    "DO UPDATE SET visible = excluded.visible, at = excluded.at"
                ),
                {"district": self.district, "id": id, "visible": visible, "client": self.client},
            )

    async def send(self) -> None:
        await webhooks.work(self.store, self.district, self.webhook)

    async def wait(self, hours: float) -> None:
        """So much time passes for what is on its way."""
        async with self.store.transaction(self.district) as c:
            await c.execute(
                text(
                    "UPDATE webhook_message SET next_at = next_at - make_interval(secs => :s), "
                    "queued_at = queued_at - make_interval(secs => :s), first_at = first_at - make_interval(secs => :s)"
                ),
                {"s": hours * 3600},
            )
            await c.execute(
                text("UPDATE webhook SET rests_until = rests_until - make_interval(secs => :s)"), {"s": hours * 3600}
            )

    async def listed(self) -> dict[str, Any]:
        async with self.store.transaction(self.district) as c:
            [found] = await stored.listed(c)
            return found

    async def attempts(self) -> list[tuple[int | None, str | None]]:
        async with self.store.transaction(self.district) as c:
            return [(one["status"], one["code"]) for one in await stored.attempts(c, self.webhook, 100)][::-1]


@pytest.fixture
async def place(store: Store, district: int, actor: Actor) -> Place:
    scopes = ("events.read", "changes.read", "webhooks.write")
    client, _ = await clients.add(store, district, "listener", scopes, actor, Grant("sis"))
    return Place(store, district, actor, client)


async def test_the_library_of_the_specification_verifies_what_is_sent_also_while_a_secret_is_exchanged(
    place: Place, receiver: Receiver
) -> None:
    await place.happens("added", STUDENT)  # before anybody listened
    await place.listen(receiver)
    await place.happens("changed", STUDENT)
    await place.send()
    [(headers, body)] = receiver.got
    told = Verifier(place.secret).verify(body, headers)
    assert (told["type"], told["data"]) == ("student.changed", {"id": STUDENT})
    assert headers["webhook-id"] == told["id"] and set(told) == {"id", "type", "timestamp", "data"}

    async with place.store.transaction(place.district) as c:
        hook = await stored.get(place.store, c, place.webhook)
        newer = await stored.rotate(place.store, c, hook, place.actor)
    await place.happens("removed", STUDENT)
    await place.send()
    headers, body = receiver.got[-1]
    assert Verifier(place.secret).verify(body, headers) == Verifier(newer).verify(body, headers)
    async with place.store.transaction(place.district) as c:
        await c.execute(text("UPDATE webhook SET former_until = now()"))
    outcome = await webhooks.test(place.store, place.district, place.webhook)
    headers, body = receiver.got[-1]
    assert outcome.arrived and Verifier(newer).verify(body, headers)["type"] == "webhook.test"
    with pytest.raises(Exception, match="No matching signature"):
        Verifier(place.secret).verify(body, headers)
    async with place.store.transaction(place.district) as c:
        rows = await c.execute(text("SELECT CAST(w AS text) FROM webhook w"))
        assert not any(place.secret.removeprefix("whsec_") in row for row in rows.scalars())


async def test_an_event_waits_for_the_earlier_one_of_its_student_and_for_nobody_elses(
    place: Place, receiver: Receiver
) -> None:
    receiver.answer = lambda body: Response(status_code=500 if body["data"]["id"] == STUDENT else 200)
    await place.listen(receiver)
    await place.happens("added", STUDENT)
    await place.happens("changed", STUDENT, OTHER)
    await place.happens("removed", OTHER)
    await place.send()
    assert [one for one in receiver.told if one[1] == STUDENT] == [("student.added", STUDENT)]
    assert [one for one in receiver.told if one[1] == OTHER] == [("student.changed", OTHER), ("student.removed", OTHER)]
    before = [headers["webhook-id"] for headers, _ in receiver.got]
    receiver.got.clear()
    receiver.answer = lambda body: Response(status_code=200)
    await place.send()  # it is not time yet
    assert receiver.told == []
    await place.wait(hours=1)
    await place.send()
    assert receiver.told == [("student.added", STUDENT), ("student.changed", STUDENT)]
    assert receiver.got[0][0]["webhook-id"] in before
    assert await place.attempts() and (500, None) in await place.attempts()


async def test_what_nobody_takes_for_a_day_is_parked_with_its_reason_and_sent_again_when_asked_for(
    place: Place, receiver: Receiver
) -> None:
    receiver.answer = lambda body: Response("a secret body", status_code=500)
    await place.listen(receiver)
    await place.happens("changed", STUDENT)
    for _ in range(9):
        await place.send()
        await place.wait(hours=3)
    assert 5 < len(receiver.got) < 10
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    found = await place.listed()
    assert (found["waiting"], found["parked"]) == (0, 1)
    async with place.store.transaction(place.district) as c:
        [one] = await stored.parked(c, place.webhook)
        assert one["reason"] == "The receiver answered 500." and one["type"] == "student.changed"
        assert await c.scalar(text("SELECT count(*) FROM notice WHERE event = 'failure'")) == 1
        receiver.answer = lambda body: Response(status_code=200)
        assert await stored.replay(c, await stored.get(place.store, c, place.webhook), (), place.actor) == 1
    await place.send()
    assert receiver.got[-1][0]["webhook-id"] == receiver.got[0][0]["webhook-id"]
    assert (await place.listed())["parked"] == 0


async def test_a_receiver_that_wants_to_be_asked_later_is_and_one_that_is_gone_is_left_alone(
    place: Place, receiver: Receiver
) -> None:
    receiver.answer = lambda body: Response(status_code=429, headers={"retry-after": "7200"})
    await place.listen(receiver)
    await place.happens("changed", STUDENT)
    await place.send()
    await place.wait(hours=1)
    assert (place.district, place.webhook) not in await stored.due(place.store)
    await place.happens("changed", OTHER)
    assert (place.district, place.webhook) not in await stored.due(place.store)
    await place.wait(hours=1.1)
    assert (place.district, place.webhook) in await stored.due(place.store)
    receiver.answer = lambda body: Response(status_code=410)
    await place.send()
    found = await place.listed()
    assert (found["stopped"], found["waiting"], found["parked"]) == ("gone", 0, 2)
    count = len(receiver.got)
    await place.happens("removed", OTHER)
    await place.send()
    assert len(receiver.got) == count and (place.district, place.webhook) not in await stored.due(place.store)
    receiver.answer = lambda body: Response(status_code=200)
    async with place.store.transaction(place.district) as c:
        await stored.resume(c, await stored.get(place.store, c, place.webhook), place.actor)
    await place.send()
    assert receiver.told[-1] == ("student.removed", OTHER)


async def test_whoever_dies_between_sending_and_noting_sends_the_same_again(
    place: Place, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.listen(receiver)
    await place.happens("changed", STUDENT)

    async def dies(*_: Any) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(stored, "note", dies)
        with pytest.raises(Died):
            await place.send()
    await place.wait(hours=1)
    await place.send()
    assert len(receiver.got) == 2
    assert receiver.got[0][0]["webhook-id"] == receiver.got[1][0]["webhook-id"]
    assert receiver.got[0][1] == receiver.got[1][1]


async def test_nothing_is_sent_to_whom_may_not_be_told_any_more(place: Place, receiver: Receiver) -> None:
    receiver.answer = lambda body: Response(status_code=500)
    await place.listen(receiver)
    await place.happens("changed", STUDENT)
    await place.send()
    await clients.revoke(place.store, place.district, place.client, place.actor)
    await place.wait(hours=1)
    await place.send()
    assert len(receiver.got) == 1 and (place.district, place.webhook) not in await stored.due(place.store)


async def test_a_vendor_is_sent_what_it_reaches_when_it_is_sent_and_nothing_after_its_agreement(
    place: Place, receiver: Receiver
) -> None:
    scopes = ("events.read", "changes.read")
    place.client, _ = await clients.add(place.store, place.district, "reader", scopes, place.actor)
    of = terms(collections={"users": None, "events": None})
    await agreed(place.store, place.district, place.actor, of, place.client)
    await place.listen(receiver)
    await place.happens("added", STUDENT, OTHER)
    await place.reaches(STUDENT, visible=True)
    receiver.answer = lambda body: Response(status_code=500)
    await place.send()
    assert receiver.told == [("student.added", STUDENT)]  # and nothing of whom it does not reach
    await place.reaches(STUDENT, visible=False)
    receiver.answer = lambda body: Response(status_code=200)
    await place.wait(hours=1)
    await place.send()
    assert receiver.told[1:] == [("student.removed", STUDENT)]
    assert (None, "withheld") in await place.attempts()
    async with place.store.transaction(place.district) as c:
        read = await c.execute(
            text("SELECT CAST(students[1] AS text) AS who, fields FROM client_read WHERE client_id = :id ORDER BY id"),
            {"id": place.client},
        )
        told = [["student.added"]], [["student.removed"]]
        assert [tuple(row) for row in read] == [(STUDENT, one) for one in told]
        await c.execute(
            text("UPDATE vendor_agreement SET until_on = current_date - 1 WHERE client_id = :id"), {"id": place.client}
        )
        await c.execute(
            text("UPDATE vendor_terms SET terms = CAST(jsonb_set(CAST(terms AS jsonb), '{until}', "
                 "to_jsonb(CAST(current_date - 1 AS text))) AS json)")
        )  # fmt: skip
    await place.reaches(STUDENT, visible=True)
    count = len(receiver.got)
    await place.send()
    assert len(receiver.got) == count and (await place.attempts())[-1] == (None, "agreement-ended")
    assert (place.district, place.webhook) not in await stored.due(place.store)


async def test_an_address_has_to_be_https_and_on_the_public_internet(place: Place, receiver: Receiver) -> None:
    for url, code in ((receiver.url, "url-not-https"), ("http://hooks.example.org/x", "url-not-https")):
        with pytest.raises(ConfigError) as refused:
            await stored.add(place.store, place.district, place.client, url, (), place.actor, allow_private=False)
        assert refused.value.code == code
    https = receiver.url.replace("http:", "https:")
    place.webhook, _ = await stored.add(
        place.store, place.district, place.client, https, (), place.actor, allow_private=False
    )
    outcome = await webhooks.test(place.store, place.district, place.webhook)
    assert (outcome.arrived, outcome.code) == (False, "address-refused")


async def test_after_a_restore_a_webhook_is_told_to_read_everything_again(place: Place, receiver: Receiver) -> None:
    await place.listen(receiver)
    await place.happens("changed", STUDENT)
    async with place.store.transaction(place.district) as c:
        await c.execute(text("UPDATE webhook SET place = '0123456789ab' || substr(place, 13)"))
    await place.send()
    await place.happens("changed", OTHER)
    await place.send()
    assert receiver.told == [("feed.reset", ""), ("student.changed", OTHER)]


async def test_a_tick_queues_one_job_for_a_webhook_however_often_it_ticks(place: Place, receiver: Receiver) -> None:
    await place.listen(receiver)
    await place.happens("changed", STUDENT)
    await jobs.tick(place.store)
    await jobs.tick(place.store)
    async with place.store.owner.begin() as c:
        queued = await c.scalar(
            text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'webhook' AND lock = :lock"),
            {"lock": f"webhook/{place.webhook}"},
        )
        await c.execute(text("DELETE FROM procrastinate_jobs WHERE task_name = 'webhook'"))
    assert queued == 1


async def test_what_a_receiver_answers_at_length_is_neither_unpacked_nor_waited_for(
    place: Place, receiver: Receiver
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield bytes(100_000)
        await asyncio.Event().wait()

    receiver.answer = lambda body: StreamingResponse(endless(), 200, {"content-encoding": "gzip"})
    await place.listen(receiver)
    await place.happens("changed", STUDENT)
    await place.send()
    assert await place.attempts() == [(200, None)]
    assert (await place.listed())["waiting"] == 0


async def test_a_receiver_that_does_not_answer_takes_less_and_less_of_a_worker(place: Place) -> None:
    dead = Receiver("http://127.0.0.1:9/hook")  # the port of "discard", where nobody listens
    await place.listen(dead)
    await place.happens("changed", STUDENT)
    rests = []
    for _ in range(3):
        await place.send()
        async with place.store.transaction(place.district) as c:
            rests.append(await c.scalar(text("SELECT round(extract(epoch FROM rests_until - now())) FROM webhook")))
        await place.wait(hours=1)
    assert [int(one) in (n - 1, n, n - 2) for one, n in zip(rests, (60, 120, 240), strict=True)] == [True] * 3, rests
    slow = webhooks._rest([webhooks.Outcome(200)], [Message(1, "m", None, 1)], 6.0)  # type: ignore[arg-type]
    assert (slow, webhooks._rest([webhooks.Outcome(200)], [], 0.1)) == (18.0, 0.0)
    # and whatever else a worker has to do comes first
    await jobs.tick(place.store)
    async with place.store.owner.connect() as c:
        asked = text("SELECT task_name, priority FROM procrastinate_jobs WHERE CAST(args->>'district' AS int) = :d")
        assert [tuple(row) for row in await c.execute(asked, {"d": place.district})] == [("webhook", -1)]


async def test_a_program_has_so_many_webhooks_and_tests_and_no_more(
    place: Place, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "MOST", 2)
    await place.listen(receiver)
    await place.listen(Receiver(f"{receiver.url}?2"))
    with pytest.raises(ConfigError, match="2 webhooks already"):
        await place.listen(Receiver(f"{receiver.url}?3"))
    monkeypatch.setattr(webhooks, "TESTS", 2)
    for _ in range(2):
        assert (await webhooks.test(place.store, place.district, place.webhook, place.client)).status == 204
    with pytest.raises(Refused, match="too often"):
        await webhooks.test(place.store, place.district, place.webhook, place.client)
    assert (await webhooks.test(place.store, place.district, place.webhook)).status == 204, "the district may"
