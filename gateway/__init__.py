"""Planbridge: rosters and results in, one common record, finished success plans out."""

__version__ = "0.1.0"
