"""Which network addresses may be connected to, decided where the connection is opened."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable

import httpcore
import httpx

from gateway.errors import ConfigError


class GuardedTransport(httpx.AsyncHTTPTransport):
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
        addresses = await _resolved(host, port, timeout)
        if not all(_is_permitted(address, self._allow_private) for address in addresses):
            raise ConfigError(
                "address-refused",
                f"{host}:{port} stands for an address that is not on the public internet.",
                "If the system is in the district's own network, allow private addresses here.",
            )
        share = timeout / len(addresses) if timeout is not None else None
        for address in addresses[:-1]:
            try:
                return await self._sockets.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._sockets.connect_tcp(addresses[-1], port, share, local_address, socket_options)


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
