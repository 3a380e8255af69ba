"""Text from outside made inert: what a terminal, a Markdown page or HTML would obey is shown instead."""

import html
import re
from typing import Any, Sequence

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
MARKUP = re.compile(r"([\\`*\[\]|~]|(?<!\w)_|_(?!\w))")


def for_terminal(text: str) -> str:
    """Controls and marks that turn the direction of writing as their escapes; line ends and tabs stay."""
    return CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def for_markdown(text: Any) -> str:
    """One line of Markdown that shows a text as it is: no markup, no HTML, no cell of a table."""
    plain = " ".join(for_terminal(str(text)).split())
    return html.escape(MARKUP.sub(r"\\\1", plain), quote=False)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; "none" where it would be empty. Whole numbers get commas, `Code` is shown as such."""
    if not rows:
        return "none"
    lines = [header, ["---"] * len(header), *([_cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


class Code(str):
    """A word to be shown in a fixed font, such as a checksum; of letters, digits and the like alone."""

    def markdown(self) -> str:
        return f"`{re.sub('[^0-9A-Za-z.:_-]', '?', self)}`"


def _cell(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value.markdown() if isinstance(value, Code) else for_markdown(value)
