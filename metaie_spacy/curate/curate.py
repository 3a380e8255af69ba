"""Annotations -> train, dev and test, and a report of what was dropped and why."""

import json
import logging
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Iterable

from ..data.documents import document_of
from ..data.files import write_files
from ..data.jsonl import jsonl
from ..data.ledger import Ledger, Sourced
from ..data.rows import labels_of
from ..pipelines import load_student
from .contamination import drop_contaminated
from .correction import repeated, with_swapped_names
from .duplicates import drop_near_texts, drop_repeated_ids, drop_repeated_texts
from .label_clusters import alike_labels
from .label_names import label_rows, rename_labels, spelling
from .merging import is_reviewed, merge_teachers
from .noise import drop_noise
from .report import markdown
from .reviews import settled
from .settings import CurateSettings
from .sources import BROKEN, read_sources
from .splits import split_rows

logger = logging.getLogger("metaie_spacy")
FILES = ("train.jsonl", "dev.jsonl", "test.jsonl", "labels.json", "dropped.jsonl", "report.json", "report.md")


def curate(
    sources: Iterable[str | Path], output: str | Path, settings: CurateSettings, *, progress: bool = False
) -> dict:
    """Clean annotation files and split them. All rows are held in memory.

    Rows in = rows out + rows dropped; of rows that were merged, all but the first count as dropped.
    The same files, settings and packages give the same bytes.

    sources (Iterable): annotation files (JSONL); of duplicates the first is kept, so name the best
        file first.
    output (Path): takes `train.jsonl`, `dev.jsonl`, `test.jsonl`; `labels.json` ("labels": label ->
        rows, most frequent first; "merged": label -> the wordings that it replaced);
        `dropped.jsonl`, see `Ledger`; `report.json`, `report.md`.
    progress (bool): show a bar where a model is asked.
    RETURNS (dict): what `report.json` holds: `rows` and `spans` (in, out, dropped by reason),
        `files`, `splits`, `labels`, `clusters`, `teachers`, `linked`, `added` (copies in train), `settings`.
    RAISES (ValueError): a file is missing or one of `against` is unreadable, the output would
        replace a source, or a model cannot be found. (ImportError): datasketch is missing.
    """
    sources, output = [Path(path) for path in sources], Path(output)
    check_sources(sources, output)
    ledger = Ledger()
    items = settled(read_sources(sources, ledger), ledger)
    report: dict = {"rows": {}, "spans": {"in": span_count(items)}, "labels": {}}
    items = one_row_a_text(items, settings, ledger)
    items, merged, clusters, changes = one_wording(items, settings, ledger)
    items = worth_training_on(items, settings, ledger, progress=progress)
    splits, groups = split_rows(
        items, settings.dev_share, settings.test_share, linked=settings.linked, seed=settings.seed
    )
    splits["train"], added = corrected(splits["train"], settings)
    rows = label_rows(items)
    dropped = Counter(entry["source_file"] for entry in ledger.entries if "span" not in entry)
    report["rows"] = {"in": sum(ledger.read.values()), "out": len(items), "dropped": dict(sorted(ledger.rows.items()))}
    report["spans"] |= {"out": span_count(items), "dropped": dict(sorted(ledger.spans.items()))}
    report["labels"] = changes | {"out": len(rows)}
    report |= {
        "files": {path: {"rows": n, "dropped": dropped[path]} for path, n in ledger.read.items()},
        "splits": {name: split_figures(part) for name, part in splits.items()},
        "teachers": dict(Counter(item.row.get("teacher", "") for item in items).most_common()),
        "linked": {"groups": len(groups), "documents": sum(groups), "largest": max(groups, default=0)},
        "clusters": clusters,
        "added": added,
        "settings": asdict(settings) | {"against": [str(path) for path in settings.against]},
    }
    warn_of_gaps(report)
    contents = {f"{name}.jsonl": jsonl(item.row for item in part) for name, part in splits.items()}
    contents["labels.json"] = as_json({"labels": dict(rows), "merged": merged})
    contents["dropped.jsonl"] = jsonl(ledger.entries)
    write_files(output, contents | {"report.json": as_json(report), "report.md": markdown(report, rows)})
    return report


def check_sources(sources: list[Path], output: Path) -> None:
    """RAISES (ValueError): there is no source, or one that the output would replace."""
    if not sources:
        raise ValueError("There are no files to curate: give annotation files (JSONL).")
    written = {(output / name).resolve() for name in FILES}
    for path in sources:
        if path.resolve() in written:
            raise ValueError(f"The output would replace its source {path}. Give another output folder.")


def one_row_a_text(items: list[Sourced], settings: CurateSettings, ledger: Ledger) -> list[Sourced]:
    """Without empty rows where they are not wanted, duplicates of any kind, and contaminated texts."""
    if not settings.keep_empty:
        items = drop_unless(items, lambda row: row["spans"] or row.get("absent"), "empty", ledger)
    items = sorted(items, key=lambda item: not is_reviewed(item.row))  # of two with one id the first is kept
    items = drop_repeated_ids(items, ledger)
    if settings.merge_teachers:
        items = merge_teachers(items, ledger)
    items = drop_repeated_texts(items, ledger)
    if settings.near_duplicates:
        items = drop_near_texts(items, settings.near_duplicates, ledger)
    return drop_contaminated(items, settings.against, ledger) if settings.against else items


def one_wording(
    items: list[Sourced], settings: CurateSettings, ledger: Ledger
) -> tuple[list[Sourced], dict, dict, dict]:
    """Labels that are spelled alike or mean the same under one wording.

    RETURNS (tuple): the rows, label -> the wordings that it replaced, the same for clusters alone,
        and counts of what changed.
    """
    names = spelling(items) if settings.normal_labels else {}
    before = len(label_rows(items))
    items, changes = rename_labels(items, names, ledger)
    after, joined = label_rows(items), {}
    if settings.cluster is not None:
        joined = alike_labels(after, load_student(settings.cluster_model), settings.cluster)
        items, more = rename_labels(items, joined, ledger)
        changes.update(more)
    respelled = sum(old != new for old, new in names.items())
    final = {old: joined.get(new, new) for old, new in names.items()} | {
        old: new for old, new in joined.items() if old not in names
    }
    counts = {"in": before, "respelled": respelled, "after_spelling": len(after), "clustered": len(joined), **changes}
    return items, replaced_by(final), replaced_by(joined), counts


def worth_training_on(
    items: list[Sourced], settings: CurateSettings, ledger: Ledger, *, progress: bool
) -> list[Sourced]:
    """Without rows of labels that are there often enough, of teachers that disagree, and of noisy labels."""
    if settings.max_label_rows:
        items = drop_frequent(items, settings.max_label_rows, ledger)
    if settings.min_agreement:
        items = drop_unless(items, lambda row: _agreement(row) >= settings.min_agreement, "low agreement", ledger)
    if settings.ifd_model:
        items = drop_noise(items, load_student(settings.ifd_model), settings.max_ifd, ledger, progress=progress)
    return items


def corrected(items: list[Sourced], settings: CurateSettings) -> tuple[list[Sourced], dict[str, int]]:
    """The rows with copies that correct them, after all others, and how many were added."""
    swaps = with_swapped_names(items, settings.swap_names, settings.seed) if settings.swap_names else []
    copies = repeated(items, settings.balance, settings.seed) if settings.balance else []
    return [*items, *swaps, *copies], {"swapped names": len(swaps), "repeated": len(copies)}


def drop_frequent(items: Iterable[Sourced], cap: int, ledger: Ledger) -> list[Sourced]:
    """The rows that have a label which fewer than `cap` kept rows before them have, or no label at all."""
    seen: Counter[str] = Counter()
    kept = []
    for item in items:
        labels = labels_of(item.row)
        if labels and all(seen[label] >= cap for label in labels):
            ledger.drop_row(item, "label cap")
        else:
            seen.update(labels)
            kept.append(item)
    return kept


def drop_unless(items: Iterable[Sourced], is_good, why: str, ledger: Ledger) -> list[Sourced]:
    """The rows for which `is_good` holds; the others go to the ledger."""
    kept = []
    for item in items:
        if is_good(item.row):
            kept.append(item)
        else:
            ledger.drop_row(item, why)
    return kept


def _agreement(row: dict) -> float:
    return 1.0 if row.get("agreement") is None else row["agreement"]


def span_count(items: Iterable[Sourced]) -> int:
    return sum(len(item.row["spans"]) for item in items)


def split_figures(items: list[Sourced]) -> dict:
    """Numbers of rows, documents, spans and labels."""
    documents = {document_of(item.row) for item in items}
    return {
        "rows": len(items),
        "documents": len(documents),
        "spans": span_count(items),
        "labels": len(label_rows(items)),
    }


def replaced_by(names: dict[str, str]) -> dict[str, list[str]]:
    """New label -> the old ones, sorted, from old -> new."""
    replaced: dict[str, list[str]] = {}
    for old, new in sorted(names.items(), key=lambda pair: (pair[1], pair[0])):
        if old != new:
            replaced.setdefault(new, []).append(old)
    return replaced


def warn_of_gaps(report: dict) -> None:
    """Log what a user should know before training."""
    bad = sum(report["rows"]["dropped"].get(why, 0) for why in BROKEN)
    if bad:
        logger.warning("%d lines are no annotation rows; they stand in dropped.jsonl with their line numbers.", bad)
    wanted = {"train": 1, "dev": report["settings"]["dev_share"], "test": report["settings"]["test_share"]}
    for name, share in wanted.items():
        if share and not report["splits"][name]["rows"]:
            counts = report["rows"]
            logger.warning(
                "%s.jsonl is empty: of %d rows in, %d are left. See report.md.", name, counts["in"], counts["out"]
            )


def as_json(content: dict) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"
