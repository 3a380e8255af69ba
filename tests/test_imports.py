"""Imports inside the package go one way."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "metaie_spacy"
# A room imports those to its left, and of its own files in a circle none.
ORDER = "schema spans doc_labels pipelines data model streams convert release measure train teacher component fewshot curate cli"


def imported(path, known):
    """The modules of the package that a file imports, inside functions and for type hints too."""
    here = [PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        if isinstance(node, ast.ImportFrom):
            base = [*here[: -node.level or None], *(node.module or "").split(".")] if node.level else [node.module]
            names = [".".join(filter(None, base))] + [".".join(filter(None, [*base, name])) for name in names]
        yield from (name for name in names if name in known)


def test_imports_go_downward_only_and_never_in_a_circle():
    files = {".".join((PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in PACKAGE.rglob("*.py") if path.stem not in ("__init__", "__main__")}
    rank = {f"{PACKAGE.name}.{room}": number for number, room in enumerate(ORDER.split())}
    room = {name: ".".join(name.split(".")[:2]) for name in files}
    assert set(room.values()) == set(rank), "a room that ORDER does not know, or knows in vain"
    arrows = {name: set(imported(path, files)) for name, path in files.items()}
    upward = [f"{a} imports {b}" for a, found in arrows.items() for b in found if rank[room[b]] > rank[room[a]]]
    assert not upward and any(arrows.values())
    while leaves := {name for name, found in arrows.items() if not found & arrows.keys()}:
        arrows = {name: found for name, found in arrows.items() if name not in leaves}
    assert not arrows, f"imports in a circle: {arrows}"
