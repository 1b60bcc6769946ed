"""gateway.http against real sockets; respx stands in only where an answer is odd and the socket does not matter."""

import asyncio
import base64
import datetime
import gzip
import itertools
import logging
import socket
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from email.utils import format_datetime
from typing import Any

import pytest
import respx

from gateway.errors import AuthError, ConfigError, PlanbridgeError, Unavailable
from gateway.http import (
    ClientCredentials,
    MemoryTokens,
    Pace,
    Reply,
    StaticBearer,
    Token,
    same_origin,
)
from tests.peers import (
    OK,
    Asked,
    Certificate,
    Cut,
    Peer,
    connecting,
    credentials,
    dns,
    expire,
    http,
    in_turn,
    made_certificate,
    token_server,
    whole,
)

# --- pace -----------------------------------------------------------------------------------------------------


async def test_requests_keep_their_pace_also_when_repeated_and_whoever_sends_them() -> None:
    pace, busy = Pace(20), whole(429, b"", retry_after="0")
    async with Peer(in_turn(busy, busy, OK)) as peer, http(pace=pace) as one, http(pace=pace) as other:
        began = time.monotonic()
        await asyncio.gather(*(client.get(f"{peer.url}/a") for client in (one, other) for _ in range(4)))
        took = time.monotonic() - began
    assert len(peer.asked) == 10
    assert took >= 9 / 20, "ten attempts at twenty a second"


async def test_without_a_pace_nothing_waits() -> None:
    pace = Pace(None)
    began = time.monotonic()
    for _ in range(1000):
        await pace.turn()
    assert time.monotonic() - began < 0.5


# --- requests and replies -----------------------------------------------------------------------------------


async def test_a_get_says_who_we_are_and_keeps_the_query_of_the_url() -> None:
    async with Peer(in_turn(OK)) as peer, http() as client:
        reply = await client.get(f"{peer.url}/a?sort=x", {"limit": 5})
    (asked,) = peer.asked
    assert asked.path == "/a?sort=x&limit=5"
    assert asked.headers["user-agent"].startswith("planbridge/")
    assert asked.headers["correlation-id"] == reply.correlation_id != ""
    assert asked.headers["accept"] == "application/json"
    assert "authorization" not in asked.headers
    assert (reply.status, reply.json(), reply.url) == (200, {"ok": True}, f"{peer.url}/a?sort=x&limit=5")
    assert reply.headers["Content-Type"] == reply.headers["content-type"] == "application/json"


async def test_a_write_carries_its_json_and_the_callers_headers() -> None:
    async with Peer(in_turn(whole(201, b""))) as peer, http() as client:
        headers = {"Accept": "text/plain", "If-Match": "5"}
        reply = await client.send("PUT", f"{peer.url}/a", json=b'{"a": 1}', headers=headers, repeatable=True)
    (asked,) = peer.asked
    assert (reply.status, asked.method, asked.body) == (201, "PUT", b'{"a": 1}')
    assert asked.headers["content-type"] == "application/json"
    assert (asked.headers["accept"], asked.headers["if-match"]) == ("text/plain", "5")


@pytest.mark.parametrize("status", [400, 403, 404, 409, 412, 422])
async def test_what_only_the_caller_can_judge_is_returned_at_once(status: int) -> None:
    async with Peer(in_turn(whole(status, {"why": "x"}))) as peer, http() as client:
        assert (await client.get(f"{peer.url}/a")).status == status
        assert (await client.send("POST", f"{peer.url}/a", json=b"{}", repeatable=True)).status == status
    assert len(peer.asked) == 2


async def test_no_more_than_in_flight_requests_run_at_once_and_connections_are_kept() -> None:
    running = most = 0

    async def slowly(_: Asked) -> bytes:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return OK

    async with Peer(slowly) as peer, http(in_flight=4) as client:
        await asyncio.gather(*(client.get(f"{peer.url}/{n}") for n in range(20)))
    assert (most, peer.connections, len(peer.asked)) == (4, 4, 20)


async def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Peer(in_turn(OK)) as proxy, Peer(in_turn(OK)) as peer:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with http() as client:
            await client.get(f"{peer.url}/a")
    assert (proxy.connections, len(peer.asked)) == (0, 1)


# --- tokens -------------------------------------------------------------------------------------------------


async def test_the_token_is_got_by_basic_once_and_kept_for_90_percent_of_its_life() -> None:
    tokens = MemoryTokens()
    async with Peer(token_server(in_turn(OK), expires_in=1000)) as peer:
        async with http(credentials(peer, scope="a b"), tokens=tokens) as client:
            await client.get(f"{peer.url}/a")
            await client.get(f"{peer.url}/a")
    (asked,) = peer.to("/token")
    assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"client-1:secret-1").decode()
    assert asked.form == {"grant_type": "client_credentials", "scope": "a b"}
    assert [asked.bearer for asked in peer.to("/a")] == ["t1", "t1"]
    (token,) = tokens._tokens.values()
    assert token.expires_at == pytest.approx(time.time() + 900, abs=5)


@pytest.mark.parametrize(
    ("stated", "life"), [("1000", 900), (None, 540), (0, 540), (-1, 540)], ids=["text", "none", "zero", "minus"]
)
async def test_an_odd_expires_in_is_understood(stated: Any, life: float) -> None:
    async with Peer(token_server(in_turn(OK), expires_in=stated)) as peer:
        async with http(credentials(peer)) as client:
            token = await client.token()
    assert token.expires_at == pytest.approx(time.time() + life, abs=5)


async def test_twenty_requests_with_an_expired_token_ask_for_one() -> None:
    tokens = MemoryTokens()
    async with Peer(token_server(in_turn(OK))) as peer:
        async with http(credentials(peer), tokens=tokens, in_flight=20) as client:
            await client.token()
            await expire(tokens)
        async with http(credentials(peer), tokens=tokens, in_flight=20) as client:
            await asyncio.gather(*(client.get(f"{peer.url}/a") for _ in range(20)))
    assert len(peer.to("/token")) == 2  # token(), then one for all twenty
    assert {asked.bearer for asked in peer.to("/a")} == {"t2"}


async def test_twenty_requests_that_meet_401_renew_once_and_are_each_replayed_once() -> None:
    def data(asked: Asked) -> bytes:
        return whole(401) if asked.bearer == "t1" else OK

    async with Peer(token_server(data)) as peer, http(credentials(peer), in_flight=20) as client:
        await client.token()
        replies = await asyncio.gather(*(client.get(f"{peer.url}/a") for _ in range(20)))
    assert {reply.status for reply in replies} == {200}
    assert len(peer.to("/token")) == 2
    assert sorted(asked.bearer for asked in peer.to("/a")) == ["t1"] * 20 + ["t2"] * 20


async def test_a_second_401_is_an_auth_error() -> None:
    async with Peer(token_server(in_turn(whole(401)))) as peer, http(credentials(peer)) as client:
        with pytest.raises(AuthError) as caught:
            await client.get(f"{peer.url}/a")
    assert caught.value.code == "unauthorized"


@pytest.mark.parametrize(("ahead", "said"), [(600, "10 minutes ahead of"), (-600, "10 minutes behind"), (20, None)])
async def test_a_wrong_clock_explains_a_refusal_of_new_tokens(ahead: int, said: str | None) -> None:
    def refuse(_: Asked) -> bytes:
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ahead)
        return whole(401, date=format_datetime(now, usegmt=True))

    async with Peer(token_server(refuse)) as peer, http(credentials(peer)) as client:
        with pytest.raises(AuthError) as caught:
            await client.get(f"{peer.url}/a")
    assert caught.value.code == ("clock-differs" if said else "unauthorized")
    assert said is None or f"its clock is {said} ours" in str(caught.value)
    assert [asked.bearer for asked in peer.to("/a")] == ["t1", "t2"]
    assert len(peer.to("/token")) == 2


async def test_two_workers_share_a_token_and_renew_it_once() -> None:
    refused: set[str] = set()

    def data(asked: Asked) -> bytes:
        return whole(401) if asked.bearer in refused else OK

    tokens = MemoryTokens()
    async with Peer(token_server(data)) as peer:
        auth = credentials(peer)
        async with http(auth, tokens=tokens) as one, http(auth, tokens=tokens) as two:
            await asyncio.gather(*(worker.get(f"{peer.url}/a") for worker in (one, two) for _ in range(5)))
            assert len(peer.to("/token")) == 1
            refused.add("t1")  # found out by one worker, then by the other
            await one.get(f"{peer.url}/a")
            await two.get(f"{peer.url}/a")
    assert len(peer.to("/token")) == 2
    assert [asked.bearer for asked in peer.to("/a")][-4:] == ["t1", "t2", "t1", "t2"]


async def test_who_does_not_know_the_secret_is_not_served_the_stored_token() -> None:
    def answer(asked: Asked) -> bytes:
        if asked.path != "/token":
            return OK
        return whole(body={"access_token": "t"}) if asked.form["client_secret"] == "right" else whole(401)

    tokens = MemoryTokens()
    async with Peer(answer) as peer:
        for secret in ("right", "wrong"):
            auth = ClientCredentials(f"{peer.url}/token", "client-1", secret, style="form")
            async with http(auth, tokens=tokens) as client:
                if secret == "right":
                    await client.get(f"{peer.url}/a")
                else:
                    with pytest.raises(AuthError):
                        await client.get(f"{peer.url}/a")


async def test_nobody_sleeps_inside_the_renewal_lock() -> None:
    class Watched(MemoryTokens):
        entered = 0

        @asynccontextmanager
        async def renewing(self, key: str) -> AsyncIterator[None]:
            self.entered += 1
            async with super().renewing(key):
                yield

    tokens = Watched()
    answers = in_turn(whole(503), whole(503), whole(body={"access_token": "t"}))
    async with Peer(answers) as peer, http(credentials(peer), tokens=tokens) as client:
        await client.get(f"{peer.url}/a", headers={"accept": "*/*"})
    assert tokens.entered == 3  # once per attempt


async def test_a_caller_that_gives_up_does_not_end_the_renewal_of_the_others() -> None:
    async def slowly() -> bytes:
        await asyncio.sleep(0.05)
        return whole(body={"access_token": "t"})

    def answer(asked: Asked) -> bytes | Awaitable[bytes]:
        return slowly() if asked.path == "/token" else OK

    async with Peer(answer) as peer, http(credentials(peer)) as client:
        first = asyncio.create_task(client.get(f"{peer.url}/a"))
        second = asyncio.create_task(client.get(f"{peer.url}/a"))
        await asyncio.sleep(0.02)
        first.cancel()
        assert (await second).status == 200
    assert len(peer.to("/token")) == 1


async def test_leaving_ends_a_renewal_under_way() -> None:
    async def never(_: Asked) -> bytes:
        await asyncio.sleep(30)
        return b""

    async with Peer(never) as peer:
        async with http(credentials(peer)) as client:
            call = asyncio.create_task(client.get(f"{peer.url}/a"))
            await asyncio.sleep(0.02)
            renewal = client._renewal
        with pytest.raises(asyncio.CancelledError):
            await call
    assert renewal is not None and renewal.cancelled()


async def test_basic_that_is_refused_is_tried_as_a_form_once_and_the_style_is_remembered() -> None:
    def answer(asked: Asked) -> bytes:
        if asked.path != "/token":
            return whole(401) if asked.bearer == "old" else OK
        return whole(400, {"error": "invalid_client"}) if "authorization" in asked.headers else token.pop(0)

    token = [whole(body={"access_token": name}) for name in ("old", "new")]
    async with Peer(answer) as peer, http(credentials(peer, try_form=True)) as client:
        await client.get(f"{peer.url}/a")
    basic, form, again = peer.to("/token")
    assert "client_secret" not in basic.form
    assert form.form == again.form
    assert form.form["client_id"] == "client-1" and form.form["client_secret"] == "secret-1"
    assert "authorization" not in form.headers and "authorization" not in again.headers


@pytest.mark.parametrize(("status", "said"), [(401, "invalid_client"), (400, "invalid_scope"), (403, "")])
async def test_refused_credentials_are_an_auth_error_met_once_by_all(status: int, said: str) -> None:
    async with Peer(in_turn(whole(status, {"error": said}))) as peer:
        async with http(credentials(peer), in_flight=20) as client:
            calls = (client.get(f"{peer.url}/a") for _ in range(20))
            errors = await asyncio.gather(*calls, return_exceptions=True)
    assert {error.code for error in errors if isinstance(error, AuthError)} == {"token-refused"}
    assert len(errors) == 20 and all(isinstance(error, AuthError) for error in errors)
    assert said in str(errors[0])
    assert len(peer.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        whole(404, {}),
        whole(405, b""),
        whole(200, b"<html>Sign in</html>", kind="text/html"),
        whole(400, b"<html>Bad</html>", kind="text/html"),
        whole(200, {"hello": 1}),
        whole(200, b"[1]"),
        whole(200, {"access_token": ""}),
        whole(200, {"access_token": "a\r\nb: c"}),
    ],
)
async def test_a_wrong_token_url_is_named(answer: bytes) -> None:
    async with Peer(in_turn(answer)) as peer, http(credentials(peer)) as client:
        with pytest.raises(ConfigError) as caught:
            await client.token()
    assert caught.value.code == "token-url-wrong"
    assert f"POST 127.0.0.1:{peer.port}/token" in str(caught.value)


async def test_token_asks_anew_whatever_is_stored_and_others_then_use_it() -> None:
    async with Peer(token_server(in_turn(OK), scope="granted")) as peer:
        async with http(credentials(peer, scope="wanted more")) as client:
            await client.get(f"{peer.url}/a")
            token = await client.token()
            await client.get(f"{peer.url}/a")
    assert (token.access_token, token.scope) == ("t2", "granted")
    assert [asked.bearer for asked in peer.to("/a")] == ["t1", "t2"]


async def test_a_static_bearer_is_sent_and_never_renewed() -> None:
    async with Peer(in_turn(OK, whole(401))) as peer, http(StaticBearer("fixed")) as client:
        assert (await client.token()).access_token == "fixed"
        await client.get(f"{peer.url}/a")
        with pytest.raises(AuthError):
            await client.get(f"{peer.url}/a")
    assert [asked.bearer for asked in peer.asked] == ["fixed", "fixed"]


async def test_without_credentials_there_is_no_token() -> None:
    async with http() as client:
        with pytest.raises(ConfigError) as caught:
            await client.token()
    assert caught.value.code == "no-credentials"


@pytest.mark.parametrize("pasted", ["abc\n", "a b", "", "tokén"])
def test_a_badly_pasted_bearer_is_refused_without_repeating_it(pasted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        StaticBearer(pasted)
    assert caught.value.code == "token-malformed"
    assert not pasted.strip() or pasted.strip() not in str(caught.value)


async def test_a_token_that_another_replaced_is_not_forgotten() -> None:
    tokens = MemoryTokens()
    await tokens.put("k", Token("new", 1.0))
    await tokens.forget("k", Token("old", 1.0))
    assert await tokens.get("k") == Token("new", 1.0)
    await tokens.forget("k", Token("new", 1.0))
    assert await tokens.get("k") is None


# --- what time may heal -------------------------------------------------------------------------------------

CUT_BODY = Cut(OK[:-4])
CUT_JSON = whole(200, b'{"users": [{"sourcedId": "u-1"')
DEAD = Cut(b"")
NOT_GZIP = whole(200, b"junk", content_encoding="gzip")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_passing_status_is_repeated_with_one_correlation_id(status: int) -> None:
    async with Peer(in_turn(whole(status), whole(status), OK)) as peer, http() as client:
        assert (await client.get(f"{peer.url}/a")).status == 200
    assert len(peer.asked) == 3
    assert len({asked.headers["correlation-id"] for asked in peer.asked}) == 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (whole(429), "server-busy"),
        (whole(503), "server-busy"),
        (whole(500), "server-error"),
        (CUT_BODY, "connection-dropped"),
        (DEAD, "connection-dropped"),
        (NOT_GZIP, "connection-dropped"),
        (CUT_JSON, "truncated-json"),
        (whole(200, b""), "truncated-json"),
    ],
    ids=["429", "503", "500", "cut", "dead", "gzip", "json", "empty"],
)
async def test_after_the_attempts_it_is_unavailable(answer: bytes, code: str) -> None:
    async with Peer(in_turn(answer)) as peer, http() as client:
        with pytest.raises(Unavailable) as caught:
            await client.get(f"{peer.url}/a?filter=secret-name")
    assert (caught.value.code, len(peer.asked)) == (code, 3)
    assert f"GET 127.0.0.1:{peer.port}/a" in str(caught.value)
    assert peer.asked[0].headers["correlation-id"] in str(caught.value)


@pytest.mark.parametrize("broken", [CUT_BODY, CUT_JSON, DEAD, NOT_GZIP], ids=["cut", "json", "dead", "gzip"])
async def test_a_broken_answer_is_asked_for_again(broken: bytes) -> None:
    async with Peer(in_turn(broken, broken, OK)) as peer, http() as client:
        assert (await client.get(f"{peer.url}/a")).json() == {"ok": True}


async def test_a_gzipped_answer_is_unpacked() -> None:
    packed = whole(200, gzip.compress(b'{"ok": true}'), content_encoding="gzip")
    async with Peer(in_turn(packed)) as peer, http() as client:
        assert (await client.get(f"{peer.url}/a")).json() == {"ok": True}


async def test_backing_off_grows_and_is_jittered() -> None:
    times: list[float] = []

    def answer(_: Asked) -> bytes:
        times.append(time.monotonic())
        return whole(503)

    async with Peer(answer) as peer, http(attempts=4) as client:
        with pytest.raises(Unavailable):
            await client.get(f"{peer.url}/a")
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert all(gap < most + 0.1 for gap, most in zip(gaps, (0.1, 0.2, 0.4), strict=True))
    assert len(set(gaps)) == 3 and sum(gaps) > 0.01


async def test_retry_after_is_honoured() -> None:
    async with Peer(in_turn(whole(429, retry_after="1"), OK)) as peer, http() as client:
        began = time.monotonic()
        await client.get(f"{peer.url}/a")
    assert 1.0 <= time.monotonic() - began < 1.5


async def test_while_one_request_is_told_to_wait_no_other_begins() -> None:
    times: dict[str, list[float]] = {}

    def answer(asked: Asked) -> bytes:
        times.setdefault(asked.path, []).append(time.monotonic())
        return whole(429, retry_after="1") if asked.path == "/0" and len(times["/0"]) == 1 else OK

    async with Peer(answer) as peer, http() as client:
        first = asyncio.create_task(client.get(f"{peer.url}/0"))
        await asyncio.sleep(0.2)
        await asyncio.gather(first, *(client.get(f"{peer.url}/{n}") for n in range(1, 4)))
    told = times["/0"][0]
    assert all(time - told >= 1.0 for path, asked in times.items() for time in asked[path == "/0" :])


@pytest.mark.parametrize("ahead", [600, -600])
async def test_a_date_to_wait_for_is_read_by_the_clock_of_who_gave_it(respx_mock: respx.MockRouter, ahead: int) -> None:
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ahead)
    dates = {"date": now, "retry-after": now + datetime.timedelta(seconds=90)}
    respx_mock.get("https://sis.example.org/a").respond(
        503, headers={name: format_datetime(moment, usegmt=True) for name, moment in dates.items()}
    )
    async with http(attempts=1) as client:
        with pytest.raises(Unavailable) as caught:
            await client.get("https://sis.example.org/a")
    assert caught.value.retry_after == 90.0


async def test_json_nested_beyond_reason_is_neither_read_nor_asked_for_again() -> None:
    deep = b"[" * 5_000 + b"]" * 5_000
    async with Peer(in_turn(whole(200, deep))) as peer, http() as client:
        reply = await client.get(f"{peer.url}/a")
        with pytest.raises(Unavailable) as caught:
            reply.json()
    assert (caught.value.code, len(peer.asked)) == ("http-not-json", 1)


async def test_a_retry_after_longer_than_we_wait_ends_at_once() -> None:
    answers = in_turn(whole(503, retry_after="120"))
    async with Peer(answers) as peer, http(longest_wait=60.0) as client:
        began = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await client.get(f"{peer.url}/a")
    assert caught.value.retry_after == 120.0
    assert (len(peer.asked), time.monotonic() - began < 0.5) == (1, True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7.5", 7.5),
        ("999999999999", 86_400.0),
        ("9" * 400, 86_400.0),
        ("soon", None),
        ("-5", None),
        ("²", None),
        (lambda now: format_datetime(now + datetime.timedelta(seconds=90), usegmt=True), 90.0),
        (lambda now: format_datetime(now - datetime.timedelta(days=9), usegmt=True), 0.0),
    ],
    ids=["decimal", "days", "huge", "words", "negative", "superscript", "date", "past"],
)
async def test_every_form_of_retry_after(respx_mock: respx.MockRouter, value: Any, seconds: float | None) -> None:
    text = value(datetime.datetime.now(datetime.UTC)) if callable(value) else value
    respx_mock.get("https://sis.example.org/a").respond(503, headers={"retry-after": text.encode("latin-1")})
    async with http(attempts=1) as client:
        with pytest.raises(Unavailable) as caught:
            await client.get("https://sis.example.org/a")
    assert caught.value.retry_after == (None if seconds is None else pytest.approx(seconds, abs=2))


async def test_a_slow_or_dripping_answer_ends_at_the_timeout() -> None:
    async with Peer(lambda _: drip()) as peer, http(timeout=0.1, attempts=2) as client:
        release = asyncio.Event()

        async def drip() -> bytes:
            peer._writers[-1].write(OK[:20])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await release.wait()
            return DEAD

        with pytest.raises(Unavailable) as caught:
            await client.get(f"{peer.url}/a")
    assert (caught.value.code, len(peer.asked)) == ("timed-out", 2)


async def test_nobody_listening_is_unreachable_and_names_host_and_port_only() -> None:
    async with Peer(in_turn(OK)) as peer:
        pass
    async with http() as client:
        with pytest.raises(Unavailable) as caught:
            await client.get(f"{peer.url}/path?student=u-1")
    assert caught.value.code == "unreachable"
    assert caught.value.message == f"127.0.0.1:{peer.port} cannot be reached."
    assert "firewall" in caught.value.fix and "path" not in str(caught.value)


async def test_an_unknown_name_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", dns({}))
    async with http() as client:
        for host in ("nowhere.example.org", "a" * 64 + ".example.org"):
            with pytest.raises(Unavailable) as caught:
                await client.get(f"https://{host}/a")
            assert caught.value.code == "unreachable" and "no such name" in str(caught.value)


# --- writes whose outcome is not known ----------------------------------------------------------------------


@pytest.mark.parametrize("broken", [whole(500), whole(503), CUT_BODY, DEAD], ids=["500", "503", "cut", "dead"])
@pytest.mark.parametrize("repeatable", [True, False])
async def test_a_write_that_may_have_happened_is_repeated_only_if_it_may_be(broken: bytes, repeatable: bool) -> None:
    async with Peer(in_turn(broken, OK)) as peer, http() as client:
        call = client.send("POST", f"{peer.url}/a", json=b'{"a": 1}', repeatable=repeatable)
        if repeatable:
            assert (await call).status == 200
        else:
            with pytest.raises(Unavailable) as caught:
                await call
            assert caught.value.code == "outcome-unknown"
    assert [asked.body for asked in peer.asked] == [b'{"a": 1}'] * (2 if repeatable else 1)


async def test_a_write_that_certainly_did_not_happen_is_repeated() -> None:
    async with Peer(in_turn(whole(429), OK)) as peer, http() as client:
        assert (await client.send("POST", f"{peer.url}/a", json=b"{}", repeatable=False)).status == 200
    async with http() as client:
        with pytest.raises(Unavailable) as caught:
            await client.send("POST", f"{peer.url}/a", json=b"{}", repeatable=False)
    assert caught.value.code == "unreachable"


async def test_a_write_that_met_401_is_replayed_once() -> None:
    def data(asked: Asked) -> bytes:
        return whole(401) if asked.bearer == "t1" else whole(201, {})

    async with Peer(token_server(data)) as peer, http(credentials(peer)) as client:
        reply = await client.send("POST", f"{peer.url}/a", json=b"{}", repeatable=False)
    assert (reply.status, len(peer.to("/a"))) == (201, 2)


async def test_the_body_of_a_writes_answer_does_not_decide_whether_it_happened() -> None:
    async with Peer(in_turn(CUT_JSON)) as peer, http() as client:
        reply = await client.send("POST", f"{peer.url}/a", json=b"{}", repeatable=True)
    assert (reply.status, len(peer.asked)) == (200, 1)
    with pytest.raises(Unavailable) as caught:
        reply.json()
    assert caught.value.code == "http-not-json"


# --- the wrong address --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html; charset=utf-8", b"Sign in"),
        ("application/json", b"<!DOCTYPE html>"),
        ("text/plain", b"\xef\xbb\xbf\r\n <html>"),
    ],
)
async def test_a_web_page_instead_of_json_is_named(respx_mock: respx.MockRouter, kind: str, body: bytes) -> None:
    respx_mock.route().respond(200, content=body, headers={"content-type": kind})
    async with http() as client:
        for call in (
            client.get("https://sis.example.org/a"),
            client.send("POST", "https://sis.example.org/a", json=b"{}", repeatable=True),
        ):
            with pytest.raises(ConfigError) as caught:
                await call
            assert caught.value.code == "http-html-instead-of-json"
            assert "web page" in str(caught.value) and "sis.example.org/a" in str(caught.value)
        reply = await client.get("https://sis.example.org/a", headers={"Accept": "text/html"})
    assert reply.body == body
    assert respx_mock.calls.call_count == 3


async def test_a_404_in_html_is_the_callers_until_it_asks_for_json() -> None:
    async with Peer(in_turn(whole(404, b"<html>", kind="text/html"))) as peer, http() as client:
        reply = await client.get(f"{peer.url}/a")
    assert reply.status == 404
    with pytest.raises(ConfigError) as caught:
        reply.json()
    assert caught.value.code == "http-html-instead-of-json"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(status: int) -> None:
    async with Peer(in_turn(OK)) as elsewhere:
        location = f"http://user:pw@127.0.0.1:{elsewhere.port}/login?token=secret-1"
        async with Peer(in_turn(whole(status, location=location))) as peer:
            async with http(credentials(peer)) as client:
                with pytest.raises(ConfigError) as at_token:
                    await client.token()
            async with http() as client:
                with pytest.raises(ConfigError) as caught:
                    await client.get(f"{peer.url}/a")
    assert at_token.value.code == caught.value.code == "unexpected-redirect"
    assert f"to http://127.0.0.1:{elsewhere.port}." in str(caught.value)
    assert elsewhere.connections == 0 and len(peer.asked) == 2


@pytest.mark.parametrize(
    ("link", "full"),
    [
        ("/users?offset=100", "https://sis.example.org/users?offset=100"),
        ("?offset=100", "https://sis.example.org/api/users?offset=100"),
        ("https://SIS.example.org:443/x", "https://sis.example.org/x"),
    ],
)
def test_a_link_on_the_same_origin_is_given_in_full(link: str, full: str) -> None:
    assert same_origin("https://sis.example.org/api/users", link) == full


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example.org/x",
        "//evil.example.org/x",
        "http://sis.example.org/x",
        "https://sis.example.org:8443/x",
        "https://sis.example.org.evil.example/x",
        "https://sis.example.org@evil.example/x",
        "https://user:pw@sis.example.org/x",
        "https://sis.example.org\\@evil.example/x",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://[broken/",
        "https://sis.example.org\x00/",
    ],
)
def test_a_link_that_leaves_the_origin_is_refused(link: str) -> None:
    with pytest.raises(ConfigError) as caught:
        same_origin("https://sis.example.org/api", link)
    assert caught.value.code == "left-origin"


# --- TLS, names and addresses -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return made_certificate(tmp_path_factory.mktemp("tls"))


async def test_a_name_is_looked_up_once_per_connection_and_tls_still_asks_for_the_name(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    monkeypatch.setattr(socket, "getaddrinfo", dns({"sis.example.org": ["127.0.0.1"]}, asked))
    certificate.names.clear()
    async with Peer(in_turn(OK), certificate.server) as peer, http() as client:
        for _ in range(3):
            assert (await client.get(f"https://sis.example.org:{peer.port}/a")).status == 200
    assert asked.count("sis.example.org") == 1
    assert certificate.names == ["sis.example.org"]
    assert peer.asked[0].headers["host"] == f"sis.example.org:{peer.port}"


async def test_a_name_that_changes_its_address_after_the_check_gains_nothing(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    real = dns({})
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    async with Peer(in_turn(OK), certificate.server) as checked, http() as client:

        def rebinding(host: str, *args: Any, **kwargs: Any) -> list[Any]:
            if host == "sis.example.org":
                (host,) = answers.pop(0)
            return real(host, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        with connecting() as targets:
            await client.get(f"https://sis.example.org:{checked.port}/a")
    assert targets == [("127.0.0.1", checked.port)]
    assert answers == [["127.0.0.2"]]


async def test_the_next_address_is_tried_where_one_does_not_answer(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    monkeypatch.setattr(socket, "getaddrinfo", dns({"sis.example.org": ["127.0.0.2", "127.0.0.1", "127.0.0.3"]}))
    async with Peer(in_turn(OK), certificate.server) as peer, http(attempts=1) as client:
        assert (await client.get(f"https://sis.example.org:{peer.port}/a")).status == 200


async def test_a_certificate_nobody_vouches_for_or_of_another_name_fails_at_once(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", dns({"sis.example.org": ["127.0.0.1"]}))
    async with Peer(in_turn(OK), certificate.server) as peer:
        async with http() as client:
            with pytest.raises(ConfigError) as unknown:
                await client.get(f"https://sis.example.org:{peer.port}/a?student=u-1")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
        async with http() as client:
            with pytest.raises(ConfigError) as other:
                await client.get(f"https://127.0.0.1:{peer.port}/a")
    assert unknown.value.code == other.value.code == "tls-failed"
    assert "self-signed" in str(unknown.value) and f"sis.example.org:{peer.port}" in str(unknown.value)
    assert peer.asked == [] and peer.connections == 0  # asyncio counts a connection after its handshake


async def test_https_to_a_port_that_speaks_http_is_a_tls_failure() -> None:
    async with Peer(in_turn(OK), greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n") as peer, http() as client:
        with pytest.raises(ConfigError) as caught:
            await client.get(f"https://127.0.0.1:{peer.port}/a")
    assert caught.value.code == "tls-failed"


# --- nothing secret is told ---------------------------------------------------------------------------------

CANARIES = ("canary-query", "canary-secret", "canary-token", "canary-body", "canary-header", "canary-user")


def told(error: BaseException) -> Iterator[str]:
    """Everything that a log or a debugger could print of an error and of all that is behind it."""
    yield "".join(traceback.format_exception(error))
    behind: BaseException | None = error
    while behind is not None:
        yield from (str(behind), repr(behind), repr(vars(behind)))
        behind = behind.__cause__ or behind.__context__


@pytest.mark.parametrize(
    "answer",
    [
        whole(200, {"name": "canary-body"}, set_cookie="a=canary-header"),
        whole(500, b"canary-body"),
        whole(401, {"name": "canary-body"}),
        whole(200, b"<html>canary-body", kind="text/html"),
        whole(302, location="https://x.example.org/?canary-query"),
        whole(200, b'{"name": "canary-body'),
        Cut(b"HTTP/1.1 200 OK\r\ncanary-header\r\n\r\n"),
        Cut(b"canary-body canary-body\r\n\r\n"),
        Cut(whole(200, b"canary-body")[:-1]),
        whole(200, b"canary-body", content_encoding="gzip"),
    ],
)
async def test_secrets_and_student_data_are_in_no_log_error_or_repr(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = token_server(lambda _: answer, access_token="canary-token")
    outputs: list[str] = []
    async with Peer(server) as peer:
        auth = ClientCredentials(f"{peer.url}/token", "client-1", "canary-secret")
        async with http(auth, attempts=2) as client:
            for token_url_too in (False, True):
                try:
                    if token_url_too:
                        client._auth = ClientCredentials(f"{peer.url}/x", "client-1", "canary-secret")
                        outputs.append(repr(await client.token()))
                    else:
                        params = {"filter": "canary-query"}
                        outputs.append(repr(await client.get(f"{peer.url}/a", params)))
                except PlanbridgeError as error:
                    outputs += told(error)
            outputs += [repr(auth), repr(StaticBearer("canary-token")), repr(Token("canary-token", 1.0))]
            outputs.append(repr(Token("canary-token", 1.0).__rich_repr__()))
    assert any("/a" in record.getMessage() for record in caplog.records)
    written = "\n".join(outputs) + caplog.text
    assert [canary for canary in CANARIES if canary in written] == []


async def test_a_url_with_a_password_is_refused_without_repeating_it() -> None:
    url = "https://canary-user:canary-secret@sis.example.org/a?canary-query"
    async with http() as client:
        with pytest.raises(ConfigError) as caught:
            await client.get(url)
    assert caught.value.code == "url-has-credentials" and "sis.example.org" in str(caught.value)
    assert not any(canary in text for text in told(caught.value) for canary in CANARIES)


def test_a_reply_shows_where_it_came_from_and_nothing_else() -> None:
    reply = Reply(200, {"x": "canary-header"}, b"canary-body", "https://sis.example.org/a?canary-query")
    assert repr(reply) == "<Reply 200 to GET sis.example.org/a>"
