"""The table of all runs sorts by the column whose head a reader clicks, or enters."""

import pytest
from browser import SITE
from playwright.sync_api import Browser, expect
from visits import Visit

COLUMN = """table => [...table.querySelectorAll("tbody td:nth-child(4)")]
    .map(cell => Number(cell.dataset.sort))"""


@pytest.mark.parametrize("how", ["click", "keys"])
def test_the_runs_sort_by_accuracy(browser: Browser, how: str):
    page = (visit := Visit(browser, how, f"{SITE.as_uri()}/book/reproduction_ledger.html")).page
    table = page.locator("table.sortable")
    before = table.evaluate(COLUMN)
    head = table.get_by_role("columnheader").nth(3)
    for sort, reverse in (("descending", True), ("ascending", False)):
        if how == "click":
            head.click()
        else:
            head.press("Enter")
        expect(head).to_have_attribute("aria-sort", sort)
        page.wait_for_function(
            f"table => ({COLUMN})(table)[0] === {sorted(before)[-reverse]}",
            arg=table.element_handle(),
        )
        assert table.evaluate(COLUMN) == sorted(before, reverse=reverse) != before
    assert visit.complaints == []
    page.close()
