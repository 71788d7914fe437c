"""Text of others for a terminal or a page: what could move the cursor, change colours or fake a line is quoted."""

from __future__ import annotations

import logging
import re

__all__ = ["QuotedLines", "printable", "printable_lines"]

# Control characters but the tab, line separators, characters that change the direction of writing, and halves of
# surrogate pairs, which no encoding has. https://www.unicode.org/reports/tr36/#Bidirectional_Text_Spoofing
_QUOTED = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LINE_END = re.compile(r"\r\n|\r|\n")
_FORMATTER = logging.Formatter()


def printable(text: str) -> str:
    """The text on one line, with such characters as Python writes them in a string: `\\x1b`, `\\n`."""
    if text.isascii() and text.isprintable():
        return text
    return _QUOTED.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines, which stay lines."""
    return "\n".join(map(printable, _LINE_END.split(text)))


class QuotedLines(logging.Filter):
    """Quotes what a log record says, and the lines of its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = printable(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = printable_lines(_FORMATTER.formatException(record.exc_info))
        return True
