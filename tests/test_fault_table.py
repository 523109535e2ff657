"""The table of faults says what the tests show."""

from __future__ import annotations

from tests import fault_table
from tests.fault_table import DOCUMENT, WHERE, Fault


def test_the_table_is_made_of_the_tests_marks() -> None:
    rows = fault_table.faults()
    assert DOCUMENT.read_text(encoding="utf-8") == fault_table.document(rows), "python -m tests.fault_table writes it"
    assert {row.where for row in rows} == set(WHERE)
    for row in rows:
        assert all((row.what, row.outcome, row.fix)), row
        assert "|" not in f"{row.what}{row.outcome}{row.fix}", row


def test_a_row_names_what_breaks_and_the_test_that_shows_it() -> None:
    text = fault_table.document([Fault(WHERE[0], "the disk is full", "it fails", "free some", "a/test_b.py::test_c")])
    assert "| the disk is full | it fails | free some | [a/test_b.py](a/test_b.py) |" in text.splitlines()
