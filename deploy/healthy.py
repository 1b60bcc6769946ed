"""Ends with 0 while the API of this container can serve, else with 1; for the health check of the image."""

import os
import ssl
import sys
import urllib.request


def main() -> int:
    encrypted = bool(os.environ.get("PLANBRIDGE_TLS_CERTIFICATE"))
    url = f"{'https' if encrypted else 'http'}://127.0.0.1:{os.environ.get('PLANBRIDGE_PORT', '8433')}/health"
    # The certificate names the public address, and this is a call of the container to itself.
    context = ssl._create_unverified_context() if encrypted else None  # noqa: S323
    try:
        with urllib.request.urlopen(url, timeout=8, context=context) as answer:  # noqa: S310
            return 0 if answer.status == 200 else 1
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
