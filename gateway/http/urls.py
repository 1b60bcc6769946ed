"""Which addresses may be asked at all, and how they may be shown."""

import ipaddress
import re

import httpx

from gateway.errors import ConfigError


def same_origin(base: str, url: str) -> str:
    """`url`, as a server gave it (absolute, or relative to `base`), in full. ConfigError `left-origin` if
    scheme, host or port differ from those of `base`: the token would go to a stranger."""
    home = parsed(base)
    try:
        target = parsed(str(home.join(url)))
    except (ConfigError, httpx.InvalidURL, ValueError):
        target = None
    if target is None or origin(target) != origin(home):
        elsewhere = "no usable address" if target is None else origin(target)
        raise ConfigError(
            "left-origin",
            f"{origin(home)} gave a link that leads to {elsewhere}.",
            "If the data really lies there, configure that address as the base URL.",
        )
    return str(target)


def checked_origin(url: str) -> str:
    """Scheme, host and port of an address that may be asked: all of it that may be shown where the rest is a key.
    ConfigError where it may not be asked, as by every call."""
    return origin(admitted(url))


def admitted(url: str) -> httpx.URL:
    """`url`, if it may be asked. ConfigError where nobody could ask it, or where it would be asked in the clear."""
    # The parsed form is what httpx then asks, so both read a trick the same way. Whether loopback and private
    # addresses are allowed is decided where the connection is opened.
    target = parsed(url)
    if target.scheme == "http" and not _is_loopback(target.host):
        raise ConfigError(
            "url-not-https",
            f"{origin(target)} is not an https address.",
            "Give the address that begins with https.",
        )
    return target


def parsed(url: str) -> httpx.URL:
    """`url` as httpx reads it. ConfigError if nobody could ask it; it may hold secrets and is not quoted."""
    try:
        found = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        found = httpx.URL()
    port = 443 if found.port is None else found.port
    if found.scheme not in ("https", "http") or not _is_host(found.raw_host.decode("ascii")) or not 0 < port < 65_536:
        raise ConfigError("url-invalid", "This is not a web address.", "Give one like https://sis.example.org/api.")
    if found.userinfo:
        raise ConfigError(
            "url-has-credentials",
            f"The address at {origin(found)} has a user name or password in it.",
            "Take it out of the URL and configure it as a secret.",
        )
    return found


def _is_host(host: str) -> bool:
    """Whether it is a name, or an address spelt in the usual way: 127.1, 0x7f000001 or ::1%lo are read differently by
    each resolver and each proxy."""
    if ":" in host:
        return "%" not in host and _is_address(host)
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", host.rstrip(".").rpartition(".")[2]):
        return _is_address(host)
    return re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", host) is not None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def place(url: httpx.URL) -> str:
    """Host and path, without the number of a person in it. # Canvas: `users/sis_user_id:...`"""
    found = (url.netloc + url.raw_path.partition(b"?")[0]).decode("ascii")
    return re.sub(r"(sis_user_id(?::|%3A))[^/]+", r"\1...", found)


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
