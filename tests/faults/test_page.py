"""docs/reliability.md is what was injected."""

from __future__ import annotations

import re

import pytest

from tests.faults import write_page

README = write_page.ROOT / "README.md"


def test_the_page_is_what_the_results_say() -> None:
    if not write_page.PAGE.exists():
        pytest.skip("make faults has not been run")
    assert write_page.PAGE.read_text() == write_page.page()


def test_the_readme_names_as_many_injections_as_there_were_and_promises_what_was_kept() -> None:
    if not write_page.PAGE.exists():
        pytest.skip("make faults has not been run")
    found = re.search(
        r"^(\d+) injections, .* (\d+) events or messages lost in silence", write_page.PAGE.read_text(), re.M
    )
    assert found is not None
    n, n_lost = map(int, found.groups())
    assert f"[{n:,} injected faults](docs/reliability.md), none lost an event unsaid" in " ".join(
        README.read_text().split()
    )
    assert n_lost == 0


def test_a_promise_that_was_broken_is_shown_and_a_stand_in_is_marked() -> None:
    good = {"survived": True, "recovery_seconds": 1.0, "lost_seconds": 0.0, "reported_seconds": 0.0, "n_hidden": 0}
    bad = {**good, "survived": False, "why": "it did not come back", "n_hidden": 2}
    result = {"what": "a fault", "how": "by hand", "through": "fake", "notes": {}, "injections": [good, bad]}
    assert write_page.row(result) == ["a fault *(fake)*", "2", "**1**", "1.00 s, 1.00 s", "", "2"]
    assert "*Broken*: it did not come back." in write_page.detail(result)
