"""Text of others, as a terminal and a page show it."""

from __future__ import annotations

import logging
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mangum.local.printable import QuotedLines, printable, printable_lines

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("café\t日本 🎉", "café\t日本 🎉"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\r\nb", "a\\r\\nb"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("\u2028\u202e", "\\u2028\\u202e"),
        ("\ud800", "\\ud800"),
    ],
)
def test_quoted_characters(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_lines_stay_lines() -> None:
    assert printable_lines("a\r\nb\rc\nd\x1b") == "a\nb\nc\nd\\x1b"


@given(ANY_TEXT)
def test_any_text_becomes_a_line_that_can_be_written(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert not [character for character in shown if unicodedata.category(character) == "Cc" and character != "\t"]
    assert "\n" not in shown
    assert printable(shown) == shown


def test_records_of_a_log(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("quoted")
    quoted = QuotedLines()
    logger.addFilter(quoted)
    try:
        logger.error("%s: %d\n", "\x1b[2J", 1)
        try:
            raise ValueError("one\x1b\ntwo")
        except ValueError:
            logger.exception("failed")
        formatted = logging.Formatter().format(caplog.records[1])
    finally:
        logger.removeFilter(quoted)
    assert caplog.records[0].getMessage() == "\\x1b[2J: 1\\n"
    assert "ValueError: one\\x1b\ntwo" in formatted
    assert "\x1b" not in formatted
