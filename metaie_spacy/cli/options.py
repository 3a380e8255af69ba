"""What the commands share: options of several of them, checked, and what they print."""

import sys
from pathlib import Path
from typing import Any, Mapping

import typer

from ..data.inert import for_terminal
from ..data.jsonl import read_json_file, read_text
from ..data.shipped import shipped
from ..schema import read_labels, read_schema

# Of `extract`, `annotate` and `convert`, which read what other programs wrote.
ENCODING = typer.Option(
    None, help="Of the source, if it is neither UTF-8 nor has a byte order mark, such as cp1252 or utf-16-le"
)

ADAPTER = typer.Option(None, help="What fewshot --adapter wrote: texts are read with it, and asked its labels")

# Package -> the extra of ours that brings it.
EXTRAS = (
    {"accelerate": "train", "pyarrow": "parquet", "sklearn": "router", "ray": "ray"}
    | dict.fromkeys(("scipy", "krippendorff"), "audit")
    | dict.fromkeys(("fastapi", "uvicorn", "prometheus_client"), "serve")
    | dict.fromkeys(("openai", "tenacity", "datasketch", "rapidfuzz", "filelock", "jinja2"), "project")
)


def corpus_weight(entry: str) -> tuple[str, float]:
    """'file.jsonl:0.5' -> ('file.jsonl', 0.5)"""
    path, colon, weight = entry.rpartition(":")
    try:
        return (path, float(weight)) if colon and not Path(entry).exists() else (entry, 1.0)
    except ValueError:
        return entry, 1.0


def check_output(path: Path) -> None:
    """RAISES (ValueError): the place of the result is taken by something that is no pipeline."""
    if path.exists() and not (path / "meta.json").exists() and (path.is_file() or any(path.iterdir())):
        raise ValueError(f"'{path}' exists and is no spaCy pipeline. Give another output directory.")


def before_and_after(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Scores of every label on the same texts, as a table."""
    from wasabi import table

    names = sorted({*before["per_label"], *after["per_label"]})
    nothing = {"p": 0.0, "r": 0.0, "f": 0.0, "spans": 0}
    pairs = [(name, before["per_label"].get(name, nothing), after["per_label"].get(name, nothing)) for name in names]
    rows = [
        (name, new["spans"], *(f"{part[key]:.1%}" for part in (old, new) for key in "prf"))
        for name, old, new in [*pairs, ("all", before, after)]
    ]
    header = ("label", "spans", "P before", "R", "F", "P after", "R", "F")
    text = table(rows, header=header, divider=True, aligns=("l", *"r" * 7))
    return (
        f"{text}\n{after['texts']} texts that were not trained on; F after: 95 % "
        f"interval {after['f_low']:.1%} to {after['f_high']:.1%}"
    )


def label_table(per_label: dict[str, dict]) -> str:
    """Scores of every label, the most frequent in the gold spans first."""
    from wasabi import table

    ordered = sorted(per_label.items(), key=lambda pair: (-pair[1]["spans"], pair[0]))
    rows = [
        (for_terminal(name), row["spans"], row["found"], *(f"{row[key]:.3f}" for key in "prf")) for name, row in ordered
    ]
    header = ("label", "gold", "found", "P", "R", "F")
    return table(rows, header=header, divider=True, aligns=("l", *"r" * 5), max_col=60)


def asked(labels: str | None, schema: Path | None, default: str | None) -> dict[str, Any] | None:
    """The schema that the options ask for.

    RAISES (ValueError): both are given, or one is malformed.
    """
    if labels is not None and schema:
        raise ValueError("Give either --labels or --schema, not both.")
    if schema:
        return read_schema(shipped(schema))
    labels = default if labels is None else labels
    return None if labels is None else {"labels": read_labels(labels)}


def check_has_links(schema: Mapping[str, Any], option: str) -> None:
    """RAISES (ValueError): the schema asks for spans alone."""
    if not schema.get("links") and not schema.get("attributes"):
        raise ValueError(
            f"{option} writes links, and nothing asks for any. Give a --schema with links, events or the like, such as "
            'assets/schemas/relations.json, or {"labels": {"PERSON": "person"}, "links": {"works_for": {"head": '
            '"PERSON", "query": "employer"}}}.'
        )


def frequent_labels(path: Path, top: int) -> list[str]:
    """The most frequent labels of a labels.json that `curate` wrote. RAISES (ValueError): it is none."""
    try:
        labels = list(read_json_file(path)["labels"])[: max(0, top)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"'{path}' is no labels.json of 'curate': {error}") from None
    if not labels or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"'{path}' names no labels to ask.")
    return labels


def lacking(error: ModuleNotFoundError) -> str:
    """What to install for a package that is missing."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return " ".join(str(error).split())
    return f"This needs the package '{package}': pip install 'metaie-spacy[{EXTRAS[package]}]'."


def fail(message: str) -> None:
    sys.stderr.write(for_terminal(message) + "\n")
    raise SystemExit(1)


def read_config(path: Path, args: list[str]) -> dict[str, Any]:
    """The config with the overrides of the command line.

    RAISES (ValueError): there is no such file, or an override names nothing in it.
    """
    from spacy.cli._util import parse_config_overrides
    from spacy.util import load_config_from_str

    overrides = parse_config_overrides(args)
    if not path.exists():
        raise ValueError(
            f"There is no config '{path}'. Give one by --config; configs/teacher.cfg of the project is a template."
        )
    return load_config_from_str(read_text(path), overrides=overrides)


def resolve_teacher(settings: dict, output: Path) -> Any:
    """The teacher of a config; its answers are kept beside the output unless the config says where.

    RAISES (ValueError): the config has no teacher, or one that does not fit.
    """
    from confection import ConfigValidationError
    from spacy.util import registry

    if "teacher" not in settings:
        raise ValueError('The config has no [teacher] block with @misc = "metaie-spacy.Teacher.v1".')
    block = dict(settings["teacher"])
    block["cache"] = block.get("cache") or str(output.parent / "teacher.sqlite")
    try:
        return registry.resolve({"teacher": block})["teacher"]
    except ConfigValidationError as error:
        # Without the values: a key that was pasted into the wrong place stays out of messages.
        names = ", ".join(str(e["loc"][-1]) for e in error.errors)
        raise ValueError(
            "The [teacher] block of the config has no setting of this name, or a value of "
            f"the wrong kind: {names}. See configs/teacher.cfg."
        ) from None
