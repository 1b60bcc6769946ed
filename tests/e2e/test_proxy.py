"""Behind a proxy: whom the API believes about where a call came from, asked from several addresses."""

import http.client
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.processes import Home, closed_port, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="calls from several addresses of the loopback network")

PROXY, IN_NETWORK, STRANGER = "127.0.0.3", "127.0.8.9", "127.0.0.2"
NAMED = f"{PROXY}, 127.0.8.0/24"
FAR = "203.0.113.9"


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with Home.made(laid=True) as made:
        yield made


@contextmanager
def api(home: Home, **variables: str) -> Iterator[int]:
    """`planbridge api` as a process of its own; its port."""
    port = closed_port()
    process = home.start("api", PLANBRIDGE_PORT=str(port), **variables)

    def answers() -> bool:
        assert process.poll() is None, home.said(process)
        try:
            return ask(port) == 200
        except OSError:
            return False

    until(answers, "the API answers")
    try:
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def ask(port: int, source: str = "127.0.0.1", **headers: str) -> int:
    """The status of an answer to a call from that address."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20, source_address=(source, 0))
    try:
        connection.request("GET", "/health/live", headers={name.replace("_", "-"): it for name, it in headers.items()})
        return connection.getresponse().status
    finally:
        connection.close()


def test_only_named_proxies_are_believed(home: Home) -> None:
    with api(home, PLANBRIDGE_TRUSTED_PROXY=NAMED) as port:
        for proxy in (PROXY, IN_NETWORK):
            assert ask(port, proxy, X_Forwarded_For=FAR, X_Forwarded_Proto="https") == 200
            assert ask(port, proxy, X_Forwarded_For=FAR, X_Forwarded_Proto="http") == 403
            assert ask(port, proxy, X_Forwarded_For=FAR) == 403
        for claim in ({"X_Forwarded_Proto": "https"}, {"X_Forwarded_For": "127.0.0.1"}, {"Forwarded": "proto=https"}):
            assert ask(port, STRANGER, **claim) == 403, "whoever says that it was forwarded has to be a named proxy"
        assert ask(port, STRANGER) == 200, "a monitor on this machine"


def test_a_caller_cannot_pass_for_somebody_on_this_machine(home: Home) -> None:
    with api(home, PLANBRIDGE_TRUSTED_PROXY=NAMED) as port:
        for claimed in ("127.0.0.1", f"127.0.0.1, {FAR}", f"127.0.0.1, {IN_NETWORK}", "unknown", ""):
            assert ask(port, PROXY, X_Forwarded_For=claimed, X_Forwarded_Proto="http") == 403, claimed


def test_where_no_proxy_is_named_none_is_believed(home: Home) -> None:
    with api(home, PLANBRIDGE_TRUSTED_PROXY="") as port:
        assert ask(port) == 200
        assert ask(port, X_Forwarded_For=FAR, X_Forwarded_Proto="https") == 403


@pytest.mark.parametrize("named", ["0.0.0.0/0", "::/0", "*", "proxy.example.org", "10.0.0.5/8"])
def test_everybody_is_no_proxy_and_a_name_is_no_address(home: Home, named: str) -> None:
    refused = home.run("api", PLANBRIDGE_TRUSTED_PROXY=named, PLANBRIDGE_PORT=str(closed_port()))
    assert refused.returncode == 2 and "environment-invalid" in refused.stderr


def test_an_empty_name_opens_no_address(home: Home) -> None:
    refused = home.run("api", PLANBRIDGE_HOST="0.0.0.0", PLANBRIDGE_TRUSTED_PROXY="")
    assert refused.returncode == 2 and "address-without-tls" in refused.stderr
