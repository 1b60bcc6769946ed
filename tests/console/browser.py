"""A real browser for the console, where the machine has one: Debian's Chromium, driven by Playwright.

Playwright is not in the lock yet. To use this: `playwright` in the dev extra of pyproject.toml (the Python package
alone; no `playwright install`, the browser is Debian's), `apt-get install chromium` in CI, and `axe-core` from npm
beside the tests.
"""

import importlib.util
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.api.signin import SESSION


def chromium() -> str:
    """Where it is; else the test that asks is skipped, and says what is missing."""
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed: see tests/console/browser.py")
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    return found


@asynccontextmanager
async def opened(url: str, token: str, *, script: bool = True, language: str = "en") -> AsyncIterator[Any]:
    """A page of somebody who is signed in. `url` is https, or Chromium does not keep a cookie that is named __Host-."""
    program = chromium()
    playwright = importlib.import_module("playwright.async_api")
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        context = await browser.new_context(java_script_enabled=script, locale=language, ignore_https_errors=True)
        await context.add_cookies([{"name": SESSION, "value": token, "url": url, "secure": True, "httpOnly": True}])
        try:
            yield await context.new_page()
        finally:
            await browser.close()
