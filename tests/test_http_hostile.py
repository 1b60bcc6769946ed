"""No address that somebody planted is connected to: not from a setting, not from a link, not through a proxy."""

import asyncio
import socket
import tracemalloc
import zlib
from collections.abc import Awaitable, Iterator
from typing import Any, Self

import httpcore
import pytest

from gateway.errors import ConfigError, PlanbridgeError, Unavailable
from gateway.http import ClientCredentials, Http, Network, PrivateAddress, same_origin
from gateway.http.answers import LARGEST
from gateway.http.guard import ALL_PRIVATE, is_permitted
from tests.peers import OK, Asked, Peer, connecting, dns, http, in_turn, whole

HOSTILE = [
    "https://127.0.0.1:{port}/",
    "https://127.1:{port}/",
    "https://2130706433:{port}/",
    "https://0x7f000001:{port}/",
    "https://0x7f.1:{port}/",
    "https://0177.0.0.1:{port}/",
    "https://017700000001:{port}/",
    "https://127.0.0.1.:{port}/",
    "https://127。0。0。1:{port}/",
    "https://１２７.0.0.1:{port}/",
    "https://%31%32%37.0.0.1:{port}/",
    "https://0:{port}/",
    "https://0.0.0.0:{port}/",
    "https://localhost:{port}/",
    "https://LOCALHOST:{port}/",
    "https://[::1]:{port}/",
    "https://[::]:{port}/",
    "https://[0:0:0:0:0:0:0:1]:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/",
    "https://[::ffff:7f00:1]:{port}/",
    "https://[::127.0.0.1]:{port}/",
    "https://[64:ff9b::7f00:1]:{port}/",
    "https://[64:ff9b:1::7f00:1]:{port}/",
    "https://[2002:7f00:1::]:{port}/",
    "https://[fe80::1%25lo]:{port}/",
    "https://[fc00::1]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[fd00:ec2::254]/latest/meta-data/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::ffff:a9fe:a9fe]/latest/meta-data/",
    "https://168.63.129.16/metadata",
    "https://192.0.0.192/opc/v2/",
    "https://100.100.100.200/latest/meta-data/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://198.18.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://metadata.google.internal/computeMetadata/v1/",
    "https://two-faced.example.org:{port}/",
    "https://sis.example.org@127.0.0.1:{port}/",
    "https://sis.example.org:443@127.0.0.1:{port}/",
    "https://sis.example.org\\@127.0.0.1:{port}/",
    "https://sis.example.org%2f@127.0.0.1:{port}/",
    "https://@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/",
    "http://sis.example.org/",
    "https:127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/",
    "unix:///run/docker.sock",
    "https://127.0.0.1\r\nhost:x:{port}/",
    "https://127.0.0.1:0/",
    "https://127.0.0.1:99999/",
    "https://[::1/",
    "",
    "https://127.0.1:{port}/",
    "https://0x7f.0x0.0x0.0x1:{port}/",
    "https://0X7F000001:{port}/",
    "https://0x7f000001.:{port}/",
    "https://0177.0.0.0x1:{port}/",
    "https://00000177.0.0.1:{port}/",
    "https://4294967297:{port}/",
    "https://127.0.0.1%00:{port}/",
    "https://127.0.0.1%2f@x:{port}/",
    "https://127.0.0.1%23:{port}/",
    "https://127．0．0．1:{port}/",
    "https://127｡0｡0｡1:{port}/",
    "https://①②⑦.⓪.⓪.①:{port}/",
    "https://١٢٧.0.0.1:{port}/",
    "https://ⓛocalhost:{port}/",
    "https://localhost.:{port}/",
    "https://api.localhost:{port}/",
    "https://localhost.localdomain:{port}/",
    "https://ip6-localhost:{port}/",
    "https://127.0.0.2:{port}/",
    "https://127.255.255.254:{port}/",
    "https://[0000::1]:{port}/",
    "https://[::ffff:0:127.0.0.1]:{port}/",
    "https://[::7f00:1]:{port}/",
    "https://[2001:0:4136:e378:8000:63bf:80ff:fffe]:{port}/",
    "https://[2001:db8::1]:{port}/",
    "https://[::1%25lo]:{port}/",
    "https://[fe80::a9fe:a9fe%25eth0]/",
    "https://[64:ff9b::a9fe:a9fe]/latest/meta-data/",
    "https://[2002:a9fe:a9fe::]/latest/meta-data/",
    "https://[fd20:ce::254]/computeMetadata/v1/",
    "https://2852039166/latest/meta-data/",
    "https://0xa9fea9fe/latest/meta-data/",
    "https://169.254.170.2/v2/credentials/",
    "https://metadata.goog/computeMetadata/v1/",
    "https://instance-data.ec2.internal/latest/",
    "https://rebound.example.org:{port}/",
    "https://mapped.example.org:{port}/",
    "https://inside.example.org:{port}/",
    "https://user:pw@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}#@sis.example.org/",
    "https://127.0.0.1:{port}?@sis.example.org/",
    "https:\\\\127.0.0.1:{port}/",
    "https:///127.0.0.1:{port}/",
    "https://\t127.0.0.1:{port}/",
    " https://127.0.0.1:{port}/",
    "https://127.0.0.1 :{port}/",
    "HTTPS://127.0.0.1:{port}/",
    "hTTp://[::1]:{port}/",
    "dict://127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "data:text/plain,x",
    "https://127.0.0.1:-1/",
    "https://127.0.0.1:{port}x/",
    "https://.:{port}/",
    "https://..127.0.0.1:{port}/",
]


NAMES = {
    "two-faced.example.org": ["8.8.8.8", "127.0.0.1"],
    "mapped.example.org": ["::ffff:127.0.0.1"],
    "inside.example.org": ["10.1.2.3"],
    "metadata.google.internal": ["169.254.169.254"],
    "metadata.goog": ["169.254.169.254"],
    "localhost": ["127.0.0.1", "::1"],
    "localhost.": ["127.0.0.1", "::1"],
}
CODES = {"url-invalid", "url-not-https", "url-has-credentials", "address-refused", "unreachable"}


class Trap:
    """Whoever connects to any address of this machine, at one port, is counted."""

    async def __aenter__(self) -> Self:
        self.caught = 0
        four = socket.create_server(("0.0.0.0", 0))
        self.port: int = four.getsockname()[1]
        six = socket.create_server(("::", self.port), family=socket.AF_INET6)
        self._servers = [await asyncio.start_server(self._count, sock=one) for one in (four, six)]
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0.01)  # for a connection that is still in the queue
        for server in self._servers:
            server.close()

    async def _count(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.caught += 1
        writer.transport.abort()


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses beyond this machine that something tried to connect to; nothing leaves it."""
    tried: list[str] = []
    real = httpcore.AnyIOBackend.connect_tcp

    async def connect_tcp(self: Any, host: str, *args: Any, **kwargs: Any) -> Any:
        if not (host.startswith(("127.", "0.")) or host in ("::1", "::") or "127.0.0.1" in host):
            tried.append(host)
            raise httpcore.ConnectError("outside")
        return await real(self, host, *args, **kwargs)

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect_tcp)
    return tried


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names as a hostile name server gives them; rebound.example.org is public once and then is this machine."""
    known = dns(NAMES)
    rebound = ["8.8.8.8"]

    def look_up(host: str, *args: Any, **kwargs: Any) -> list[Any]:
        if host == "rebound.example.org":
            host = rebound.pop() if rebound else "127.0.0.1"
        return known(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def asking(url: str, client: Http, with_token: Http) -> Iterator[Awaitable[Any]]:
    """Every way in which an address that somebody gave is asked."""
    yield client.get(url)
    yield client.send("POST", url, json=b"{}", repeatable=False)
    yield with_token.token()


@pytest.mark.parametrize("url", HOSTILE)
async def test_a_hostile_url_reaches_nothing(url: str, outside: list[str]) -> None:
    async with Trap() as trap:
        hostile = url.replace("{port}", str(trap.port))
        settings = {"allow_private": False, "attempts": 2, "longest_wait": 0.01}
        auth = ClientCredentials(hostile, "client-1", "secret-1")
        async with http(**settings) as client, http(auth, **settings) as with_token:
            for call in asking(hostile, client, with_token):
                with pytest.raises((ConfigError, Unavailable)) as caught:
                    await call
                assert caught.value.code in CODES
    assert trap.caught == 0
    assert set(outside) <= ({"8.8.8.8"} if "rebound" in url else set())


def test_there_are_enough_of_them() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 60


async def test_the_trap_catches_whom_the_guard_lets_through(outside: list[str]) -> None:
    async with Trap() as trap, http(allow_private=True, attempts=1) as client:
        for host in ("127.0.0.1", "127.0.0.2", "[::1]", "[::ffff:127.0.0.1]"):
            with pytest.raises(PlanbridgeError):
                await client.get(f"https://{host}:{trap.port}/")
    assert trap.caught == 4


@pytest.mark.parametrize("url", HOSTILE)
async def test_a_hostile_url_is_not_asked_of_a_proxy(url: str, outside: list[str]) -> None:
    async with Trap() as trap, Peer(in_turn(whole(502, b""))) as proxy:
        hostile = url.replace("{port}", str(trap.port))
        settings = {"network": Network(proxy=proxy.url), "attempts": 1}
        auth = ClientCredentials(hostile, "client-1", "secret-1")
        async with http(**settings) as client, http(auth, **settings) as with_token:
            for call in asking(hostile, client, with_token):
                with pytest.raises((ConfigError, Unavailable)):
                    await call
    assert trap.caught == 0
    # What a name means that changes its meaning, only the proxy can see.
    assert {asked.path.partition(":")[0] for asked in proxy.asked} <= {"rebound.example.org"} & {url[8:27]}


# A blank before it makes a path of it, on the same origin.
@pytest.mark.parametrize("url", [url for url in HOSTILE if not url.startswith(" ")])
async def test_a_hostile_redirect_or_link_is_not_followed(url: str, outside: list[str]) -> None:
    async with Trap() as trap:
        hostile = url.replace("{port}", str(trap.port)).replace("\r", "%0d").replace("\n", "%0a")

        def answer(asked: Asked) -> bytes:
            return whole(302, b"", location=hostile) if asked.path == "/to" else OK

        async with Peer(answer) as peer, http(allow_private=True, attempts=1) as client:
            with pytest.raises(ConfigError) as caught:
                await client.get(f"{peer.url}/to")
            assert caught.value.code == "unexpected-redirect"
            if hostile:
                with pytest.raises(ConfigError) as left:
                    await client.get(same_origin(f"{peer.url}/to", hostile))
                assert left.value.code == "left-origin"
            assert [asked.path for asked in peer.asked] == ["/to"]
    assert (trap.caught, outside) == (0, [])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sis.example.org",
        "ftp://sis.example.org/",
        "https:///a",
        "https://sis.example.org:99999/",
        "https://sis.example.org:0/",
        "https://sis.example.org\n/",
        "https://[::1/",
    ],
)
async def test_what_nobody_could_ask_is_a_matter_of_configuration(url: str) -> None:
    async with http() as client:
        with pytest.raises(ConfigError) as caught:
            await client.get(url)
    assert caught.value.code == "url-invalid"


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "203.0.114.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"],
)
def test_public_addresses_are_permitted(address: str) -> None:
    assert is_permitted("x", address, ())


@pytest.mark.parametrize("address", ["10.1.2.3", "192.168.1.1", "127.0.0.1", "::1", "fd12::1", "100.64.0.1"])
def test_private_addresses_are_permitted_where_allowed(address: str) -> None:
    assert not is_permitted("x", address, ())
    assert is_permitted("x", address, ALL_PRIVATE)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "fe80::1",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "168.63.129.16",
        "192.0.0.192",
        "100.100.100.200",
        "fd00:ec2::254",
    ],
)
def test_where_no_system_lives_is_never_permitted(address: str) -> None:
    assert not is_permitted("x", address, ALL_PRIVATE)


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "http://sis.example.org/", "http://localhost.example.org/"])
async def test_plain_http_is_for_loopback_only(url: str) -> None:
    async with http(allow_private=True) as client:
        with connecting() as targets, pytest.raises(ConfigError) as caught:
            await client.get(url)
    assert (caught.value.code, targets) == ("url-not-https", [])


# --- the list -------------------------------------------------------------------------------------------------


def test_an_entry_opens_what_it_names_and_nothing_else() -> None:
    network, name, one = map(
        PrivateAddress.read,
        ("10.20.0.0/16: our SIS", "SIS.inside.example.org.: moved there in 2025", "fd12::5: the archive"),
    )
    assert (network.place, network.reason) == ("10.20.0.0/16", "our SIS")
    private = [network, name, one]
    assert is_permitted("x", "10.20.3.4", private) and is_permitted("x", "::ffff:10.20.3.4", private)
    assert not is_permitted("x", "10.21.3.4", private)
    assert is_permitted("sis.inside.example.org", "192.168.7.7", private)
    assert not is_permitted("lms.inside.example.org", "192.168.7.7", private)
    assert is_permitted("x", "fd12::5", private) and not is_permitted("x", "fd12::6", private)


def test_a_name_on_the_list_never_opens_metadata() -> None:
    private = [PrivateAddress.read("sis.example.org: ours"), PrivateAddress.read("fc00::/7: ours")]
    for address in ("169.254.169.254", "fd00:ec2::254", "0.0.0.0", "64:ff9b:1::a9fe:a9fe", "::a9fe:a9fe"):
        assert not is_permitted("sis.example.org", address, private)


@pytest.mark.parametrize(
    "entry",
    [
        "10.0.0.0/16",
        "10.0.0.0/16:",
        "10.0.0.0/16:  ",
        ": why",
        "0.0.0.0/0: all of it",
        "10.0.0.0/7: more than a range",
        "::/0: all of it",
        "169.254.169.254: metadata",
        "169.254.0.0/16: link-local",
        "fe80::/10: link-local",
        "168.63.129.16: Azure",
        "https://sis.example.org: a URL",
        "sis example: a blank",
    ],
)
def test_an_entry_without_a_reason_or_too_wide_is_refused(entry: str) -> None:
    with pytest.raises(ValueError):
        PrivateAddress.read(entry)


async def test_an_answer_that_unpacks_without_end_does_not_take_the_memory_of_all() -> None:
    """A quarter of a megabyte that unpacks to far more than any page has."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    squeezed = b"".join(squeeze.compress(b" " * 2**20) for _ in range(2 * LARGEST // 2**20 + 128)) + squeeze.flush()
    answer = whole(200, squeezed, content_encoding="gzip")
    async with Peer(lambda asked: answer) as peer, http() as client:
        tracemalloc.start()
        with pytest.raises(ConfigError) as caught:
            await client.get(f"{peer.url}/orgs")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert caught.value.code == "answer-too-large"
    assert len(peer.asked) == 1
    assert peak < 2 * LARGEST
