"""As what a client's secret is kept: salted, by a function that makes guessing slow."""

import hashlib
import hmac
import secrets

NOBODY = f"scrypt-14-8-1${'00' * 16}$"
"""What no secret has as its hash; to find that out takes as long."""


def hashed(secret: str) -> str:
    return _with_salt(secret, secrets.token_hex(16))


def fits(secret: str, hash: str) -> bool:
    return hmac.compare_digest(_with_salt(secret, hash.split("$")[1]), hash)


def _with_salt(secret: str, salt: str) -> str:
    # 16 MB and about 50 ms a try (RFC 7914)
    digest = hashlib.scrypt(secret.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1)
    return f"scrypt-14-8-1${salt}${digest.hex()}"
