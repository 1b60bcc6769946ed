"""Which network addresses may be connected to, decided where the connection is opened."""

import asyncio
import ipaddress
import re
import select
import socket
import ssl
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any
from urllib.parse import unquote

import httpcore
import httpx

from gateway.errors import ConfigError
from gateway.http.urls import origin

if find_spec("sniffio") is None:
    # httpcore looks for it eight times a request, through every folder where a module may lie, and goes on without it.
    sys.modules["sniffio"] = None  # type: ignore[assignment]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class PrivateAddress:
    """A place off the public internet that may be reached all the same: a host name, an address or a network."""

    place: str
    reason: str

    @classmethod
    def read(cls, text: str) -> "PrivateAddress":
        """From `place: reason`. ValueError says what is wrong with it."""
        place, *rest = map(str.strip, re.split(r":(?=\s|$)", text, maxsplit=1))
        if not any(rest):
            raise ValueError("write an address, a network or a host name, then a colon, a space and the reason")
        if _is_too_wide(place):
            raise ValueError("a network is at least as narrow as 10.0.0.0/8 or fc00::/7")
        if any(_is_never(network.network_address) for network in _networks(place)):
            raise ValueError("link-local addresses and those of cloud metadata are never reached")
        if not _networks(place) and not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?\.?", place):
            raise ValueError("before the colon stands no address, no network and no host name")
        return cls(place, *rest)

    def covers(self, host: str, address: Address) -> bool:
        networks = _networks(self.place)
        if networks:
            return any(address in network for network in networks)
        return _name(self.place) == _name(host)


ALL_PRIVATE = (PrivateAddress("0.0.0.0/0", "not asked for"), PrivateAddress("::/0", "not asked for"))
"""Every address off the public internet but those where no system lives."""


@dataclass(frozen=True)
class Network:
    """How requests leave: through a proxy (its URL may hold a user name and a password), trusting the authorities in
    `ca_file` beside the usual ones, to private addresses only where the list says so."""

    proxy: str | None = field(default=None, repr=False)
    ca_file: str = ""
    private: Sequence[PrivateAddress] = ()


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over a pool whose connections are opened by the guard."""

    def __init__(self, network: Network, connections: int) -> None:
        self._guard = _Guard(network.private)
        self._proxied = network.proxy is not None
        self._looked_at: dict[tuple[str, int], float] = {}
        if network.proxy is None:
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=_trusting(network.ca_file),
                max_connections=connections,
                max_keepalive_connections=connections,
                keepalive_expiry=5.0,
                network_backend=_PinningBackend(self._guard),
            )
        else:
            url = _proxy(network.proxy)
            secure = url.scheme == "https"
            self._pool = httpcore.AsyncHTTPProxy(
                proxy_url=origin(url),
                proxy_auth=(unquote(url.username).encode(), unquote(url.password).encode()) if url.userinfo else None,
                ssl_context=_trusting(network.ca_file),
                proxy_ssl_context=_trusting(network.ca_file) if secure else None,
                max_connections=connections,
                max_keepalive_connections=connections,
                keepalive_expiry=5.0,
                # Where the proxy stands is the district's choice: nobody else can name it.
                network_backend=_PinningBackend(_Guard(ALL_PRIVATE)),
            )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._proxied:
            await self._look_at(request.url)
        return await super().handle_async_request(request)

    async def _look_at(self, url: httpx.URL) -> None:
        """Judge a name before a proxy is asked for it. What the proxy then takes it for cannot be seen from here."""
        place = (url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80))
        if self._looked_at.get(place, 0.0) > time.monotonic():
            return
        with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):  # often only the proxy knows the names outside
            await self._guard.addresses(*place, seconds=5.0)
        self._looked_at[place] = time.monotonic() + _SEEN


_SEEN = 30.0  # seconds; a look-up for each of a million requests would cost more than it shows


def proxy_place(network: Network) -> str:
    """Host and port of the proxy, for messages; empty where there is none."""
    return origin(_proxy(network.proxy)).partition("://")[2] if network.proxy is not None else ""


def _proxy(text: str) -> httpx.URL:
    """ConfigError if it is no proxy's address; it may hold a password and is not quoted."""
    try:
        url = httpx.URL(text)
        if url.scheme in ("http", "https") and url.host and url.raw_path in (b"/", b"") and not url.fragment:
            return url
    except (httpx.InvalidURL, ValueError):
        pass
    raise ConfigError(
        "proxy-invalid",
        "The setting proxy is not the address of a proxy.",
        "Give one like http://proxy.example.org:3128, with user:password@ before the host where it asks for them.",
    )


def _trusting(ca_file: str) -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            why = "no certificate is in it" if isinstance(error, ssl.SSLError) else getattr(error, "strerror", "")
            raise ConfigError(
                "ca-file-unreadable",
                f"The certificates in {ca_file} cannot be read: {why or 'it is no file name'}.",
                "Give the full path of a file in PEM form that every machine with a worker can read.",
            ) from None
    return context


class _PinningBackend(httpcore.AsyncNetworkBackend):
    """Resolves a name once, checks every address it stands for, and connects to one of exactly those.

    It stands below httpx, so that it judges what is connected to and not how a URL spells it, and no second
    look-up can give another answer. TLS is begun above it and still asks for the certificate of the name.
    """

    def __init__(self, guard: "_Guard") -> None:
        self._guard = guard
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore's signature)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._guard.addresses(host, port, timeout)
        share = timeout / len(addresses) if timeout is not None else None
        for address in addresses[:-1]:
            try:
                return _Stream(await self._sockets.connect_tcp(address, port, share, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return _Stream(await self._sockets.connect_tcp(addresses[-1], port, share, local_address, socket_options))


class _Stream(httpcore.AsyncNetworkStream):
    """A stream that says at once whether something came: before and after each request the pool asks all of them, and
    to find the socket anew each time was a third of what a request cost."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, opened: socket.socket | None = None) -> None:
        self._stream = stream
        self._socket: socket.socket = opened or stream.get_extra_info("socket")
        self._heard = None if sys.platform == "win32" else select.poll()
        if self._heard is not None:
            self._heard.register(self._socket, select.POLLIN)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore's signature)
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._socket)

    def get_extra_info(self, info: str) -> Any:
        if info != "is_readable" or self._heard is None:
            return self._stream.get_extra_info(info)
        return self._socket.fileno() < 0 or bool(self._heard.poll(0))  # what is closed is no more fit for use


class _Guard:
    """What a name stands for, if all of it may be reached."""

    def __init__(self, private: Sequence[PrivateAddress]) -> None:
        self._private = private

    async def addresses(self, host: str, port: int, seconds: float | None) -> list[str]:
        """ConfigError `address-refused` if one of them may not."""
        found = _FIXED.get(_name(host).rpartition(".")[2]) or _FIXED.get(_name(host))
        found = found or await _resolved(host, port, seconds)
        if not all(is_permitted(host, address, self._private) for address in found):
            raise ConfigError(
                "address-refused",
                f"{host}:{port} stands for an address that is not on the public internet.",
                "If the system is in the district's own network, name it in private_addresses, with the reason.",
            )
        return found


async def permitted_addresses(host: str, port: int, private: Sequence[PrivateAddress], seconds: float) -> list[str]:
    """What a name stands for, looked up once, for who speaks another protocol than HTTP. ConfigError if one of them may
    not be reached, OSError if it cannot be looked up."""
    try:
        return await _Guard(private).addresses(host, port, seconds)
    except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
        raise OSError("name look-up") from error


_FIXED = {
    "localhost": ["127.0.0.1", "::1"],
    "localhost.localdomain": ["127.0.0.1", "::1"],
    "ip6-localhost": ["::1"],
    "ip6-loopback": ["::1"],
    "metadata.google.internal": ["169.254.169.254"],
    "metadata.goog": ["169.254.169.254"],
    "instance-data.ec2.internal": ["169.254.169.254"],
}
"""Names that mean one thing whoever is asked for them, so also where only a proxy is. # RFC 6761 6.3 for localhost"""


async def _resolved(host: str, port: int, seconds: float | None) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise httpcore.ConnectTimeout("name look-up") from error
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError("name look-up") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_permitted(host: str, text: str, private: Sequence[PrivateAddress]) -> bool:
    """Whether `text`, an address that `host` stands for, may be connected to."""
    spelt = ipaddress.ip_address(text)
    address = _embedded(spelt)
    if any(map(_is_never, (address, *_carried(spelt)))):
        return False
    if address.is_global and (address.version == 4 or address in _V6_GLOBAL):
        return True
    return any(one.covers(host, address) for one in private)


_V6_GLOBAL = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# NAT64 of one's own network (RFC 8215), and what IPv6 once called compatible: no public address begins so.
_ENDS_IN_V4 = tuple(map(ipaddress.ip_network, ("64:ff9b:1::/48", "::/96")))
# Where no system lives, in nobody's network, beside what ipaddress knows as link-local, multicast, unspecified.
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
# Cloud metadata services that are not link-local: Azure, Oracle, Alibaba; AWS and Google over IPv6.
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("168.63.129.16", "192.0.0.192", "100.100.100.200", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
    )
)


def _is_never(address: Address) -> bool:
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address in _METADATA
        or address in _THIS_NETWORK
    )


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one is only another spelling of, where it is."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _carried(address: Address) -> tuple[Address, ...]:
    """IPv4 addresses that a private IPv6 one leads to: a list that opens it does not open those of metadata."""
    if isinstance(address, ipaddress.IPv4Address) or int(address) <= 1:  # :: and ::1 carry none
        return ()
    if any(address in network for network in _ENDS_IN_V4):
        return (ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF),)
    return address.teredo or ()


def _networks(place: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The network that an entry names, if it is not a host's name."""
    try:
        return [ipaddress.ip_network(place.strip("[]"), strict=False)]
    except ValueError:
        return []


def _is_too_wide(place: str) -> bool:
    return any(network.prefixlen < (8 if network.version == 4 else 7) for network in _networks(place))


def _name(host: str) -> str:
    return host.rstrip(".").lower()
