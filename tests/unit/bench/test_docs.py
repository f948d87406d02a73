"""Tables of figures in the docs are those of bench/README.md, which come from result files."""

import re

import pytest

from bench.record import ROOT

MEASURED = "±"
"""In every table of figures over seeds."""


def tables(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^\|.*(?:\n\|.*)*", text, flags=re.MULTILINE)


@pytest.mark.parametrize("page", ["docs/detectors.md", "docs/refine.md"])
def test_measured_tables_are_copies(page: str) -> None:
    known = {line for table in tables("bench/README.md") for line in table.splitlines()}
    own = [table for table in tables(page) if MEASURED in table]
    assert own, f"{page} has no measured table"
    for table in own:
        head, _, *rows = table.splitlines()
        assert not [row for row in rows if row not in known], f"{page}: not as measured: {head}"
