"""The OneRoster 1.2 provider: every operation, from one table of them."""

from gateway.api.oneroster.routes import ROOT, provider

__all__ = ["ROOT", "provider"]
