"""Moodle by its web services: finished plans as learning plans."""
