"""How requests leave and what they show on the way: proxies, authorities, cookies, credentials that change."""

import asyncio
import base64
import logging
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest
from pydantic import SecretStr

from connectors.edfi.server import EdfiSettings
from gateway.connector import is_secret, validated
from gateway.errors import AuthError, ConfigError, PlanbridgeError, Unavailable
from gateway.http import ClientCredentials, Network, OAuth1, PrivateAddress, StaticBearer
from tests.peers import (
    OK,
    Asked,
    Certificate,
    Peer,
    credentials,
    dns,
    http,
    in_turn,
    made_certificate,
    token_server,
    whole,
)

LOOPBACK = (PrivateAddress.read("127.0.0.1: this test"),)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return made_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name outside is known here, as in many networks behind a proxy."""
    known = dns({})

    def look_up(host: str, *args: Any, **kwargs: Any) -> list[Any]:
        if host.endswith("example.org"):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return known(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


class Proxy:
    """Opens tunnels to this machine, whatever the name, for whoever says user:p@ss, and notes what it was asked."""

    def __init__(self, answer: bytes = b"") -> None:
        self._answer = answer
        self.asked: list[str] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head)
            wanted = base64.b64encode(b"user:p@ss").decode()
            if self._answer or f"Basic {wanted}" not in head:
                writer.write(self._answer or whole(407, b"canary-body", proxy_authenticate="Basic"))
                return
            port = int(head.split(" ")[1].rpartition(":")[2])
            inner, outer = await asyncio.open_connection("127.0.0.1", port)
            self._writers.append(outer)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = asyncio.create_task(_pipe(inner, writer))
            self._tasks.add(back)
            await _pipe(reader, outer)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while some := await reader.read(65_536):
            writer.write(some)
            await writer.drain()


# --- proxies --------------------------------------------------------------------------------------------------


async def test_a_proxy_opens_the_way_for_data_and_tokens_and_is_told_who_asks(
    certificate: Certificate, nameless: None
) -> None:
    async with Proxy() as proxy, Peer(token_server(in_turn(OK)), certificate.server) as peer:
        url = f"https://sis.example.org:{peer.port}"
        network = Network(proxy=f"http://user:p%40ss@127.0.0.1:{proxy.port}", ca_file=str(certificate.file))
        auth = ClientCredentials(f"{url}/token", "client-1", "secret-1")
        async with http(auth, allow_private=False, network=network) as client:
            for _ in range(3):
                assert (await client.get(f"{url}/a")).status == 200
    (head,) = proxy.asked
    assert head.startswith(f"CONNECT sis.example.org:{peer.port} HTTP/1.1\r\n")
    assert "bearer" not in head.lower() and "canary" not in head
    assert len(peer.to("/token")) == 1 and {asked.bearer for asked in peer.to("/a")} == {"t1"}
    assert not any("proxy-authorization" in asked.headers for asked in peer.asked)
    assert certificate.names[-1] == "sis.example.org"


@pytest.mark.parametrize(
    ("answer", "kind", "code", "said"),
    [
        (b"", ConfigError, "proxy-refused", "407"),
        (whole(403, b"canary-body"), ConfigError, "proxy-refused", "403"),
        (b"HTTP/1.1 502 canary-reason\r\ncontent-length: 0\r\n\r\n", Unavailable, "unreachable", "502"),
        (b"HTTP/1.1 302 Found\r\nlocation: https://127.0.0.1/\r\n\r\n", Unavailable, "unreachable", "302"),
    ],
)
async def test_a_proxy_that_does_not_let_through_is_named(
    answer: bytes, kind: type[PlanbridgeError], code: str, said: str, nameless: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Proxy(answer) as proxy:
        network = Network(proxy=f"http://canary-user:canary-secret@127.0.0.1:{proxy.port}")
        async with http(allow_private=False, network=network, attempts=1) as client:
            with pytest.raises(kind) as caught:
                await client.get("https://sis.example.org/a?canary-query")
    assert caught.value.code == code
    assert f"127.0.0.1:{proxy.port}" in str(caught.value) and said in str(caught.value)
    assert "sis.example.org:443" in str(caught.value)
    assert "canary" not in str(caught.value) + caplog.text + repr(network)


async def test_a_proxy_that_is_down_is_unavailable_and_named(nameless: None) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    async with http(allow_private=False, network=Network(proxy=f"http://127.0.0.1:{port}"), attempts=1) as client:
        with pytest.raises(Unavailable) as caught:
            await client.get("https://sis.example.org/a")
    assert (caught.value.code, f"The proxy 127.0.0.1:{port}" in str(caught.value)) == ("unreachable", True)


async def test_a_private_address_is_asked_of_a_proxy_only_by_the_list(certificate: Certificate) -> None:
    async with Proxy() as proxy, Peer(in_turn(OK), certificate.server) as peer:
        way, file = f"http://user:p%40ss@127.0.0.1:{proxy.port}", str(certificate.file)
        for private in ((), LOOPBACK):
            network = Network(proxy=way, ca_file=file, private=private)
            async with http(allow_private=False, network=network, attempts=1) as client:
                with pytest.raises(ConfigError) as caught:
                    await client.get(f"https://127.0.0.1:{peer.port}/")
            # The certificate is of another name: so far it comes where it is allowed.
            assert caught.value.code == ("tls-failed" if private else "address-refused")
            assert len(proxy.asked) == len(private)


async def test_what_is_in_the_clear_goes_through_the_proxy_too() -> None:
    async with Peer(in_turn(OK, whole(407, b""))) as proxy:
        network = Network(proxy=proxy.url, private=LOOPBACK)
        async with http(allow_private=False, network=network) as client:
            assert (await client.get("http://127.0.0.1:9/a")).status == 200
            with pytest.raises(ConfigError) as caught:
                await client.get("http://127.0.0.1:9/a")
    assert [asked.path for asked in proxy.asked] == ["http://127.0.0.1:9/a"] * 2
    assert caught.value.code == "proxy-refused"


@pytest.mark.parametrize(
    "url", ["", "proxy:3128", "socks5://proxy.example.org", "http://", "http://p/path", "http://[::1"]
)
async def test_what_is_no_proxy_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        async with http(network=Network(proxy=url)):
            pass
    assert caught.value.code == "proxy-invalid" and "3128" not in caught.value.message


# --- authorities ----------------------------------------------------------------------------------------------


async def test_the_districts_own_authority_is_trusted_beside_the_usual_ones(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", dns({"sis.example.org": ["127.0.0.1"]}))
    async with Peer(in_turn(OK), certificate.server) as peer:
        url = f"https://sis.example.org:{peer.port}/a"
        async with http(allow_private=False, network=Network(private=LOOPBACK), attempts=1) as client:
            with pytest.raises(ConfigError) as caught:
                await client.get(url)
        assert caught.value.code == "tls-failed" and "ca_file" in caught.value.fix
        network = Network(ca_file=str(certificate.file), private=LOOPBACK)
        async with http(allow_private=False, network=network) as client:
            assert (await client.get(url)).status == 200
            usual = client._client._transport._pool._ssl_context.get_ca_certs()  # type: ignore[attr-defined]
    assert len(usual) > 50, "those of everybody are still among them"


@pytest.mark.parametrize("content", [None, b"", b"not a certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
async def test_a_file_without_certificates_is_named(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "authority.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        async with http(network=Network(ca_file=str(file))):
            pass
    assert caught.value.code == "ca-file-unreadable" and str(file) in str(caught.value)


# --- cookies --------------------------------------------------------------------------------------------------


async def test_a_session_cookie_goes_back_to_its_origin_and_nowhere_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    def data(asked: Asked) -> bytes:
        if asked.path == "/first":
            cookie = "session=canary-1; Path=/; HttpOnly\r\nset-cookie: other=2; Domain=127.0.0.1"
            return whole(body={}, set_cookie=cookie)
        if asked.path == "/second":
            return whole(body={}, set_cookie="session=canary-2; Path=/; HttpOnly")
        return whole(body={}, set_cookie="session=; Path=/; Max-Age=0") if asked.path == "/last" else OK

    async with Peer(data) as peer, Peer(token_server(in_turn(OK))) as elsewhere:
        async with http(credentials(elsewhere)) as client, http() as stranger:
            for path in ("/first", "/second", "/third", "/last", "/gone"):
                await client.get(peer.url + path)
            await client.get(f"{elsewhere.url}/a")
            await client.token()
            await stranger.get(f"{peer.url}/stranger")
            sent = {asked.path: asked.headers.get("cookie", "") for asked in peer.asked}
            assert "canary" not in repr(client._cookies) + caplog.text
    assert "session=canary-1" in sent["/second"] and "session=canary-2" in sent["/third"]
    assert "session" not in sent["/first"] + sent["/gone"] + sent["/stranger"]
    assert [asked for asked in elsewhere.asked if "cookie" in asked.headers] == []


async def test_a_cookie_of_the_token_server_comes_back_with_the_data_of_the_same_origin() -> None:
    """# Synergy: the session that the token's answer begins is asked for with every page."""

    def answer(asked: Asked) -> bytes:
        if asked.path == "/token":
            return whole(body={"access_token": "t", "expires_in": 60}, set_cookie="session=1; Path=/; HttpOnly")
        return OK if asked.headers.get("cookie") == "session=1" else whole(401)

    async with Peer(answer) as peer, http(credentials(peer, style="form")) as client:
        assert (await client.get(f"{peer.url}/ims/oneroster/v1p1/users")).status == 200
    assert len(peer.asked) == 2


# --- credentials ----------------------------------------------------------------------------------------------


async def test_a_token_is_asked_for_in_the_query_where_that_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    """# Infinite Campus"""
    caplog.set_level(logging.DEBUG)
    asked_for: list[str] = []

    def answer(asked: Asked) -> bytes:
        path, _, query = asked.path.partition("?")
        if path != "/campus/token":
            return OK if asked.bearer == "t" else whole(401)
        asked_for.append(query)
        return whole(body={"access_token": "t", "expires_in": "3600"}) if len(asked_for) < 2 else whole(401)

    async with Peer(answer) as peer:
        auth = ClientCredentials(f"{peer.url}/campus/token?appName=x", "id&1", "canary+secret", "a b", style="query")
        async with http(auth) as client:
            await client.get(f"{peer.url}/a")
            with pytest.raises(AuthError) as caught:
                await client.token()
    assert set(asked_for) == {
        "appName=x&grant_type=client_credentials&scope=a+b&client_id=id%261&client_secret=canary%2Bsecret"
    }
    (first, *_) = peer.asked
    assert (first.method, first.body, "authorization" in first.headers) == ("POST", b"", False)
    assert "canary" not in str(caught.value) + caplog.text + repr(auth)


@pytest.mark.parametrize("kind", ["bearer", "oauth1"])
async def test_credentials_that_changed_meanwhile_are_shown_once_more(kind: str) -> None:
    def made(secret: str) -> StaticBearer | OAuth1:
        return StaticBearer(secret) if kind == "bearer" else OAuth1(secret, "secret")

    read = 0

    async def again() -> StaticBearer | OAuth1:
        nonlocal read
        read += 1
        return made("new")

    answer = lambda asked: OK if "new" in asked.headers["authorization"] else whole(401)  # noqa: E731
    async with Peer(answer) as peer, http(made("old"), credentials_again=again) as client:
        assert (await client.get(f"{peer.url}/a")).status == 200
        assert (await client.get(f"{peer.url}/a")).status == 200
        assert ["new" in asked.headers["authorization"] for asked in peer.asked] == [False, True, True]
        assert read == 1


@pytest.mark.parametrize("again", [None, "old", "other kind"])
async def test_credentials_that_did_not_change_are_not_shown_again(again: str | None) -> None:
    async def read() -> StaticBearer | OAuth1 | None:
        return {"old": StaticBearer("old"), "other kind": OAuth1("k", "s")}[str(again)]

    async with Peer(in_turn(whole(401))) as peer:
        async with http(StaticBearer("old"), credentials_again=read if again else None) as client:
            with pytest.raises(AuthError):
                await client.get(f"{peer.url}/a")
    assert len(peer.asked) == 1


# --- settings -------------------------------------------------------------------------------------------------


def settings(**given: Any) -> EdfiSettings:
    return validated(EdfiSettings, {"base_url": "https://sis.example.org", "key": "k", "secret": "s"} | given)


def test_a_connection_says_how_its_requests_leave() -> None:
    text = "10.20.0.0/16: our SIS; sis.inside.example.org: moved; ; "
    network = settings(private_addresses=text, proxy="http://u:canary@p:3128", ca_file="/etc/ssl/district.pem").network
    assert [(one.place, one.reason) for one in network.private] == [
        ("10.20.0.0/16", "our SIS"),
        ("sis.inside.example.org", "moved"),
    ]
    assert (network.proxy, network.ca_file) == ("http://u:canary@p:3128", "/etc/ssl/district.pem")
    assert settings().network == Network(private=[]) and settings(proxy="").network.proxy is None


def test_a_proxy_is_a_secret() -> None:
    assert is_secret(EdfiSettings.model_fields["proxy"])
    given = settings(proxy=SecretStr("http://u:canary@p:3128"))
    assert "canary" not in repr(given) + repr(given.network) + str(given.model_dump(mode="json"))


def test_an_address_without_a_reason_is_not_taken() -> None:
    for wrong in ("10.0.0.1", ["10.0.0.1:"], "0.0.0.0/0: all", "169.254.169.254: metadata"):
        with pytest.raises(ConfigError) as caught:
            settings(private_addresses=wrong)
        assert caught.value.code == "settings-invalid" and "private_addresses" in caught.value.message
    with pytest.raises(ConfigError):
        settings(ca_file="relative.pem")


@pytest.mark.parametrize("stored", [True, "true"])
def test_what_was_stored_before_reasons_were_asked_for_goes_on_and_says_so(stored: Any) -> None:
    old = settings(allow_private=stored)
    reached = {one.place: one.reason for one in old.network.private}
    assert {"10.0.0.0/8", "127.0.0.0/8", "::1", "fc00::/7"} <= set(reached)
    assert set(reached.values()) == {"allowed before a reason was asked for"}
    assert settings(**old.model_dump(exclude={"secret"})).network == old.network
    assert settings(allow_private=False).network == Network(private=[])
    assert [one.place for one in settings(allow_private=stored, private_addresses="10.1.1.1: x").network.private] == [
        "10.1.1.1"
    ]
