"""Events on their way to web addresses: signed, in order for each student, and what becomes of them."""

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from standardwebhooks import Webhook as Signer

from gateway import clock, events, feed, http
from gateway.errors import AuthError, ConfigError, PlanbridgeError, Refused, Unavailable
from gateway.events import RESET, TEST, Event, Place
from gateway.feed import Listener
from gateway.messages import Message as Notice
from gateway.store import events as stored_events
from gateway.store import outbox, rates
from gateway.store import webhooks as stored
from gateway.store.database import Store, Transaction
from gateway.store.registers import Actor
from gateway.store.webhooks import GONE, Message, Webhook

log = logging.getLogger(__name__)

SECONDS = 15.0
"""How long a receiver may take to answer one message."""
WORKS_SECONDS = 60.0
"""So long one job sends: then others have their turn, and the next tick goes on."""
RESTS_SECONDS, RESTS_LONGEST = 60.0, 960.0
"""So long nothing is sent to a webhook that took none of several messages, or does not answer: each time twice as long.
Others have messages too, and pulls want the same workers."""
SLOW_SECONDS = 5.0
"""A webhook that took longer for some messages rests three times as long as it took."""
TESTS = 10
"""Of its webhooks a program may ask for so many a minute: we are no means to knock at other doors."""
ASKS_AGAIN_SECONDS = 3600.0
"""So often it is looked whether a program may be served again that may not now."""
PAGE = 500
US = Actor("Planbridge", "system")


async def work(store: Store, district: int, webhook: int, days: int = events.KEPT_DAYS) -> None:
    """Read the feed for one webhook and send what is due to it, until nothing is or a minute is over."""
    until = time.monotonic() + WORKS_SECONDS
    while await _round(store, district, webhook, days) and time.monotonic() < until:
        pass


async def _round(store: Store, district: int, number: int, days: int) -> bool:
    """Send some messages at once, each about somebody else; whether there may be more."""
    async with store.transaction(district) as c:
        taken = await _take(store, c, number, days)
    if taken is None:
        return False
    webhook, messages, more = taken
    if not messages:
        return more
    began = time.monotonic()
    async with _way_out(webhook) as out:
        outcomes = await asyncio.gather(*(_deliver(store, out, webhook, message) for message in messages))
    wish = max(_rest(outcomes, messages, time.monotonic() - began), *(one.retry_after for one in outcomes))
    if wish:
        async with store.transaction(district) as c:
            await stored.rest(c, number, wish)
    return not wish and not any(one.status == 410 for one in outcomes)


def _rest(outcomes: Sequence["Outcome"], messages: Sequence[Message], took: float) -> float:
    """How many seconds a webhook rests after this: 0 where it takes what it is sent."""
    if not any(one.arrived for one in outcomes) and (len(outcomes) > 2 or all(one.status is None for one in outcomes)):
        return min(RESTS_SECONDS * 2.0 ** (min(max(one.attempts for one in messages), 10) - 1), RESTS_LONGEST)
    return 3 * took if took > SLOW_SECONDS else 0.0


async def _take(store: Store, c: Transaction, number: int, days: int) -> tuple[Webhook, list[Message], bool] | None:
    """What is sent now; nothing where the program may not be served. What of it may not be told any more is gone, and
    what is sent the first time is on record before it leaves."""
    try:
        webhook = await stored.get(store, c, number)
    except ConfigError:  # removed meanwhile
        return None
    if webhook.stopped or webhook.client.suspended:
        return None
    try:
        listener = await Listener.of(store, c, webhook.client)
        more = await _read(c, listener, webhook, days)
        messages = await stored.claim(c, webhook.id)
        may = {one.id for one in await listener.may(c, [(one.event, None) for one in messages if _is_told(one)])}
    except (Refused, Unavailable) as refusal:
        log.warning("nothing is sent to webhook %s: %s", webhook.id, refusal.code)
        await stored.note(c, webhook, "", "", None, refusal.code, 0)
        await stored.rest(c, webhook.id, ASKS_AGAIN_SECONDS)
        return None
    kept = [one for one in messages if not _is_told(one) or one.mark in may]
    if withheld := [one for one in messages if one not in kept]:
        await stored.withhold(c, withheld)
        for one in withheld:
            await stored.note(c, webhook, one.mark, one.event.type, None, "withheld", 0)
    await listener.note(c, [one.event for one in kept if one.attempts == 1])
    return webhook, kept, more or bool(messages)


def _is_told(message: Message) -> bool:
    """Whether it is about something, so that not everybody may be told."""
    return message.event.type not in events.OF_WEBHOOKS


async def _read(c: Transaction, listener: Listener, webhook: Webhook, days: int) -> bool:
    """Queue the next events of the feed; whether there may be more."""
    room = await stored.room(c, webhook.id)
    if not room:
        return False
    head = await stored_events.head(c, webhook.client.district)
    try:
        place = Place.read(webhook.place)
        told = await feed.following(c, listener, head, place, limit=min(room, PAGE), types=webhook.types, days=days)
    except Refused as refusal:
        if refusal.code not in ("events-reset", "events-expired"):
            raise
        reset = Event(f"evt_{RESET}_{webhook.id}_{head.epoch}_{head.xid}", RESET, head.at, {}, None, "feed")
        await stored.queue(c, webhook, [reset], str(head.place))
        return True
    await stored.queue(c, webhook, told.events, str(told.place))
    return told.more


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt. `status`: as answered, if it was; `code`: what went wrong before that."""

    status: int | None = None
    code: str | None = None
    retry_after: float = 0.0
    ms: int = 0

    @property
    def arrived(self) -> bool:
        return self.status is not None and self.status < 300

    @property
    def says(self) -> str:
        """Why it did not arrive, without the address: that may be a key."""
        if self.status is not None:
            return f"The receiver answered {self.status}."
        return f"It could not be sent ({self.code}, explained in docs/errors.md)."


async def _deliver(store: Store, out: http.Http, webhook: Webhook, message: Message) -> Outcome:
    """One attempt, and the note of it. Whoever dies between both leaves the message to be sent again, as the same."""
    outcome = await _post(out, webhook, message.event)
    async with store.transaction(webhook.client.district) as c:
        await stored.note(c, webhook, message.mark, message.event.type, outcome.status, outcome.code, outcome.ms)
        if outcome.arrived:
            await stored.sent(c, message)
        elif outcome.status == 410:  # Standard Webhooks 1.0: the receiver wants nothing any more
            await stored.stop(c, webhook, GONE, outcome.says, US)
            await _tell(
                c, webhook, "The receiver of a webhook says that it is gone, so nothing is sent to it any more."
            )
        elif await stored.not_sent(c, message, outcome.says, outcome.retry_after):
            log.warning("a message to webhook %s is parked: %s", webhook.id, outcome.status or outcome.code)
            await _tell(c, webhook, "Events could not be sent to a webhook for a day.")
    return outcome


async def _tell(c: Transaction, webhook: Webhook, what: str) -> None:
    """Once a day for each webhook."""
    notice = Notice(
        what,
        f"Webhook {webhook.id} of the program {webhook.client.name}.",
        "All other webhooks, and the feed that the program may read instead.",
        f"Ask who runs the program; then: planbridge webhooks parked {webhook.id}",
        "Within 30 days: then what is parked is removed.",
    )
    key = f"webhook/{webhook.id}/{clock.today()}"
    await outbox.add(c, webhook.client.district, "failure", key, notice)


def _way_out(webhook: Webhook) -> http.Http:
    return http.Http(
        None,
        tokens=http.MemoryTokens(),
        allow_private=webhook.allow_private,
        in_flight=stored.AT_ONCE,
        timeout=SECONDS,
        attempts=1,
        longest_wait=0.0,
        largest=0,
    )


async def _post(out: http.Http, webhook: Webhook, event: Event) -> Outcome:
    body = json.dumps(event.as_json()).encode()
    headers = {"accept": "*/*", **signed(event.id, datetime.now(UTC), body, webhook.secrets)}
    began = time.monotonic()
    status, code, wish = None, None, 0.0
    try:
        stored.checked_address(webhook.url, allow_private=webhook.allow_private)
        reply = await out.send("POST", webhook.url, json=body, headers=headers, repeatable=True)
        status = reply.status
    except AuthError:
        status = 401
    except Unavailable as error:
        status, wish = error.status, error.retry_after or 0.0
        code = error.code if status is None else None
    except PlanbridgeError as error:
        code = error.code
    return Outcome(status, code, wish, round((time.monotonic() - began) * 1000))


def signed(mark: str, at: datetime, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """The headers that prove who sent a body and when, by each of the keys. # Standard Webhooks 1.0"""
    return {
        "webhook-id": mark,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Signer(key).sign(mark, at, body.decode()) for key in keys),
    }


async def test(store: Store, district: int, number: int, client: str | None = None) -> Outcome:
    """Send a test now, whatever else waits; it is tried once. ConfigError for a webhook that there is not, or not of
    this client; Refused where the client asks for many."""
    if client is not None and await rates.count(store, f"webhook-test/{client}", TESTS) is not None:
        raise Refused("webhook-tests-many", "Webhooks are tested too often.", "Wait a minute.")
    async with store.transaction(district) as c:
        webhook = await stored.get(store, c, number, client)
    event = Event(f"evt_{TEST}_{number}_{clock.now():%Y%m%d%H%M%S%f}", TEST, clock.now(), {}, None, "test")
    async with _way_out(webhook) as out:
        outcome = await _post(out, webhook, event)
    async with store.transaction(district) as c:
        await stored.note(c, webhook, event.id, event.type, outcome.status, outcome.code, outcome.ms)
    return outcome
