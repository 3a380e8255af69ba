"""The regular expressions of the package, and strings that such a pattern may take the square of."""

import ast
import importlib
import inspect
import pkgutil
import re
from types import ModuleType
from typing import Iterator, NamedTuple

import metaie_spacy

UNITS = [
    *"aA1 \n\t.-*:,;\"'`([{<|&#\\_!~=>…é",
    "a.", "A1", "aB", "1.", "- ", " .", ". ", ": ", "**", "**a", ", ", "a ", "A a", "a b", "</", "<think>", "&a", "\n ", "```", "\"a\"", "{\"a\":", "A of ", " and ", "\\u12", "\\ud8", "[ {", "__",
    "1\n", "A-a ", "a\u0301", "-> ", "\"confirmed\":[",
]  # fmt: skip
AT_ONCE = ("match", "fullmatch")  # looked for in one place; all other functions look for every match


class Used(NamedTuple):
    """A pattern of the package, where it stands, and whether it is matched ("match", "fullmatch") or searched."""

    place: str
    pattern: re.Pattern
    how: str


def patterns_of_package() -> list[Used]:
    """Every compiled pattern of a module, or in a tuple of one, and those that a function of `re` is given as such."""
    found: dict[tuple, Used] = {}
    for info in pkgutil.walk_packages(metaie_spacy.__path__, "metaie_spacy."):
        if not info.name.endswith("__main__"):
            for used in _patterns_in(importlib.import_module(info.name)):
                found.setdefault((used.pattern, used.how), used)
    return list(found.values())


def _patterns_in(module: ModuleType) -> Iterator[Used]:
    source, name = inspect.getsource(module), module.__name__.removeprefix("metaie_spacy.")
    for variable, value in vars(module).items():
        calls = re.findall(rf"\b{variable}\.(\w+)\(", source) or ["finditer"]
        for i, pattern in enumerate(value if isinstance(value, tuple) else [value]):
            if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str):
                for how in sorted({call if call in AT_ONCE else "finditer" for call in calls}):
                    yield Used(f"{name}.{variable}{i or ''}.{how}", pattern, how)
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        if ast.unparse(node.func.value) != "re" or node.func.attr in ("compile", "escape"):
            continue
        given = [*node.args[3 if node.func.attr == "sub" else 2 :]]
        flags = eval(ast.unparse(given[0]), {"re": re}) if given and "re." in ast.unparse(given[0]) else 0
        given_as = node.args[0]
        for text in (given_as.body, given_as.orelse) if isinstance(given_as, ast.IfExp) else (given_as,):
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                how = node.func.attr if node.func.attr in AT_ONCE else "finditer"
                yield Used(f"{name}:{node.lineno}.{how}", re.compile(text.value, flags), how)
