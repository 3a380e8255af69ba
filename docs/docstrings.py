"""For `make docs`: arguments, results and errors in docstrings become items of a list."""

import re
from typing import Any

import griffe

ITEM = re.compile(r"^((?:RETURNS|RAISES|YIELDS)(?: \([^)]*\))?|\w+(?:, \w+)*(?: \([^)]*\))?):(?= )")


class Listed(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = listed(obj.docstring.value)


def listed(text: str) -> str:
    lines, inside = [], False
    for line in text.splitlines():
        if ITEM.match(line):
            lines += [*([] if inside else [""]), ITEM.sub(r"- **\1**:", line)]
            inside = True
        else:
            inside = inside and line.startswith(" ")
            lines.append(line)
    return "\n".join(lines)
