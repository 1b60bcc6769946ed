"""What an answer means, or its absence: something for the caller, something that time may heal, or a wrong setting."""

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import uuid4

import httpx
import msgspec

from gateway.errors import AuthError, ConfigError, Unavailable
from gateway.http.urls import origin, place


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
            raise html_error(self)
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, RecursionError):
            pass
        raise Unavailable("http-not-json", f"{self.name} answered {self.status} with a body that is not JSON.")

    @property
    def is_html(self) -> bool:
        return "html" in self._media_type or _is_page(self.body)

    @property
    def is_broken_json(self) -> bool:
        """Whether it says that it is JSON and is not: cut off, by a proxy or a server that died writing."""
        if "json" not in self._media_type or self.is_html:
            return False
        try:
            # A byte order mark is for the reader to judge.
            msgspec.json.decode(self.body.removeprefix(b"\xef\xbb\xbf"), type=msgspec.Raw)
        except msgspec.DecodeError:
            return True
        except RecursionError:
            return False  # nested beyond reason, but not cut off
        return False

    @property
    def name(self) -> str:
        """How it may appear in logs and errors: method, host and path, never the query."""
        return f"{self.method} {place(httpx.URL(self.url))}"

    @property
    def _media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].lower()

    def __repr__(self) -> str:
        return f"<Reply {self.status} to {self.name}>"


@dataclass(frozen=True, slots=True, repr=False)
class Call:
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
        return f"{self.method} {place(self.url)}"

    @property
    def trace(self) -> str:
        return f"correlation-id {self.correlation_id}"


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that time may heal: a value, so that nothing of it is known to tracebacks but its text."""

    code: str
    message: str
    fix: str = ""
    retry_after: float | None = None
    may_have_acted: bool = True
    status: int | None = None

    def final(self, repeatable: bool) -> Unavailable:
        if repeatable or not self.may_have_acted:
            return Unavailable(self.code, self.message, self.fix, retry_after=self.retry_after, status=self.status)
        return Unavailable(
            "outcome-unknown",
            f"{self.message} Whether it was carried out is not known.",
            "Look at the receiving system before sending it again.",
            retry_after=self.retry_after,
            status=self.status,
        )


LARGEST = 256 * 1024**2
"""Bytes of an answer, unpacked. Ten thousand rows, the longest page that is asked for, have a tenth of it."""


UNREAD = 64 * 1024
"""Bytes, as they come, that are let by of an answer whose body nobody wants: then its connection serves again."""


async def read(response: httpx.Response, largest: int = LARGEST) -> bytes | None:
    """The body to its end; None where that is further off than `largest`: a few bytes may unpack to more than this
    computer has room for, and it works for other districts too. Of a body that nobody wants (0) nothing is kept."""
    if not largest:
        return await _let_by(response)
    parts: list[bytes] = []
    left = largest
    try:
        async for part in response.aiter_bytes():
            left -= len(part)
            if left < 0:
                return None
            parts.append(part)
    finally:
        await response.aclose()
    return b"".join(parts)


async def _let_by(response: httpx.Response) -> bytes:
    left = UNREAD
    try:
        async for part in response.aiter_raw():
            if (left := left - len(part)) < 0:
                break
    finally:
        await response.aclose()
    return b""


def headers_of(given: Mapping[str, str] | None, body: bytes | None = None) -> httpx.Headers:
    headers = httpx.Headers({"accept": "application/json"})
    if body is not None:
        headers["content-type"] = "application/json"
    headers.update(given)
    return headers


def judged(call: Call, response: httpx.Response, body: bytes | None) -> Reply | Failure | ConfigError:
    """What an answer is: something for the caller, something that time may heal, or a wrong address."""
    status = _meant(response.status_code, body)
    theirs = _their_trace(response.headers, body) if status >= 400 else ""
    answered = f"{call.name} answered {status} ({f'correlation-id {theirs}' if theirs else call.trace})."
    if status in (429, 500, 502, 503, 504):
        page = " It was a web page, so something in front of the system may have answered." if _is_page(body) else ""
        return Failure(
            "server-busy" if status in (429, 503) else "server-error",
            answered + page,
            _SLOWER if status == 429 else _WHO_RUNS_IT,
            retry_after=_retry_after(response.headers, body),
            may_have_acted=status != 429,
            status=status,
        )
    if status == 407:  # without a tunnel the proxy answers in the place of the system
        return _proxy_refused(answered)
    if 300 <= status < 400:
        return ConfigError(
            "unexpected-redirect",
            f"{answered[:-1]}, a redirect{_leading_to(response)}. Redirects are never followed.",
            "Configure the address that the system really has.",
        )
    if body is None:
        return ConfigError(
            "answer-too-large",
            f"{answered[:-1]} with more than is read of an answer.",
            "Ask for fewer rows at once, or ask the vendor what it sends.",
        )
    reply = Reply(status, response.headers, body, str(call.url), call.method, call.correlation_id)
    if call.reads and status == 200 and reply.is_broken_json:
        return Failure("truncated-json", f"{answered} Its JSON was cut off or damaged.")
    return reply


def _meant(status: int, body: bytes | None) -> int:
    """The status that fits what the answer says. # Canvas: until October 2025 a 403 where it is asked too often, and
    where a token may not do this a 401, as if it were unknown"""
    start = (body or b"")[:400]
    if status == 403 and _TOO_OFTEN in start:
        return 429
    return 403 if status == 401 and any(words in start for words in _NOT_ALLOWED) else status


_TOO_OFTEN = b"Rate Limit Exceeded"
_NOT_ALLOWED = (b"not authorized to perform that action", b"Insufficient scopes on access token")

_SLOWER = "It is asked too often: try again later, or lower how many requests are in flight."
_WHO_RUNS_IT = "Try again later; if it stays so, give this id to whoever runs it."


def _their_trace(headers: httpx.Headers, body: bytes | None) -> str:
    """The id under which the system itself noted what went wrong, where it says one."""
    try:
        told = msgspec.json.decode(body or b"", type=_Traced).correlationId
    except (msgspec.DecodeError, RecursionError):
        told = ""
    return next((id for id in (told, headers.get("correlation-id", "")) if _TRACE.fullmatch(id)), "")


class _Traced(msgspec.Struct):
    correlationId: str = ""


_TRACE = re.compile(r"[0-9A-Fa-f-]{8,64}")


def _is_page(body: bytes | None) -> bool:
    return (body or b"")[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _retry_after(headers: httpx.Headers, body: bytes | None) -> float | None:
    """Seconds, at most a day, from seconds or a date in GMT (RFC 9110 10.2.3); None if it is neither. A date is
    counted from the server's own Date, where it gives one: its clock may be minutes off."""
    value = headers.get("retry-after", "")
    if not value and _TOO_OFTEN in (body or b"")[:400]:
        return 1.0  # Canvas never says how long: in a second as much leaks from its bucket as a request costs
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


async def set_aside_location(response: httpx.Response) -> None:
    """Where a redirect leads, out of the sight of httpx: it is worked out there although it is not followed, and what
    is no address would be an error that says nothing."""
    if response.has_redirect_location:
        response.extensions["location"] = response.headers.pop("location")


def _leading_to(response: httpx.Response) -> str:
    try:
        return f" to {origin(response.request.url.join(response.extensions['location']))}"
    except (KeyError, httpx.InvalidURL, ValueError):
        return ""


BROKEN = (
    httpx.NetworkError,
    httpx.TimeoutException,
    httpx.ProxyError,
    httpx.RemoteProtocolError,
    httpx.DecodingError,
    OSError,  # with TimeoutError, and the TLS errors that httpcore lets through while reading
)


def diagnosed(call: Call, error: Exception, proxy: str) -> Failure | ConfigError:
    """What a request without an answer met, on its way through `proxy` if there is one."""
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
                "name its file in the setting ca_file.",
            )
    if isinstance(error, httpx.ProxyError):
        status = str(error)[:3]  # behind it stands the proxy's own text, which could say anything
        if not status.startswith("4"):
            return Failure(
                "unreachable",
                f"The proxy {proxy} cannot reach {host}:{port}: it answered {status if status.isdigit() else 'oddly'}.",
                f"Check the URL, and that the proxy and the firewall let requests out to {host}:{port}.",
                may_have_acted=False,
            )
        return _proxy_refused(f"The proxy {proxy} answered {status} when asked for {host}:{port}.")
    if proxy and isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Failure(
            "unreachable",
            f"The proxy {proxy} cannot be reached.",
            "Check the setting proxy, and that this machine may connect to it.",
            may_have_acted=False,
        )
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        unknown_name = any(isinstance(cause, socket.gaierror | UnicodeError) for cause in causes)
        return Failure(
            "unreachable",
            f"{host}:{port} cannot be reached{': no such name' if unknown_name else ''}.",
            f"Check the URL, and that the firewall lets this machine out to {host}:{port}.",
            may_have_acted=False,
        )
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return Failure("timed-out", f"{call.name} gave no whole answer in time ({call.trace}).")
    return Failure("connection-dropped", f"{call.name}: the connection broke before the answer ended ({call.trace}).")


def _proxy_refused(message: str) -> ConfigError:
    return ConfigError(
        "proxy-refused",
        message,
        "Check user name and password in the setting proxy, and ask its administrator whether it lets this through.",
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


_CLOCKS_AGREE = 60.0  # seconds; what the network and whole seconds in a Date explain


def unauthorized(call: Call, reply: Reply, *, signed: bool) -> AuthError:
    """It refuses a token that it has just given, or a signature; a clock that is wrong explains either."""
    date = _moment(reply.headers.get("date", ""))
    ahead = (date - datetime.now(UTC)).total_seconds() if date else 0.0
    if abs(ahead) > _CLOCKS_AGREE:
        differs = f"{abs(ahead) / 60:.0f} minutes {'ahead of' if ahead > 0 else 'behind'} ours"
        shown, why = (
            ("signed request", "by it the time of a signature is too far off")
            if signed
            else ("new token", "by it a token has ended before it is used")
        )
        return AuthError(
            "clock-differs",
            f"{call.name} answered 401 to a {shown}, and its clock is {differs} ({call.trace}).",
            f"Have the clock set that is wrong, there or here: {why}.",
        )
    return AuthError(
        "unauthorized",
        f"{call.name} answered 401: it does not accept our credentials ({call.trace}).",
        "Check that these credentials belong to this system and that their access is still on.",
    )


def summary(result: Reply | Failure | ConfigError) -> str:
    return str(result.status) if isinstance(result, Reply) else result.code


def html_error(reply: Reply) -> ConfigError:
    return ConfigError(
        "http-html-instead-of-json",
        f"{reply.name} answered {reply.status} with a web page instead of JSON "
        f"(correlation-id {reply.correlation_id}).",
        "The base URL probably points to a web page or a login page rather than to the API.",
    )
