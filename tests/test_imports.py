"""Imports inside the package go one way."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "metaie_spacy"
# A room imports those to its left; inside a room, no file imports another in a circle.
ORDER = (
    "encodings schema spans decoding rules answering results bands doc_labels notes pipelines data model streams streaming convert linking release measure bulk train "
    "teacher training adapting component dialogue router fewshot curate audit serving review cli"
).split()


def imported(path, known):
    """The modules of the package that a file imports, inside functions and for type hints too."""
    here = [PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        if isinstance(node, ast.ImportFrom):
            base = ".".join([*(here[: -node.level] if node.level else []), *filter(None, [node.module])])
            names = [base, *(f"{base}.{name}" for name in names)]
        yield from (name for name in names if name in known)


def test_imports_go_downward_only_and_never_in_a_circle():
    paths = [path for path in PACKAGE.rglob("*.py") if path.stem not in ("__init__", "__main__")]
    files = {".".join((PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in paths}
    room = {name: name.split(".")[1] for name in files}
    assert set(room.values()) == set(ORDER), "a room that ORDER does not know, or knows in vain"
    arrows = {(a, b) for a, path in files.items() for b in imported(path, files)}
    assert len(arrows) > len(files)
    upward = [f"{a} imports {b}" for a, b in arrows if ORDER.index(room[b]) > ORDER.index(room[a])]
    assert not upward
    while ends := {a for a, _ in arrows} ^ {b for _, b in arrows}:  # files at the end of all their arrows
        arrows = {(a, b) for a, b in arrows if not {a, b} & ends}
    assert not arrows, f"imports in a circle: {sorted(arrows)}"


def test_nothing_imports_spacy_transformers_which_transformers_5_breaks():
    outside = {"spacy_transformers"}
    names = {
        name.partition(".")[0]
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    assert "spacy" in names and not outside & names
