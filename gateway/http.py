"""How to talk HTTP to systems that are slow, busy, wrongly configured or hostile: tokens, retries, limits."""

import asyncio
import base64
import hmac
import ipaddress
import logging
import math
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar
from urllib.parse import urlencode
from uuid import uuid4

import httpcore
import httpx
import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt
from tenacity.wait import wait_random_exponential

from gateway import __version__
from gateway.errors import AuthError, ConfigError, Unavailable

log = logging.getLogger(__name__)
# Both log whole URLs and headers below WARNING: queries name students, headers carry tokens.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)

Style = Literal["basic", "form"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """An answer, read to its end. `headers` ignores case; `url` is what was asked, query included."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    method: str = "GET"
    correlation_id: str = ""

    def json(self) -> Any:
        """The body as plain Python values. ConfigError if it is a web page, Unavailable if unreadable."""
        if self.is_html:
            raise _html_error(self)
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, RecursionError):
            pass
        raise Unavailable("http-not-json", f"{self.name} answered {self.status} with a body that is not JSON.")

    @property
    def is_html(self) -> bool:
        return "html" in self._media_type or self.body[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")

    @property
    def is_broken_json(self) -> bool:
        """Whether it says that it is JSON and is not: cut off, by a proxy or a server that died writing."""
        if "json" not in self._media_type or self.is_html:
            return False
        try:
            msgspec.json.decode(self.body, type=msgspec.Raw)
        except msgspec.DecodeError:
            return True
        except RecursionError:
            return False  # nested beyond reason, but not cut off
        return False

    @property
    def name(self) -> str:
        """How it may appear in logs and errors: method, host and path, never the query."""
        return f"{self.method} {_place(httpx.URL(self.url))}"

    @property
    def _media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].lower()

    def __repr__(self) -> str:
        return f"<Reply {self.status} to {self.name}>"


class Token(msgspec.Struct, frozen=True):
    """A bearer token. `expires_at`, epoch seconds, is when we stop using it: at 90 % of its stated life."""

    access_token: str
    expires_at: float
    scope: str = ""

    def __repr__(self) -> str:
        return f"<Token until {self.expires_at:.0f}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec has one of its own, which shows all
        return [("expires_at", self.expires_at)]


class TokenStore(Protocol):
    """Where the workers that use the same credentials share one token."""

    async def get(self, key: str) -> Token | None: ...

    async def put(self, key: str, token: Token) -> None: ...

    async def forget(self, key: str, token: Token) -> None:
        """Remove this token, unless another took its place meanwhile."""

    def renewing(self, key: str) -> AbstractAsyncContextManager[None]:
        """Entered by one at a time over all workers."""


class MemoryTokens:
    """A TokenStore for one process."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, key: str) -> Token | None:
        return self._tokens.get(key)

    async def put(self, key: str, token: Token) -> None:
        self._tokens[key] = token

    async def forget(self, key: str, token: Token) -> None:
        if self._tokens.get(key) == token:
            del self._tokens[key]

    @asynccontextmanager
    async def renewing(self, key: str) -> AsyncIterator[None]:
        async with self._locks.setdefault(key, asyncio.Lock()):
            yield


@dataclass(frozen=True)
class ClientCredentials:
    """OAuth 2 client credentials. `try_form`: where Basic is refused, try the form (Ed-Fi's CMS wants it)."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None
    style: Style = "basic"
    try_form: bool = False


@dataclass(frozen=True)
class StaticBearer:
    """A token that a vendor hands out once and never renews."""

    token: str = field(repr=False)

    def __post_init__(self) -> None:
        if not _is_header_safe(self.token):
            raise ConfigError(
                "token-malformed",
                "The access token has characters that no token has.",
                "Paste it again, without spaces or line ends.",
            )


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
    `allow_private` opens private and loopback addresses (an SIS in the district's own network), and plain http
    to loopback. Every call raises ConfigError, AuthError or Unavailable, whose texts name method, host, path,
    status and correlation-id, never query, body or secret.
    """

    def __init__(
        self,
        auth: ClientCredentials | StaticBearer | None,
        *,
        tokens: TokenStore,
        allow_private: bool = False,
        in_flight: int = 16,
        pace: Pace | None = None,
        timeout: float = 60.0,
        attempts: int = 6,
        longest_wait: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._auth = auth
        self._tokens = tokens
        self._slots = asyncio.Semaphore(in_flight)
        self._pace = pace or Pace(None)
        self._timeout = timeout
        self._attempts = attempts
        self._longest_wait = longest_wait
        self._backoff = wait_random_exponential(multiplier=0.1, max=longest_wait)
        self._rests_until = 0.0
        self._current: Token | None = None
        self._renewal: asyncio.Task[Token] | None = None
        if isinstance(auth, ClientCredentials):
            self._key = _store_key(auth)
            self._style = auth.style
            self._try_form = auth.try_form and auth.style == "basic"
        self._client = httpx.AsyncClient(
            # One connection more than slots, for the token that all slots may be waiting for.
            transport=transport or _GuardedTransport(allow_private, connections=in_flight + 1),
            timeout=httpx.Timeout(None, connect=min(timeout, 10.0)),
            headers={"user-agent": f"planbridge/{__version__}"},
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
        target = _admitted(url)
        if params:
            target = target.copy_merge_params(params)
        return await self._exchange(_Call("GET", target, _headers(headers)))

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
        target = _admitted(url)
        call = _Call(method, target, _headers(headers, json), json, repeatable=repeatable, reads=False)
        return await self._exchange(call)

    async def token(self) -> Token:
        """A token asked for now, whatever is stored: proof that the credentials work."""
        match self._auth:
            case ClientCredentials() as auth:
                token = await self._persist(self._grant, auth)
                await self._tokens.put(self._key, token)
                self._current = token
                return token
            case StaticBearer(fixed):
                return Token(fixed, math.inf)
            case None:
                raise ConfigError("no-credentials", "This connection has no credentials to get a token with.")

    async def _exchange(self, call: "_Call") -> Reply:
        # The slot is kept while waiting to repeat: a busy server gets fewer requests, not other ones.
        async with self._slots:
            token = await self._usable_token()
            reply = await self._persist(self._attempt_in_turn, call, token, repeatable=call.repeatable)
            if reply.status == 401 and isinstance(self._auth, ClientCredentials):
                token = await self._usable_token(refused=token)
                reply = await self._persist(self._attempt_in_turn, call, token, repeatable=call.repeatable)
        if reply.status == 401:
            raise _unauthorized(call, reply)
        if reply.status < 300 and "json" in call.headers["accept"] and reply.is_html:
            raise _html_error(reply)
        return reply

    async def _persist(
        self, attempt: "Callable[..., Awaitable[T | _Failure]]", *args: Any, repeatable: bool = True
    ) -> T:
        """Repeat `attempt` while time may heal what it met; Unavailable when it did not."""

        def worth_repeating(outcome: T | _Failure) -> bool:
            return (
                isinstance(outcome, _Failure)
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
        outcome: T | _Failure = await retrying(attempt, *args)
        if isinstance(outcome, _Failure):
            raise outcome.final(repeatable)
        return outcome

    async def _attempt_in_turn(self, call: "_Call", token: Token | None) -> "Reply | _Failure":
        await self._rest()  # first, so that after it they come one by one again
        await self._pace.turn()
        return await self._attempt(call, token)

    async def _rest(self) -> None:
        # Again, because another answer may have asked for a longer rest meanwhile.
        while (rest := self._rests_until - time.monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(rest)

    async def _attempt(self, call: "_Call", token: Token | None) -> "Reply | _Failure":
        headers = httpx.Headers({**call.headers, "correlation-id": call.correlation_id})
        if token is not None:
            headers["authorization"] = f"Bearer {token.access_token}"
        request = self._client.build_request(call.method, call.url, headers=headers, content=call.body)
        await self._rest()
        began = time.monotonic()
        result: Reply | _Failure | ConfigError
        try:
            async with asyncio.timeout(self._timeout):
                result = _judged(call, await self._client.send(request))
        except _BROKEN as error:
            result = _diagnosed(call, error)
        seconds = time.monotonic() - began
        log.debug("%s: %s after %.3f s (%s)", call.name, _summary(result), seconds, call.trace)
        if isinstance(result, _Failure) and (result.retry_after or 0.0) <= self._longest_wait:
            self._rests_until = max(self._rests_until, time.monotonic() + (result.retry_after or 0.0))
        # Raised out here, with no httpx exception behind it: those hold the request, and quote the answer.
        if isinstance(result, ConfigError):
            raise result
        return result

    async def _usable_token(self, refused: Token | None = None) -> Token | None:
        """The token to use now. All who need a new one at once wait for one renewal and share its outcome."""
        match self._auth:
            case None:
                return None
            case StaticBearer(fixed):
                return Token(fixed, math.inf)
            case ClientCredentials() as auth:
                if self._current is not None and self._current != refused and _is_fresh(self._current):
                    return self._current
                if self._renewal is None or self._renewal.done():
                    self._renewal = asyncio.create_task(self._renew(auth, refused))
                # Shielded: a caller that gives up must not end it for the others.
                return await asyncio.shield(self._renewal)

    async def _renew(self, auth: ClientCredentials, refused: Token | None) -> Token:
        if refused is not None:
            await self._tokens.forget(self._key, refused)
        self._current = await self._persist(self._stored_or_granted, auth)
        return self._current

    async def _stored_or_granted(self, auth: ClientCredentials) -> "Token | _Failure":
        # One attempt per turn in the lock: nobody sleeps in it, and who waited finds the other's token.
        async with self._tokens.renewing(self._key):
            stored = await self._tokens.get(self._key)
            if stored is not None and _is_fresh(stored):
                return stored
            granted = await self._grant(auth)
            if isinstance(granted, Token):
                await self._tokens.put(self._key, granted)
            return granted

    async def _grant(self, auth: ClientCredentials) -> "Token | _Failure":
        url = _admitted(auth.token_url)
        asked_at = time.time()
        style = self._style
        reply = await self._attempt(_token_call(auth, url, style), None)
        if self._try_form and isinstance(reply, Reply) and reply.status in (400, 401):
            style = "form"
            reply = await self._attempt(_token_call(auth, url, style), None)
        if isinstance(reply, _Failure):
            return reply
        token = _granted(reply, auth, asked_at)
        self._style, self._try_form = style, False  # what worked is what this server wants
        return token


def same_origin(base: str, url: str) -> str:
    """`url`, as a server gave it (absolute, or relative to `base`), in full. ConfigError `left-origin` if
    scheme, host or port differ from those of `base`: the token would go to a stranger."""
    home = _parsed(base)
    try:
        target = _parsed(str(home.join(url)))
    except (ConfigError, httpx.InvalidURL, ValueError):
        target = None
    if target is None or _origin(target) != _origin(home):
        elsewhere = "no usable address" if target is None else _origin(target)
        raise ConfigError(
            "left-origin",
            f"{_origin(home)} gave a link that leads to {elsewhere}.",
            "If the data really lies there, configure that address as the base URL.",
        )
    return str(target)


def checked_origin(url: str) -> str:
    """Scheme, host and port of an address that may be asked: all of it that may be shown where the rest is a key.
    ConfigError where it may not be asked, as by every call."""
    return _origin(_admitted(url))


@dataclass(frozen=True, slots=True, repr=False)
class _Call:
    """A caller's request, however often it is tried. `reads`: its answer's body must be whole."""

    method: str
    url: httpx.URL
    headers: Mapping[str, str]
    body: bytes | None = None
    repeatable: bool = True
    reads: bool = True
    correlation_id: str = field(default_factory=lambda: str(uuid4()))

    @property
    def name(self) -> str:
        return f"{self.method} {_place(self.url)}"

    @property
    def trace(self) -> str:
        return f"correlation-id {self.correlation_id}"


@dataclass(frozen=True, slots=True)
class _Failure:
    """An attempt that time may heal: a value, so that nothing of it is known to tracebacks but its text."""

    code: str
    message: str
    fix: str = ""
    retry_after: float | None = None
    may_have_acted: bool = True

    def final(self, repeatable: bool) -> Unavailable:
        if repeatable or not self.may_have_acted:
            return Unavailable(self.code, self.message, self.fix, retry_after=self.retry_after)
        return Unavailable(
            "outcome-unknown",
            f"{self.message} Whether it was carried out is not known.",
            "Look at the receiving system before sending it again.",
            retry_after=self.retry_after,
        )


_BROKEN = (
    httpx.NetworkError,
    httpx.TimeoutException,
    httpx.RemoteProtocolError,
    httpx.DecodingError,
    OSError,  # with TimeoutError, and the TLS errors that httpcore lets through while reading
)


_CLOCKS_AGREE = 60.0  # seconds; what the network and whole seconds in a Date explain


def _unauthorized(call: _Call, reply: Reply) -> AuthError:
    """It refuses a token that it has just given; a clock that is wrong explains why."""
    date = _moment(reply.headers.get("date", ""))
    ahead = (date - datetime.now(UTC)).total_seconds() if date else 0.0
    if abs(ahead) > _CLOCKS_AGREE:
        differs = f"{abs(ahead) / 60:.0f} minutes {'ahead of' if ahead > 0 else 'behind'} ours"
        return AuthError(
            "clock-differs",
            f"{call.name} answered 401 to a new token, and its clock is {differs} ({call.trace}).",
            "Have the clock set that is wrong, there or here: by it a token has ended before it is used.",
        )
    return AuthError(
        "unauthorized",
        f"{call.name} answered 401: it does not accept our credentials ({call.trace}).",
        "Check that these credentials belong to this system and that their access is still on.",
    )


def _outcome(state: RetryCallState) -> Any:
    assert state.outcome is not None
    return state.outcome.result()


def _headers(given: Mapping[str, str] | None, body: bytes | None = None) -> httpx.Headers:
    headers = httpx.Headers({"accept": "application/json"})
    if body is not None:
        headers["content-type"] = "application/json"
    headers.update(given)
    return headers


def _judged(call: _Call, response: httpx.Response) -> Reply | _Failure | ConfigError:
    """What an answer is: something for the caller, something that time may heal, or a wrong address."""
    status = response.status_code
    answered = f"{call.name} answered {status} ({call.trace})."
    if status in (429, 500, 502, 503, 504):
        return _Failure(
            "server-busy" if status in (429, 503) else "server-error",
            answered,
            retry_after=_retry_after(response.headers),
            may_have_acted=status != 429,
        )
    if 300 <= status < 400:
        return ConfigError(
            "unexpected-redirect",
            f"{answered[:-1]}, a redirect{_leading_to(response)}. Redirects are never followed.",
            "Configure the address that the system really has.",
        )
    reply = Reply(status, response.headers, response.content, str(call.url), call.method, call.correlation_id)
    if call.reads and status == 200 and reply.is_broken_json:
        return _Failure("truncated-json", f"{answered} Its JSON was cut off or damaged.")
    return reply


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds, at most a day, from seconds or a date in GMT (RFC 9110 10.2.3); None if it is neither. A date is
    counted from the server's own Date, where it gives one: its clock may be minutes off."""
    value = headers.get("retry-after", "")
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        seconds = float(value)
    elif (then := _moment(value)) is None:
        return None
    else:
        seconds = (then - (_moment(headers.get("date", "")) or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 0.0), 86_400.0)


def _moment(value: str) -> datetime | None:
    try:
        return parsedate_to_datetime(value).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _leading_to(response: httpx.Response) -> str:
    try:
        return f" to {_origin(response.request.url.join(response.headers['location']))}"
    except (KeyError, httpx.InvalidURL, ValueError):
        return ""


def _diagnosed(call: _Call, error: Exception) -> _Failure | ConfigError:
    """What a request without an answer met."""
    causes = tuple(_causes(error))
    host = call.url.host
    port = call.url.port or (443 if call.url.scheme == "https" else 80)
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "verify_message", "") or cause.reason or "the handshake failed"
            return ConfigError(
                "tls-failed",
                f"No secure connection to {host}:{port}: {reason}.",
                "Check the address; if the certificate comes from the district's own authority, "
                "name its file in SSL_CERT_FILE.",
            )
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        unknown_name = any(isinstance(cause, socket.gaierror | UnicodeError) for cause in causes)
        return _Failure(
            "unreachable",
            f"{host}:{port} cannot be reached{': no such name' if unknown_name else ''}.",
            f"Check the URL, and that the firewall lets this machine out to {host}:{port}.",
            may_have_acted=False,
        )
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return _Failure("timed-out", f"{call.name} gave no whole answer in time ({call.trace}).")
    return _Failure("connection-dropped", f"{call.name}: the connection broke before the answer ended ({call.trace}).")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _summary(result: Reply | _Failure | ConfigError) -> str:
    return str(result.status) if isinstance(result, Reply) else result.code


def _html_error(reply: Reply) -> ConfigError:
    return ConfigError(
        "http-html-instead-of-json",
        f"{reply.name} answered {reply.status} with a web page instead of JSON "
        f"(correlation-id {reply.correlation_id}).",
        "The base URL probably points to a web page or a login page rather than to the API.",
    )


def _store_key(auth: ClientCredentials) -> str:
    """Keyed by the secret: who knows only the client id of others must not be served their token."""
    text = "\n".join((auth.token_url, auth.client_id, auth.scope or ""))
    return hmac.new(auth.client_secret.encode(), text.encode(), "sha256").hexdigest()[:32]


def _token_call(auth: ClientCredentials, url: httpx.URL, style: Style) -> _Call:
    # RFC 6749 4.4.2; both styles at once are refused by Ed-Fi.
    form = {"grant_type": "client_credentials"} | ({"scope": auth.scope} if auth.scope else {})
    headers = {"content-type": "application/x-www-form-urlencoded"}
    if style == "basic":
        # Unquoted, although RFC 6749 2.3.1 asks for quoting: Ed-Fi compares as is, as most do.
        pair = f"{auth.client_id}:{auth.client_secret}"
        headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        form |= {"client_id": auth.client_id, "client_secret": auth.client_secret}
    return _Call("POST", url, _headers(headers), urlencode(form).encode())


class _Grant(msgspec.Struct):
    access_token: str
    expires_in: float | None = None
    scope: str | None = None


# RFC 6749 5.2
_REFUSALS = ("invalid_client", "invalid_grant", "invalid_request", "invalid_scope", "unauthorized_client")
_UNSTATED_LIFE = 600.0  # seconds; a token that dies earlier is renewed at its first 401


def _granted(reply: Reply, auth: ClientCredentials, asked_at: float) -> Token:
    """The token in a token endpoint's answer, or the error that the answer amounts to."""
    answered = f"{reply.name} answered {reply.status}"
    trace = f"(correlation-id {reply.correlation_id})"
    if reply.status in (401, 403) or (reply.status == 400 and not reply.is_html):
        said = next((f" {code}" for code in _REFUSALS if code.encode() in reply.body), "")
        raise AuthError(
            "token-refused",
            f"{answered}{said} to the client id and secret {trace}.",
            "Check client id, client secret and scope with whoever issued them.",
        )
    grant = None
    if reply.status == 200:
        with suppress(msgspec.MsgspecError):
            # Not strict: some write expires_in as a string.
            grant = msgspec.json.decode(reply.body, type=_Grant, strict=False)
    if grant is None or not _is_header_safe(grant.access_token):
        raise ConfigError(
            "token-url-wrong",
            f"{answered}, and gave no token {trace}.",
            "Check the token URL of this system.",
        )
    life = grant.expires_in if grant.expires_in and grant.expires_in > 0 else _UNSTATED_LIFE
    return Token(grant.access_token, asked_at + 0.9 * life, grant.scope or auth.scope or "")


def _is_fresh(token: Token) -> bool:
    return token.expires_at > time.time()


def _is_header_safe(token: str) -> bool:
    return re.fullmatch(r"[\x21-\x7e]+", token) is not None


def _admitted(url: str) -> httpx.URL:
    # The parsed form is what httpx then asks, so both read a trick the same way. Whether loopback and private
    # addresses are allowed is decided where the connection is opened.
    parsed = _parsed(url)
    if parsed.scheme == "http" and not _is_loopback(parsed.host):
        raise ConfigError(
            "url-not-https",
            f"{_origin(parsed)} is not an https address.",
            "Give the address that begins with https.",
        )
    return parsed


def _parsed(url: str) -> httpx.URL:
    """`url` as httpx reads it. ConfigError if nobody could ask it; it may hold secrets and is not quoted."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        parsed = httpx.URL()
    port = 443 if parsed.port is None else parsed.port
    if parsed.scheme not in ("https", "http") or not parsed.host or not 0 < port < 65_536:
        raise ConfigError("url-invalid", "This is not a web address.", "Give one like https://sis.example.org/api.")
    if parsed.userinfo:
        raise ConfigError(
            "url-has-credentials",
            f"The address at {_origin(parsed)} has a user name or password in it.",
            "Take it out of the URL and configure it as a secret.",
        )
    return parsed


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _place(url: httpx.URL) -> str:
    return (url.netloc + url.raw_path.partition(b"?")[0]).decode("ascii")


class _GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over a pool whose connections are opened by the guard."""

    def __init__(self, allow_private: bool, connections: int) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=5.0,
            network_backend=_PinningBackend(allow_private),
        )


class _PinningBackend(httpcore.AsyncNetworkBackend):
    """Resolves a name once, checks every address it stands for, and connects to one of exactly those.

    It stands below httpx, so that it judges what is connected to and not how a URL spells it, and no second
    look-up can give another answer. TLS is begun above it and still asks for the certificate of the name.
    """

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore's signature)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            addresses = await permitted_addresses(host, port, self._allow_private, timeout)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("name look-up") from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("name look-up") from error
        share = timeout / len(addresses) if timeout is not None else None
        for address in addresses[:-1]:
            try:
                return await self._sockets.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._sockets.connect_tcp(addresses[-1], port, share, local_address, socket_options)


async def permitted_addresses(host: str, port: int, allow_private: bool, seconds: float | None = None) -> list[str]:
    """The addresses that a name stands for, looked up once; ConfigError unless all of them may be connected to.

    OSError, UnicodeError and TimeoutError where it cannot be looked up.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds):
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not all(_is_permitted(address, allow_private) for address in addresses):
        raise ConfigError(
            "address-refused",
            f"{host}:{port} stands for an address that is not on the public internet.",
            "If the system is in the district's own network, allow private addresses here.",
        )
    return addresses


_V6_GLOBAL = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Cloud metadata services that no range below covers: Azure, Oracle, Alibaba, AWS over IPv6.
_METADATA = frozenset(map(ipaddress.ip_address, ("168.63.129.16", "192.0.0.192", "100.100.100.200", "fd00:ec2::254")))


def _is_permitted(text: str, allow_private: bool) -> bool:
    address = _embedded(ipaddress.ip_address(text))
    if address.is_link_local or address.is_multicast or address.is_unspecified or address in _METADATA:
        return False  # no SIS lives there, in nobody's network
    if allow_private:
        return True
    return address.is_global and (address.version == 4 or address in _V6_GLOBAL)


def _embedded(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 one is only another spelling of, where it is."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
