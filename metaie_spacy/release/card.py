"""The model card: what a packaged model was made from and how good it is, taken from the files of the run."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

import srsly

from ..data.files import write_files
from ..data.inert import Code, for_markdown, markdown_table
from ..data.jsonl import read_json_file
from ..data.rows import read_rows
from .sources import entries

LIMITS = """- Scores hold for texts like those above; measure on your own before you rely on them.
- Labels are read as words: rare wordings, codes and labels in another language than the corpus are found less well.
- The annotations come from {annotators}; what they miss or get wrong, the model learns.
- The model marks words of the text. It does not infer what is not written, normalise values or judge truth."""


def write_card(
    pipeline: str | Path,
    data: str | Path | None = None,
    *,
    sources: str | Path,
    figures: str | Path | None = None,
    run: str | Path | None = None,
    scores: str | Path | None = None,
    calibration: str | Path | None = None,
    include: list[Path] | None = None,
) -> dict:
    """Put the model card into a pipeline: README.md, and in meta.json `sources`, `performance` and `metaie`.

    pipeline (Path): a pipeline on disk, as `assemble` writes it.
    data (Path | None): `curate`'s output: train.jsonl, dev.jsonl, test.jsonl, report.json. None: the corpus does
        not come along; its `sources` are those that meta.json has.
    sources (Path): JSON `{"encoder": {"name", "author", "license"}, "rows": {prefix: {...}}}`: the
        licence of the rows whose "source" begins with a prefix. Read with data only.
    figures (Path | None): a folder of results of `benchmarks/quality/quality.py`: those of this pipeline without
        training become the `performance`.
    run (Path | None): distill's output. scores, calibration (Path | None): JSON of `evaluate` and
        `calibrate`.
    include (list[Path] | None): licence files that the card names; None: those that lie in the pipeline.
    RETURNS (dict): the new meta.json.
    RAISES (ValueError): the pipeline or the data is missing.
    """
    pipeline = Path(pipeline)
    for needed in (pipeline / "meta.json", *([Path(data) / "train.jsonl", Path(sources)] if data else [])):
        if not needed.exists():
            raise ValueError(f"The model card needs '{needed}'. Run the stage that writes it first.")
    if include is None:
        include = [pipeline / name for name in ("LICENSE", "NOTICE") if (pipeline / name).exists()]
    meta = srsly.read_json(pipeline / "meta.json")
    facts: dict[str, Any] = {}
    known = read_json_file(sources) if data or run else {}
    if data:
        facts["corpus"] = corpus_facts(Path(data))
        meta["sources"] = [known["encoder"], *licences(facts["corpus"]["sources"], known["rows"])]
    if run is not None:
        facts["training"] = json.loads((Path(run) / "settings.json").read_text(encoding="utf8")) | _last(
            Path(run) / "log.jsonl"
        )
        facts["training"] |= {"encoder": known["encoder"]["name"]}
        facts["training"].pop("corpus", None)  # paths of one machine; the checksums above say what was read
    if scores is not None:
        result = srsly.read_json(scores)
        meta["performance"] = {f"spans_metaie_{m}": round(result[m], 4) for m in "prf"}
        facts["evaluation"] = {key: result[key] for key in ("p", "r", "f", "texts", "spans")}
    if figures is not None:
        facts["zero_shot"] = zero_shot(Path(figures), f"{meta['lang']}_{meta['name']}")
        means = {m: fmean(row[m] for row in facts["zero_shot"].values()) for m in "prf"}
        meta.setdefault("performance", {f"spans_metaie_{m}": round(value, 4) for m, value in means.items()})
        meta["performance"]["zero_shot"] = {
            name: {m: round(row[m], 4) for m in "prf"} for name, row in facts["zero_shot"].items()
        }
    if calibration is not None:
        fitted = srsly.read_json(calibration)
        facts["calibration"] = {key: fitted[key] for key in ("temperature", "bias", "threshold")}
        facts["calibration"] |= {f"ece_{when}": fitted[when]["ece"] for when in ("before", "after")}
    meta["metaie"] = facts
    write_files(pipeline, {"meta.json": json.dumps(meta, indent=2) + "\n", "README.md": markdown(meta, include)})
    return meta


def zero_shot(folder: Path, model: str) -> dict[str, dict]:
    """Dataset -> scores of a model without training: "p", "r", "f", "texts" and "labels_asked".

    RAISES (ValueError): the folder has no such results.
    """
    rows = {}
    for path in sorted(folder.glob("*.json")):
        row = read_json_file(path)
        if row.get("group") == "zero_shot" and row.get("model") == model:
            rows[row["dataset"]] = {m: round(row[m], 6) for m in "prf"} | {n: row[n] for n in ("texts", "labels_asked")}
    if not rows:
        raise ValueError(f"'{folder}' has no zero-shot results of '{model}'.")
    return rows


def corpus_facts(data: Path) -> dict:
    """Counts, checksums, teachers, prompts and sources of the rows of a curated corpus."""
    result: dict[str, Any] = {"splits": {}}
    counts = {name: Counter() for name in ("teachers", "prompts", "sources")}
    labels: set[str] = set()
    for split in ("train", "dev", "test"):
        path = data / f"{split}.jsonl"
        if not path.exists():
            continue
        rows = spans = 0
        for row in read_rows(path):
            rows, spans = rows + 1, spans + len(row["spans"])
            labels.update(s["label"] for s in row["spans"])
            counts["teachers"][row.get("teacher") or "unknown"] += 1
            counts["prompts"][row.get("prompt_sha") or "unknown"] += 1
            counts["sources"][row.get("source") or "unknown"] += 1
        result["splits"][split] = {
            "rows": rows,
            "spans": spans,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
    report = data / "report.json"
    dropped = srsly.read_json(report)["rows"]["dropped"] if report.exists() else {}
    return (
        result
        | {"labels": len(labels), "dropped": dropped}
        | {name: dict(c.most_common()) for name, c in counts.items()}
    )


def licences(found: dict[str, int], known: dict[str, dict]) -> list[dict]:
    """The sources of the rows with their licences; one that nobody stated is said to be unknown."""
    result, rows = {}, Counter()
    for source, n in found.items():
        prefix = max((p for p in known if source.startswith(p)), key=len, default=None)
        entry = known[prefix] if prefix is not None else {"name": source, "author": "unknown", "license": "not stated"}
        result[entry["name"]] = entry
        rows[entry["name"]] += n
    return [entry | {"rows": str(rows[name])} for name, entry in result.items()]  # spaCy takes strings alone


def markdown(meta: dict, include: list[Path]) -> str:
    """The card as Markdown."""
    facts, corpus = meta["metaie"], meta["metaie"].get("corpus")
    lines = [f"# {meta['lang']}_{meta['name']} {meta['version']}", "", meta.get("description", ""), ""]
    if meta.get("url"):
        lines += [for_markdown(meta["url"]), ""]
    lines += [
        "## Usage",
        "",
        "```python",
        "import spacy",
        "",
        f'nlp = spacy.load("{meta["lang"]}_{meta["name"]}")',
        'nlp.get_pipe("metaie").labels = ["person", "organization"]  # any labels, in plain words',
        'doc = nlp("Ada Lovelace worked with Charles Babbage.")',
        'for span, score in zip(doc.spans["metaie"], doc.spans["metaie"].attrs["scores"]):',
        "    print(span.text, span.label_, round(float(score), 2))",
        "```",
        "",
    ]
    lines += ["## Figures", ""]
    if "evaluation" in facts:
        e = facts["evaluation"]
        lines += [
            f"Held-out test split: precision {e['p']:.1%}, recall {e['r']:.1%}, F {e['f']:.1%} "
            f"(exact match, {e['texts']} texts, {e['spans']} spans,"
        ]
        lines += ["each text asked the labels that it was annotated with and those noted as absent).", ""]
    if "zero_shot" in facts:
        columns = ("dataset", "precision", "recall", "F1", "texts", "labels asked")
        rows = [
            (name, *(f"{row[m]:.1%}" for m in "prf"), f"{row['texts']:,}", row["labels_asked"])
            for name, row in facts["zero_shot"].items()
        ]
        lines += ["Without training on the dataset: exact match, all labels of a dataset asked at once by their plain"]
        lines += ["names, flat, at the model's own threshold.", "", markdown_table(columns, rows), ""]
        lines += [f"Mean F1: {fmean(row['f'] for row in facts['zero_shot'].values()):.1%}.", ""]
    if not {"evaluation", "zero_shot"} & facts.keys():
        lines += ["Not evaluated.", ""]
    if "calibration" in facts:
        c = facts["calibration"]
        lines += [
            f"Calibrated: expected calibration error {c['ece_before']:.3f} before, {c['ece_after']:.3f} "
            f"after; default threshold {c['threshold']:.2f}.",
            "",
        ]
    if corpus:
        splits = [(name, s["rows"], s["spans"], Code(s["sha256"][:16])) for name, s in corpus["splits"].items()]
        lines += ["## Corpus", "", markdown_table(("split", "rows", "spans", "sha256"), splits), ""]
        lines += [f"{corpus['labels']} labels. Annotated by {_counted(corpus['teachers'])}."]
        lines += [f"Prompts: {_counted({Code(sha[:16]): n for sha, n in corpus['prompts'].items()})}."]
        if corpus["dropped"]:
            dropped = ", ".join(f"{for_markdown(why)} ({n})" for why, n in corpus["dropped"].items())
            lines += [f"Left out by curation: {dropped}."]
    if "training" in facts:
        t = facts["training"]
        shown = [
            f"{key} {t[key]}" for key in ("architecture", "epochs", "batch_size", "lr", "seed", "steps") if key in t
        ]
        lines += ["", "## Training", "", f"Encoder {for_markdown(t['encoder'])}; {for_markdown(', '.join(shown))}."]
    columns = ("name", "author", "license", *(["rows"] if corpus else []))
    sources = [[entry.get(key, "") for key in columns] for entry in entries(meta)]
    names = ("source", "by", "licence", "rows")[: len(columns)]
    lines += ["", "## Sources and licences", "", markdown_table(names, sources), ""]
    see = f" See {', '.join(for_markdown(path.name) for path in include)}." if include else ""
    lines += [f"The model: {for_markdown(meta.get('license') or 'not stated')}.{see}"]
    annotators = " and ".join(map(for_markdown, corpus["teachers"])) if corpus else "the sources above"
    lines += ["", "## Limits", "", LIMITS.format(annotators=annotators)]
    return "\n".join(lines) + "\n"


def _counted(rows: dict[str, int]) -> str:
    shown = {name.markdown() if isinstance(name, Code) else for_markdown(name): n for name, n in rows.items()}
    return ", ".join(f"{name} ({n} rows)" for name, n in shown.items())


def _last(log: Path) -> dict:
    """The last line of a log, which holds the result of the run."""
    return json.loads(log.read_text(encoding="utf8").splitlines()[-1]) if log.exists() else {}
