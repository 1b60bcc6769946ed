"""RS256 as a platform does it: the twin's key, what it signs, and whether a signature is good; from Python alone."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

E = 65_537
# An invented platform's key: it guards nothing.
N = int(
    "8b6eed9ac6e5f57b38c18f48a0e4d2fea54d3c955e49777037736b9dd63b3740f6c1e0722589feef767d88bb7d3d76a7da3abfcb9a4bcc28"
    "fa1d21a3301643ed35b80f0e204e5dfcb6633cab3a9a7a6d46e7e689ff51c2490067fe22f0749eacef2923abe1b5b379201e0a45bea2de2c"
    "05c0f2ee32bda2c25bf78bf7925293f923db32b6c794dea19d72c47585ecc4ef597d0b97520fa100b53200204ca0a780b8282634885bbdc0"
    "9bb6708b9e7703117cc56eda4c37cbe2aa02ad6346ad8a7b5d4ad0707bfd7f182d1b453088181afb6477ff2ab5fd4c527e8d2f17d2c6e472"
    "3e8fc1c434f073a2ab248e90008235b91280ec388f3663571b42b3d9aee024a3",
    16,
)
D = int(
    "41098934872caa2e7f3d703465319b10d3c051828327cd3ffb1d6df270e1f14e10dc65821d0e4e6b1a5736f096d372f4bdb5998ea0541115"
    "2bffafed3dde2d60f769e7ece7f4c8079900b864d7307c742816bdeb16cd3c995e6adf2145846ce79e4f319f8b5f7c8f7a03ab3919d13f5e"
    "440a6301c634ef58e0a3567d1f55fbbcbc77833515fd7f1887e9903453e185e05000b6a395c667095a21e5422141e0d3655fd487342afd44"
    "d0986abeaa508ea99670e8b3fa25af2c056c3f059ed4d2220f6045c049d8cc115f5d74ea5653b2ef689b79b6018a6e973ab9a964f740c740"
    "c693584a1777567b8a1159e7803ae04897fd2ab3030853c927f727faeca7379",
    16,
)
KID = "platform-1"
_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")  # RFC 8017 9.2


def signed(claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
    """The claims as the platform signs them. # RFC 7515"""
    head = {"alg": "RS256", "typ": "JWT", "kid": KID} | dict(header or {})
    said = f"{_told(json.dumps(head).encode())}.{_told(json.dumps(dict(claims)).encode())}"
    signature = pow(_padded(said, _bytes(N)), D, N).to_bytes(_bytes(N), "big")
    return f"{said}.{_told(signature)}"


def read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, whoever signed them. ValueError for what is no token."""
    try:
        header, claims, _ = (json.loads(_heard(part)) if n < 2 else part for n, part in enumerate(token.split(".")))
    except (ValueError, UnicodeDecodeError):
        raise ValueError("no token") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise ValueError("no token")
    return header, claims


def is_good(token: str, key: Mapping[str, Any]) -> bool:
    """Whether the owner of this public JWK signed it."""
    said, _, signature = token.rpartition(".")
    n, e = (int.from_bytes(_heard(key[part]), "big") for part in ("n", "e"))
    return pow(int.from_bytes(_heard(signature), "big"), e, n) == _padded(said, _bytes(n))


def published() -> dict[str, Any]:
    """The platform's key set. # RFC 7517"""
    n, e = (_told(number.to_bytes(_bytes(number), "big")) for number in (N, E))
    return {"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": KID, "n": n, "e": e}]}


def _padded(said: str, length: int) -> int:
    digest = _SHA256 + hashlib.sha256(said.encode()).digest()
    return int.from_bytes(b"\x00\x01" + b"\xff" * (length - len(digest) - 3) + b"\x00" + digest, "big")


def _bytes(number: int) -> int:
    return (number.bit_length() + 7) // 8


def _told(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _heard(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
