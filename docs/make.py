"""Write what docs/ holds that the code says already: the command line, the chosen numbers, the picture.

python docs/make.py            # docs/reference/command_line.md, docs/numbers.md and docs/demo.svg
python docs/make.py --check    # fails if they do not show the code; the picture is left out, which needs the model
"""

import argparse
import ast
import dataclasses
import html
import importlib
import re
import sys
from pathlib import Path
from typing import Any, Iterator

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

BY_HAND = "chosen by hand"
FLAT = "[flat answers](benchmark.md#flat-answers-the-specific-label-before-the-general-one)"
CHOSEN = (
    "[on dev](benchmark.md#five-examples-a-label-what-the-start-is-worth): "
    "rates of 0.00003 to 0.0003 and 75 to 300 steps were tried; itself not"
)
BOUND = "by hand; that it holds: [attacks](benchmark.md#what-attacks-find)"
COST = "by hand; for cost, see [growth](benchmark.md#growth)"
READ = "by hand; with the others here: [answers read back](benchmark.md#the-project)"
# A field in the docstring of settings.
FIELD = re.compile(r"(\w+(?:, \w+)*) \([\w |]+\): (.*?)(?=\s\w+(?:, \w+)* \([\w |]+\): |$)")
SETTINGS = (
    "train.settings.DistillSettings",
    "train.settings.FewShotSettings",
    "curate.settings.CurateSettings",
    "serving.limits.Limits",
)
# What measured a number, by its full name or the beginning of it; the first that fits counts.
MEASURED = {
    "model.defaults.TEXT_SEES_LABELS": "[measured](benchmark.md#one-pass-for-all-labels-or-one-for-each)",
    "schema.labels.GIVES_WAY": FLAT,
    "schema.labels.AMONG": FLAT,
    "train.settings.FewShotSettings.lr": CHOSEN,
    "train.settings.FewShotSettings.steps": CHOSEN,
    "train.settings.FewShotSettings.rehearsal": "[0 against 0.25](benchmark.md#what-few-shot-training-forgets)",
    "curate.settings.CurateSettings.max_ifd": "the filter, not the number: [curating](benchmark.md#curating)",
    "model.saved_config": BOUND,
    "model.tokenizer_file": BOUND,
    "model.tensors": BOUND,
    "model.message": BOUND,
    "model.weights": BOUND,
    "model.tok2vec_weights": BOUND,
    "component.MOST_SCHEMA": BOUND,
    "teacher.reply": READ,
    "data.tokens": COST,
    "spans.BLOCK": COST,
    "curate.duplicates.MAX_ALIKE": COST,
    "curate.duplicates.KEPT": COST,
    "curate.merging": COST,
    "curate.label_names": COST,
}
# What no comment in the code says.
SAYS = {
    "model.defaults.TEXT_SEES_LABELS": "whether a text is read in the light of the labels, in new trainings",
    "schema.labels.GIVES_WAY": "share of its log frequency by which a label gives way to rarer ones",
    "schema.labels.AMONG": "labels up to which that share holds",
    "teacher.reply.folding.LONGEST_CLITIC": "characters of what may hang on a word",
    "train.settings.DistillSettings.dropout": "dropout in training",
    "train.settings.DistillSettings.seed": "of the run",
    "train.settings.FewShotSettings.seed": "of the run",
    "model.defaults.DROPOUT": "dropout in training",
    "model.pieces.CACHED_WORDS": "words whose pieces are kept",
    "curate.duplicates.NUM_PERM": "hashes of a MinHash",
    "curate.label_clusters.MAX_WORDS": "words of a label that may be joined with another",
    "curate.label_clusters.BLOCK": "labels that are compared at a time",
    "curate.report.MOST_FREQUENT": "labels that the report shows",
    "curate.report.EXAMPLES": "examples that the report shows",
    "cli.output.BATCH": "texts that are read at a time",
    "train.batches.FREQUENT": "labels that a corpus has so often count as frequent",
    "teacher.reply.lenient.MAX_DEPTH": "depth of an answer's brackets",
    "teacher.reply.lenient.MAX_STARTS": "places where an answer's JSON may begin",
    "teacher.reply.parse.MAX_LABEL_WORDS": "words of a label",
    "teacher.reply.parse.MAX_LABEL_CHARS": "characters of a label",
    "teacher.reply.alignment.LONGEST_CASED": "characters that one may become in another case",
    "teacher.transport.LONGEST_HEADER": "characters of a header that are kept",
    "model.weights.MOST_CONFIG": "bytes of a pipeline's config.cfg",
    "model.weights.MOST_SECTIONS": "sections of it",
    "model.tokenizer_file.MOST_BYTES": "bytes of tokenizer.json",
    "model.tokenizer_file.MOST_MARKS": "signs of JSON in it",
    "model.tokenizer_file.MOST_NODES": "values in it",
    "model.tokenizer_file.MOST_ADDED": "added tokens",
}


def constants() -> Iterator[tuple[str, Any, str]]:
    """Name, value and comment of every number that a module of the package names in capitals."""
    package = ROOT / "metaie_spacy"
    for path in sorted(package.rglob("*.py")):
        name = ".".join(path.relative_to(package).with_suffix("").parts)
        source = path.read_text(encoding="utf8")
        lines = source.splitlines()
        for node in ast.parse(source).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            for target in [part for item in targets for part in getattr(item, "elts", [item])]:
                if not isinstance(target, ast.Name) or not target.id.isupper():
                    continue
                value = getattr(importlib.import_module(f"metaie_spacy.{name}"), target.id)
                if all(isinstance(part, (int, float)) for part in (value if isinstance(value, tuple) else [value])):
                    yield f"{name}.{target.id}", value, lines[node.lineno - 1].partition("  # ")[2]


def settings() -> Iterator[tuple[str, Any, str]]:
    """The same of the fields of settings."""
    for name in SETTINGS:
        module, _, title = name.rpartition(".")
        owner = getattr(importlib.import_module(f"metaie_spacy.{module}"), title)
        told = {
            field: text.split(". ")[0].rstrip(".")
            for names, text in FIELD.findall(" ".join(owner.__doc__.split()))
            for field in names.split(", ")
        }
        for field in dataclasses.fields(owner):
            if isinstance(field.default, (int, float)) and not isinstance(field.default, bool):
                yield f"{name}.{field.name}", field.default, told.get(field.name, "")


def measured(name: str) -> str:
    return next((where for start, where in MEASURED.items() if f"{name}.".startswith(f"{start}.")), BY_HAND)


def numbers() -> list[str]:
    lines = ["| number | value | of what | measured |", "|---|---|---|---|"]
    for name, value, comment in [*constants(), *settings()]:
        shown = f"{value:g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else f"{value}"
        told = SAYS.get(name, comment).replace("|", "\\|").replace("<", "&lt;")
        lines.append(f"| `{name}` | {shown} | {told} | {measured(name)} |")
    return lines


def commands() -> list[str]:
    """Every command with its arguments and options, as `--help` has them."""
    import typer

    from metaie_spacy.cli.app import app

    group, lines = typer.main.get_command(app), []
    named = {}
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        named |= {name: command} if inner is None else {f"{name} {own}": one for own, one in inner.items()}
    for name, command in named.items():
        lines += [
            f"## {name}",
            "",
            _plain(command.help),
            "",
            "| argument or option | default | what |",
            "|---|---|---|",
        ]
        for option in command.params:
            if option.name == "help":
                continue
            is_option = option.param_type_name == "option"
            title = " / ".join([*option.opts, *option.secondary_opts]) if is_option else option.name
            default = option.default() if callable(option.default) else option.default
            if isinstance(default, bool):
                default = "on" if default else "off"
            default = getattr(default, "value", default)
            shown = "required" if option.required else "" if default in (None, [], ()) else f"`{default}`"
            lines.append(f"| `{title}` | {shown} | {_plain(option.help or '')} |")
        lines.append("")
    return lines[:-1]


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def picture() -> str:
    """displaCy's span view of the demo as SVG: its slots and colours, with letters of one width."""
    import spacy
    from spacy import displacy
    from spacy.displacy.render import DEFAULT_LABEL_COLORS, SpanRenderer

    nlp = spacy.load("en_metaie_sm")
    pipe = nlp.get_pipe("metaie")
    pipe.labels = ["person", "organization", "city", "date", "amount of money", "drug"]
    pipe.flat = True
    palette = sorted({*DEFAULT_LABEL_COLORS.values()})
    colours = {label: palette[number * len(palette) // len(pipe.labels)] for number, label in enumerate(pipe.labels)}
    wide, high, room = 8.4, 56, 1000  # of a letter, of a line, of the picture
    parts, x, y = [], 10.0, 26
    for text in (ROOT / "assets" / "sample.txt").read_text(encoding="utf8").splitlines():
        view = displacy.parse_spans(nlp(text), {"spans_key": "metaie"})
        slots = SpanRenderer._assemble_per_token_info(view["tokens"], view["spans"])
        words = nlp.make_doc(text)
        open_span = None  # x where it began, label
        for token, word in zip(words, slots):
            ends = x + wide * len(token.text)
            starting = [span for span in word["entities"] if span["is_start"]]
            if (x + wide * (sum(map(len, (t.text_with_ws for t in _unit(words, token.i, slots)))))) > room:
                x, y = 10.0, y + high
                ends = x + wide * len(token.text)
            parts.append(
                f'<text x="{x:.1f}" y="{y}" textLength="{wide * len(token.text):.1f}">{html.escape(token.text)}</text>'
            )
            if starting:
                open_span = (x, starting[0]["label"])
            following = slots[token.i + 1]["entities"] if token.i + 1 < len(slots) else []
            if open_span and not any(not span["is_start"] for span in following):
                parts += _bar(*open_span, ends, y, colours[open_span[1]])
                open_span = None
            x = ends + wide * len(token.whitespace_)
        x, y = 10.0, y + high
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {room} {y - 10}"',
            ' font-family="monospace" font-size="14">',
            f'<rect width="{room}" height="{y - 10}" fill="#ffffff"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def _unit(words: Any, at: int, slots: list[dict]) -> Any:
    """The tokens that must stay on one line with this one: the rest of a span that starts here, or itself."""
    end = at + 1
    while (
        any(s["is_start"] for s in slots[at]["entities"])
        and end < len(slots)
        and any(not span["is_start"] for span in slots[end]["entities"])
    ):
        end += 1
    return words[at:end]


def _bar(start: float, label: str, end: float, y: int, colour: str) -> list[str]:
    """A line below the words, and the label on a plate of its colour."""
    wide, name = 6.0 * len(label) + 8, html.escape(label)
    return [
        f'<rect x="{start:.1f}" y="{y + 6}" width="{end - start:.1f}" height="4" fill="{colour}"/>',
        f'<rect x="{start:.1f}" y="{y + 6}" width="{wide:.1f}" height="15" rx="2" fill="{colour}"/>',
        f'<text x="{start + 4:.1f}" y="{y + 17}" font-size="10" textLength="{wide - 8:.1f}">{name}</text>',
    ]


PAGES = {"reference/command_line.md": ("commands", commands), "numbers.md": ("numbers", numbers)}


def documents() -> dict[Path, str]:
    """What the pages should hold."""
    found = {}
    for page, (name, block) in PAGES.items():
        path = ROOT / "docs" / page
        opening, closing = f"<!-- {name}: made by docs/make.py -->", f"<!-- end of {name} -->"
        head, tail = path.read_text(encoding="utf8").split(opening)
        found[path] = "\n".join([head + opening, "", *block(), "", closing + tail.split(closing)[1]])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if the pages differ")
    check = parser.parse_args().check
    for path, text in documents().items():
        if not check:
            path.write_text(text, encoding="utf8")
        elif path.read_text(encoding="utf8") != text:
            sys.exit(f"{path.name} does not show what the code says: run python docs/make.py")
    if not check:
        (ROOT / "docs" / "demo.svg").write_text(picture(), encoding="utf8")


if __name__ == "__main__":
    main()
