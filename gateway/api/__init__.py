"""The REST API: the acts of the command line, for programs that come with OAuth 2 client credentials."""

from gateway.api.application import assembled, create_app

__all__ = ["assembled", "create_app"]
