"""axe-core in the page that is open: put there once, run for each screen."""

from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

_SCRIPT = Axe().axe_script
_RUN = "([where, options]) => axe.run(where, options).then(found => found.violations)"
_WHERE = {"exclude": ["tbody tr:nth-child(n + 13)"]}
"""The rows of a table come from one macro: a dozen have all that there is to see."""
_OPTIONS = {"resultTypes": ["violations"], "selectors": False}
"""A violation is found by its HTML, and its selectors cost as much as the rules."""


async def add_axe(page: Page) -> None:
    """Until the page is left."""
    await page.evaluate(_SCRIPT)


async def violations_of(page: Page) -> list[dict[str, Any]]:
    """What is wrong with the page as it is on the screen now."""
    violations: list[dict[str, Any]] = await page.evaluate(_RUN, [_WHERE, _OPTIONS])
    return violations
