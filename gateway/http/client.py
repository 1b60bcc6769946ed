"""How to talk HTTP to systems that are slow, busy, wrongly configured or hostile: tokens, retries, limits."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt
from tenacity.wait import wait_random_exponential

from gateway import __version__
from gateway.errors import ConfigError
from gateway.http.answers import (
    BROKEN,
    LARGEST,
    Call,
    Failure,
    Reply,
    diagnosed,
    headers_of,
    html_error,
    judged,
    read,
    set_aside_location,
    summary,
    unauthorized,
)
from gateway.http.auth import (
    Asking,
    Auth,
    ClientCredentials,
    OAuth1,
    Proof,
    RefreshToken,
    SignedAssertion,
    StaticBearer,
    Style,
    granted,
    store_key,
    token_call,
)
from gateway.http.cookies import Cookies, no_jar
from gateway.http.guard import ALL_PRIVATE, GuardedTransport, Network, proxy_place
from gateway.http.signing import signed
from gateway.http.tokens import Token, TokenStore, is_fresh
from gateway.http.urls import admitted

log = logging.getLogger("gateway.http")
# Both log whole URLs and headers below WARNING: queries name students, headers carry tokens.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)

T = TypeVar("T")


class Pace:
    """At most so many requests a second, evenly spaced, of all who share it; None is as many as there are."""

    def __init__(self, per_second: float | None) -> None:
        self._apart = 0.0 if per_second is None else 1.0 / per_second
        self._free_at = 0.0

    async def turn(self) -> None:
        now = time.monotonic()
        mine = max(now, self._free_at)
        self._free_at = mine + self._apart
        if mine > now:
            await asyncio.sleep(mine - now)


class Http:
    """One connection's way out: at most `in_flight` requests at once, with one shared token, each retried.

    One attempt takes at most `timeout` seconds; `attempts` counts the first. A server's Retry-After is
    honoured up to `longest_wait` seconds, by all requests: none begins before; a longer one ends the call at
    once. `pace` holds for every attempt, not for tokens: others wait for those, holding a lock.
    `network` says how requests leave, and which private addresses they may reach; `allow_private` opens them all, for
    those who have no list. An answer has at most `largest` bytes; 0: nobody wants their bodies, none is kept.
    `credentials_again` reads the credentials anew where a token or a signature is refused: if
    somebody has changed them meanwhile the request is repeated once. Cookies are kept for the origin that set them, as
    long as this lives. Every call raises ConfigError, AuthError or Unavailable, whose texts name method, host, path,
    status and correlation-id, never query, body or secret.
    """

    def __init__(
        self,
        auth: Auth | None,
        *,
        tokens: TokenStore,
        network: Network | None = None,
        allow_private: bool = False,
        credentials_again: Callable[[], Awaitable[Auth | None]] | None = None,
        in_flight: int = 16,
        pace: Pace | None = None,
        timeout: float = 60.0,
        attempts: int = 6,
        longest_wait: float = 60.0,
        largest: int = LARGEST,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._auth = auth
        self._tokens = tokens
        self._slots = asyncio.Semaphore(in_flight)
        self._pace = pace or Pace(None)
        self._timeout = timeout
        self._attempts = attempts
        self._longest_wait = longest_wait
        self._largest = largest
        self._backoff = wait_random_exponential(multiplier=0.1, max=longest_wait)
        self._rests_until = 0.0
        self._current: Token | None = None
        self._renewal: asyncio.Task[Token] | None = None
        self._credentials_again = credentials_again
        self._cookies = Cookies()
        network = network or Network(private=ALL_PRIVATE if allow_private else ())
        self._proxy = proxy_place(network)
        if isinstance(auth, Asking):
            self._key = store_key(auth)
            self._style: Style = auth.style if isinstance(auth, ClientCredentials) else "form"
            self._try_form = isinstance(auth, ClientCredentials) and auth.try_form and auth.style == "basic"
        self._client = httpx.AsyncClient(
            # One connection more than slots, for the token that all slots may be waiting for.
            transport=transport or GuardedTransport(network, connections=in_flight + 1),
            timeout=httpx.Timeout(None, connect=min(timeout, 10.0)),
            headers={"user-agent": f"planbridge/{__version__}"},
            cookies=no_jar(),
            event_hooks={"response": [set_aside_location]},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        await self._client.aclose()

    async def get(
        self,
        url: str,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """The answer to a GET; `params` are added to the query. What only the caller can judge (400, 403,
        404, 409, 412, 422 ...) is returned."""
        target = admitted(url)
        if params:
            target = target.copy_merge_params(params)
        return await self._exchange(Call("GET", target, headers_of(headers)))

    async def send(
        self,
        method: str,
        url: str,
        *,
        json: bytes | None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool,
    ) -> Reply:
        """The answer to a write. One that is not `repeatable` is repeated only where the server certainly
        did nothing; otherwise it ends in Unavailable `outcome-unknown`."""
        target = admitted(url)
        call = Call(method, target, headers_of(headers, json), json, repeatable=repeatable, reads=False)
        return await self._exchange(call)

    async def token(self) -> Token:
        """A token asked for now, whatever is stored: proof that the credentials work."""
        match self._auth:
            case ClientCredentials() | RefreshToken() | SignedAssertion() as auth:
                token = await self._persist(self._grant, auth)
                await self._tokens.put(self._key, token)
                self._current = token
                return token
            case StaticBearer(fixed):
                return Token(fixed, math.inf)
            case OAuth1() | None:
                raise ConfigError("no-credentials", "This connection has no credentials to get a token with.")

    async def _exchange(self, call: Call) -> Reply:
        # The slot is kept while waiting to repeat: a busy server gets fewer requests, not other ones.
        async with self._slots:
            proof = await self._proof()
            reply = await self._persist(self._attempt_in_turn, call, proof, repeatable=call.repeatable)
            if reply.status == 401 and (other := await self._other_proof(proof)) != proof:
                reply = await self._persist(self._attempt_in_turn, call, other, repeatable=call.repeatable)
        if reply.status == 401:
            raise unauthorized(call, reply, signed=isinstance(self._auth, OAuth1))
        if reply.status < 300 and "json" in call.headers["accept"] and reply.is_html:
            raise html_error(reply)
        return reply

    async def _persist(self, attempt: Callable[..., Awaitable[T | Failure]], *args: Any, repeatable: bool = True) -> T:
        """Repeat `attempt` while time may heal what it met; Unavailable when it did not."""

        def worth_repeating(outcome: T | Failure) -> bool:
            return (
                isinstance(outcome, Failure)
                and (repeatable or not outcome.may_have_acted)
                and (outcome.retry_after or 0.0) <= self._longest_wait
            )

        def pause(state: RetryCallState) -> float:
            return (_outcome(state).retry_after or 0.0) + self._backoff(state)

        retrying = AsyncRetrying(
            retry=retry_if_result(worth_repeating),
            wait=pause,
            stop=stop_after_attempt(self._attempts),
            retry_error_callback=_outcome,
        )
        outcome: T | Failure = await retrying(attempt, *args)
        if isinstance(outcome, Failure):
            raise outcome.final(repeatable)
        return outcome

    async def _attempt_in_turn(self, call: Call, proof: Proof | None) -> Reply | Failure:
        await self._rest()  # first, so that after it they come one by one again
        await self._pace.turn()
        return await self._attempt(call, proof)

    async def _rest(self) -> None:
        # Again, because another answer may have asked for a longer rest meanwhile.
        while (rest := self._rests_until - time.monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(rest)

    async def _attempt(self, call: Call, proof: Proof | None) -> Reply | Failure:
        headers = httpx.Headers({**call.headers, "correlation-id": call.correlation_id})
        request = self._client.build_request(call.method, call.url, headers=headers, content=call.body)
        await self._rest()
        self._cookies.add(request)
        match proof:
            case Token(token):
                request.headers["authorization"] = f"Bearer {token}"
            case OAuth1(key, secret, hash):
                request.headers["authorization"] = signed(key, secret, hash, request)
        began = time.monotonic()
        result: Reply | Failure | ConfigError
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._client.send(request, stream=True)
                body = await read(response, self._largest)
            self._cookies.keep(response)
            result = judged(call, response, body)
        except BROKEN as error:
            result = diagnosed(call, error, self._proxy)
        seconds = time.monotonic() - began
        log.debug("%s: %s after %.3f s (%s)", call.name, summary(result), seconds, call.trace)
        if isinstance(result, Failure) and (result.retry_after or 0.0) <= self._longest_wait:
            self._rests_until = max(self._rests_until, time.monotonic() + (result.retry_after or 0.0))
        # Raised out here, with no httpx exception behind it: those hold the request, and quote the answer.
        if isinstance(result, ConfigError):
            raise result
        return result

    async def _proof(self, refused: Proof | None = None) -> Proof | None:
        """What to show now. All who need a new token at once wait for one renewal and share its outcome."""
        match self._auth:
            case None:
                return None
            case OAuth1() as auth:
                return auth
            case StaticBearer(fixed):
                return Token(fixed, math.inf)
            case ClientCredentials() | RefreshToken() | SignedAssertion() as auth:
                if self._current is not None and self._current != refused and is_fresh(self._current):
                    return self._current
                if self._renewal is None or self._renewal.done():
                    self._renewal = asyncio.create_task(self._renew(auth, refused))
                # Shielded: a caller that gives up must not end it for the others.
                return await asyncio.shield(self._renewal)

    async def _other_proof(self, refused: Proof | None) -> Proof | None:
        """What to show instead; the same again where there is nothing else."""
        fixed = not isinstance(self._auth, Asking)
        if fixed and self._credentials_again is not None and await self._proof() == refused:
            found = await self._credentials_again()
            if type(found) is type(self._auth):
                self._auth = found
        return await self._proof(refused)

    async def _renew(self, auth: Asking, refused: Proof | None) -> Token:
        if isinstance(refused, Token):
            await self._tokens.forget(self._key, refused)
        self._current = await self._persist(self._stored_or_granted, auth)
        return self._current

    async def _stored_or_granted(self, auth: Asking) -> Token | Failure:
        # One attempt per turn in the lock: nobody sleeps in it, and who waited finds the other's token.
        async with self._tokens.renewing(self._key):
            stored = await self._tokens.get(self._key)
            if stored is not None and is_fresh(stored):
                return stored
            if stored is not None and stored.style == "form" and self._try_form:
                self._style, self._try_form = "form", False  # another worker has found that out
            granted = await self._grant(auth)
            if isinstance(granted, Token):
                await self._tokens.put(self._key, granted)
            return granted

    async def _grant(self, auth: Asking) -> Token | Failure:
        url = admitted(auth.token_url)
        asked_at = time.time()
        style = self._style
        reply = await self._attempt(token_call(auth, url, style), None)
        if self._try_form and isinstance(reply, Reply) and reply.status in (400, 401):
            style = "form"
            reply = await self._attempt(token_call(auth, url, style), None)
        if isinstance(reply, Failure):
            busy = reply.code == "server-busy" and not reply.may_have_acted
            return replace(reply, fix=_TOO_MANY) if busy else reply
        token = msgspec.structs.replace(granted(reply, auth, asked_at), style=style)
        self._style, self._try_form = style, False  # what worked is what this server wants
        return token


# RFC 6585 4, and Ed-Fi: 429 where a key has as many tokens as it may have, 15 by default.
_TOO_MANY = (
    "If it stays so, look what else uses this client id: some servers give only so many tokens until others end."
)


def _outcome(state: RetryCallState) -> Any:
    assert state.outcome is not None
    return state.outcome.result()
