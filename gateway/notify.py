"""Who is told what, and when: from what happened to notices, from notices to mail servers and webhooks.

Nothing here has to be called for a notice to exist. A run that ended is a note in itself (see store/notices.py);
whoever comes by, a job or the round of any process, makes notices of the notes and sends what is due.
"""

import base64
import hmac
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gateway import clock, http, logs, mail, messages, status, telling
from gateway.errors import PlanbridgeError, Unavailable
from gateway.messages import Line, Message, Standing
from gateway.settings import Settings
from gateway.status import ConnectionState
from gateway.store import (
    amendments,
    attention,
    channels,
    deliveries,
    notices,
    outbox,
    runs,
    states,
    verifications,
    withdrawals,
    workers,
)
from gateway.store.channels import Channel
from gateway.store.database import DatabaseError, Store, Transaction, is_full, is_lost, try_room
from gateway.store.notices import Ended
from gateway.store.outbox import Beat, Sending
from gateway.store.verifications import Untold

log = logging.getLogger(__name__)

SECONDS = 20.0
"""How long a webhook or a heartbeat may take. The outbox tries again; so each time there is one attempt."""
LOST_ROUNDS = 5
"""Rounds without a database after which people are told: a restart is over by then."""


async def tell_and_send(store: Store, settings: Settings, district: int) -> None:
    """Make notices of everything in a district that nobody was told of, and send what is due.

    Any number of processes may do so at once: each note is told once, each sending is taken by one of them.
    """
    await _tell(store, district)
    while (sending := await outbox.claim(store, district)) is not None:
        await _send(store, settings, district, sending)
    while (beat := await outbox.claim_beat(store, district)) is not None:
        await _call(store, district, beat)


async def _tell(store: Store, district: int) -> None:
    async with store.transaction(district) as c:
        if not await notices.take_turn(c, district):
            return
        for ended in await notices.untold_runs(c):
            await _tell_of_run(c, district, ended)
        for delivery, connection, state, at in await notices.untold_deliveries(c):
            await _tell_of_delivery(c, district, delivery, connection, state, at)
        for over in await withdrawals.untold(c):
            message = telling.of_withdrawals(over.name, over.causes, over.objects, over.kept, clock.today())
            event = "failure" if over.kept else "plans"
            key = f"withdrawal/{over.connection}/{over.last}"
            await outbox.add(c, district, event, key, message, connection=over.connection)
        for look in await verifications.untold(c):
            await _tell_of_look(c, district, look)
        key, waiting = await attention.untold(c, clock.today())
        if waiting:
            await outbox.add(c, district, "plans", key, telling.of_plans(waiting))
        if late := await amendments.untold(c, clock.today()):
            name, overdue, since = late
            await outbox.add(c, district, "plans", name, telling.of_amendments(overdue, since))
        await _tell_of_days(store, c, district)


async def _tell_of_days(store: Store, c: Transaction, district: int) -> None:
    """What is told because its day has come: credentials that end, the digest."""
    today = clock.today()
    ending, mornings = await notices.ending_credentials(c, today), await notices.due_mornings(c)
    if not ending and not mornings:
        return
    states_now = {state.connection: state for state in await states.read(store, district)}
    for connection, name, ends, step in ending:
        message = messages.of_end_date(name, ends, today, await _standing(c, states_now[connection]))
        key = f"credential/{connection}/{ends}/{step}"
        await outbox.add(c, district, "credential", key, message, connection=connection)
    for channel, zone, day in mornings:
        message = messages.digest(day, await _lines(c, states_now.values()), zone)
        await outbox.add(c, district, "digest", f"digest/{channel}/{day}", message, channel=channel)


async def _tell_of_run(c: Transaction, district: int, ended: Ended) -> None:
    """One run: what it says for itself, and the end of what was wrong before it."""
    [run] = await runs.summary(c, run=ended.run)
    standing = await notices.standing(c, ended.run)
    event = await _event(c, district, run, ended)
    said = {event: messages.of_run(run, standing)} if event is not None else {}
    if event is None and ended.state == "published":
        said["year"] = messages.of_assignments(run)
    if ended.good:
        if await notices.end_alarms(c, ended.connection, "failure", "silence"):
            said["recovery"] = messages.of_recovery(run, standing)
        await outbox.expect_beat(c, ended.connection, ended.run)
    for event, message in said.items():
        if message is not None:
            await outbox.add(
                c, district, event, f"{event}/{ended.run}", message, connection=ended.connection, run=ended.run
            )
    await notices.told_of_run(c, ended)


async def _event(c: Transaction, district: int, run: Mapping[str, Any], ended: Ended) -> str | None:
    if any(hold["state"] == "open" for hold in run["holds"]):
        if not await notices.goes_on(c, ended):
            await notices.end_alarms(c, ended.connection, "hold")
        told = await notices.raise_alarm(c, district, ended.connection, "hold", run["created_at"])
        return "hold" if told else None
    if ended.pull and ended.state == "failed":
        told = await notices.raise_alarm(c, district, ended.connection, "failure", run["finished_at"])
        return "failure" if told else None
    return None


async def _tell_of_delivery(
    c: Transaction, district: int, delivery: int, connection: int, state: str, at: datetime
) -> None:
    """The first delivery that is parked at a destination, then one a day, until one arrives."""
    if state == "delivered":
        await notices.end_alarms(c, connection, "delivery")
    elif await notices.raise_alarm(c, district, connection, "delivery", at):
        found = await deliveries.status(c, delivery)
        message = messages.of_delivery(found, Standing(zone=await notices.zone_of(c, connection)))
        await outbox.add(c, district, "failure", f"delivery/{delivery}", message, connection=connection)


async def _tell_of_look(c: Transaction, district: int, look: Untold) -> None:
    """The first look that finds something lost at a destination, then one a day, until one finds all as it was."""
    lost = await verifications.lost(c, look.connection)
    if not lost:
        await notices.end_alarms(c, look.connection, "overwritten")
    elif await notices.raise_alarm(c, district, look.connection, "overwritten", look.looked_at):
        standing = Standing(zone=await notices.zone_of(c, look.connection))
        message = messages.of_overwritten(look.name, lost, look.looked_at, standing)
        key = f"overwritten/{look.connection}/{look.looked_at:%Y%m%d%H%M%S}"
        await outbox.add(c, district, "failure", key, message, connection=look.connection)


async def _standing(c: Transaction, state: ConnectionState) -> Standing:
    zone = await notices.zone_of(c, state.connection)
    return Standing(
        state.good_run, state.good_at, state.next_due_at, state.limit, zone, state.failures, state.failing_since
    )


async def _lines(c: Transaction, states_now: Iterable[ConnectionState]) -> list[Line]:
    tallies = await notices.tallies(c)
    lines = []
    for state in states_now:
        rejects, unmapped, rejects_before, unmapped_before = tallies.get(state.connection, (0, 0, 0, 0))
        lines.append(
            Line(
                name=state.name,
                state=_words(state),
                standing=await _standing(c, state),
                began=state.created_at,
                held_run=state.held_run,
                rejects=rejects,
                rejects_before=rejects_before,
                unmapped=unmapped,
                unmapped_before=unmapped_before,
            )
        )
    return lines


def _words(state: ConnectionState) -> list[str]:
    """The first one decides what is asked of a person."""
    so: Mapping[str, Any] = {
        "paused": state.paused_because,
        "held": state.held_run,
        "removals wait": state.removals_held,
        "failing": state.failing_since,
        "late": state.is_late(),
        "overwritten": state.overwritten,
    }
    return [word for word, is_so in so.items() if is_so]


async def raise_silences(store: Store, settings: Settings) -> None:
    """Tell, once for each silence, of every connection without a good sync for longer than its limit, everywhere."""
    late = status.late(await states.read(store))
    known = await notices.raised(store, "silence") if late else set()
    for state in late:
        if state.connection in known:
            continue
        alive = await workers.alive(store, settings.takeover_seconds)
        async with store.transaction(state.district) as c:
            if await notices.raise_once(c, state.district, state.connection, "silence"):
                message = messages.of_silence(
                    state.name, await _standing(c, state), state.created_at, messages.SILENT_BECAUSE[_why(state, alive)]
                )
                key = f"silence/{state.connection}/{state.good_run or 0}"
                await outbox.add(c, state.district, "silence", key, message, connection=state.connection)


def _why(state: ConnectionState, worker_alive: bool) -> str:
    if state.paused_because:
        return "paused"
    if state.held_run is not None:
        return "held"
    if not worker_alive:
        return "no-worker"
    if state.under_way is not None:
        return "running"
    return "failed" if state.failing_since else "idle"


async def _send(store: Store, settings: Settings, district: int, sending: Sending) -> None:
    try:
        await send(settings, await channels.get(store, district, sending.channel), sending)
    except PlanbridgeError as error:
        log.warning("notice %s did not reach channel %s: %s", sending.notice, sending.channel, error.code)
        await outbox.not_sent(store, district, sending, error.code)
    else:
        await outbox.sent(store, district, sending)


async def send(settings: Settings, channel: Channel, sending: Sending) -> None:
    """Send one notice to one channel, once. Raises the error of the tree that says why it did not get there."""
    if channel.kind == "email":
        await mail.send(
            settings,
            channel.address,
            f"{sending.message.subject} ({sending.district_name})",
            f"{sending.message.text}\n\n-- \nPlanbridge, district {sending.district_name}\n",
            f"planbridge.{sending.mark}.{sending.channel}",
        )
    else:
        body = _body(sending)
        headers = signed(sending.mark, int(time.time()), body, channel.secret)
        await _ask("POST", channel.address, body, headers, channel.allow_private)


def _body(sending: Sending) -> bytes:
    """What a webhook gets. `text` is what chat rooms show."""
    return json.dumps(
        {
            "type": sending.event,
            "timestamp": sending.at.astimezone(UTC).isoformat(timespec="seconds"),
            "text": sending.message.text,
            "data": {
                "district": sending.district_name,
                "connection": sending.connection,
                "run": sending.run,
                "message": sending.message.parts(),
            },
        }
    ).encode()


def signed(mark: str, timestamp: int, body: bytes, secret: bytes) -> dict[str, str]:
    """The headers that prove who sent a body and when. # Standard Webhooks 1.0, symmetric signatures"""
    signature = hmac.digest(secret, f"{mark}.{timestamp}.".encode() + body, "sha256")
    return {
        "webhook-id": mark,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


async def _call(store: Store, district: int, beat: Beat) -> None:
    try:
        await _ask(beat.method, beat.url, b"" if beat.method == "POST" else None, {}, beat.allow_private)
    except PlanbridgeError as error:
        log.warning("the heartbeat of connection %s failed: %s", beat.connection, error.code)
        await outbox.beaten(store, district, beat, error.code)
    else:
        await outbox.beaten(store, district, beat, None)


async def _ask(method: str, url: str, body: bytes | None, headers: Mapping[str, str], allow_private: bool) -> None:
    async with http.Http(
        None, tokens=http.MemoryTokens(), allow_private=allow_private, in_flight=1, timeout=SECONDS, attempts=1
    ) as out:
        reply = await out.send(method, url, json=body, headers={"accept": "*/*", **headers}, repeatable=True)
    if reply.status >= 300:
        raise Unavailable(
            "webhook-refused",
            f"{http.checked_origin(url)} answered {reply.status}.",
            "Look at the receiving side; it is tried again.",
        )


@dataclass
class Watch:
    """One process's part in seeing that nothing stays unsaid: its rounds, and whom it would tell if the database were
    gone. Then nobody can ask who is to be told, so each process tells those whom it knew, once."""

    store: Store
    settings: Settings
    known: Sequence[tuple[str, Channel]] = ()
    rounds_lost: int = 0
    lost_since: datetime = field(default_factory=clock.now)
    told: bool = False

    async def round(self) -> None:
        """Raise the silences, make and send the notices of all districts."""
        try:
            self.known = await channels.everywhere(self.store)
            await try_room(self.store)
            await raise_silences(self.store, self.settings)
            for district in await notices.districts_with_work(self.store, clock.today()):
                await self._district(district)
        except DatabaseError as error:
            if not is_lost(error):
                raise
            await self._lost(error)
        else:
            await self._found()

    async def _district(self, district: int) -> None:
        try:
            await tell_and_send(self.store, self.settings, district)
        except DatabaseError:
            raise
        except Exception as error:  # one district's trouble is not the others'
            log.error("the notices of district %s met a fault of ours: %s", district, logs.where(error))

    async def _lost(self, error: DatabaseError) -> None:
        if self.rounds_lost == 0:
            self.lost_since = clock.now()
        self.rounds_lost += 1
        log.error("no round of notices: %s (%s in a row)", type(error.orig).__name__, self.rounds_lost)
        if self.rounds_lost >= LOST_ROUNDS and not self.told:
            self.told = True
            await self._tell("failure", messages.of_full_disk if is_full(error) else messages.of_lost_database)

    async def _found(self) -> None:
        self.rounds_lost = 0
        if self.told:
            self.told = False
            await self._tell("recovery", messages.of_returned_database)

    async def _tell(self, event: str, message: Callable[[datetime, Standing], Message]) -> None:
        for district, channel in self.known:
            if event in channel.events:
                said = message(self.lost_since, Standing(zone=channel.zone))
                mark = f"{event}-{self.lost_since:%Y%m%d%H%M}"
                sending = Sending(0, channel.id, mark, event, district, None, None, clock.now(), said)
                try:
                    await send(self.settings, channel, sending)
                except PlanbridgeError as error:
                    log.warning("channel %s could not be told: %s", channel.id, error.code)
