"""The console: pages on which a district's IT person connects systems, sees that all is right, and decides."""

from gateway.console.application import install
from gateway.console.visit import ROOT

__all__ = ["ROOT", "install"]
