"""Annotations -> train, dev and test, and a report of what was dropped and why."""
import json
import logging
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Iterable

from ..data.documents import document_of
from ..data.files import write_files
from ..data.jsonl import jsonl
from ..pipelines import load_student
from .contamination import drop_contaminated
from .duplicates import drop_near_texts, drop_repeated_ids, drop_repeated_texts
from .label_clusters import alike_labels
from .label_names import label_rows, rename_labels, spelling
from .ledger import BROKEN, Ledger, Sourced, read_sources
from .merging import is_reviewed, merge_teachers
from .noise import drop_noise
from .report import markdown
from .splits import split_rows

logger = logging.getLogger("metaie_spacy")



FILES = ("train.jsonl", "dev.jsonl", "test.jsonl", "labels.json", "dropped.jsonl", "report.json", "report.md")



@dataclass(frozen=True)
class CurateSettings:
    """What is kept. Broken rows, duplicate ids and texts, and contaminated rows are always dropped.

    keep_empty (bool): keep rows with neither spans nor absent labels. Training asks them the labels
        of other texts, all without an answer, so they teach silence; turn it off where such a row
        means that nobody looked.
    merge_teachers (bool): rows of one text by several teachers become one; else the first is kept.
    near_duplicates (float): least Jaccard similarity of the word 5-grams of two texts at which the
        later one is dropped; 0: off.
    against (tuple): files of texts that no row may share eight words in a row with, such as a
        benchmark's: JSONL with a "text", or plain text.
    normal_labels (bool): give labels that differ in spelling only one form, see `normal_label`.
    cluster (float | None): cosine from which a rarer label takes the wording of a more frequent
        one; None: off. Of 45,000 free labels, 0.95 joined 900, most of them rightly, but also "number
        of fans" with "number of readers"; 0.9 joined 5,000, most of them wrongly. Read the report.
    cluster_model (str): package or directory of the pipeline whose encoder compares them.
    max_label_rows (int): a row is dropped if all its labels are in so many rows before it; 0: off.
    min_agreement (float): rows whose teachers or samples agree less are dropped; rows that bring
        no `agreement` stay.
    ifd_model (str | None): package or directory of a pipeline that rates how well labels explain
        their spans, best one that was not trained on these rows; None: off. Of the 30 labels it
        liked least in 300 rows of published annotations, about half were wrong and half only hard.
    max_ifd (float): a label's spans are dropped if its ratio (see `label_ratios`) is higher.
    dev_share, test_share (float): of the documents.
    linked (float): documents with rows that are so much alike stand on one side of the split,
        measured as near duplicates are; 0: off.
    seed (int): of the split.
    """

    keep_empty: bool = True
    merge_teachers: bool = True
    near_duplicates: float = 0.8
    against: tuple[str | Path, ...] = ()
    normal_labels: bool = True
    cluster: float | None = None
    cluster_model: str = "en_metaie_sm"
    max_label_rows: int = 0
    min_agreement: float = 0.0
    ifd_model: str | None = None
    max_ifd: float = 1.0
    dev_share: float = 0.1
    test_share: float = 0.1
    linked: float = 0.6
    seed: int = 0

    def __post_init__(self):
        for name in ("near_duplicates", "linked", "min_agreement", "dev_share", "test_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be from 0 to 1.")
        if self.cluster is not None and not 0 < self.cluster <= 1:
            raise ValueError(f"cluster is {self.cluster}; give a cosine above 0 and up to 1, or None.")
        if self.dev_share + self.test_share >= 1:
            raise ValueError(f"dev_share ({self.dev_share}) and test_share ({self.test_share}) leave nothing to train on.")
        if self.max_label_rows < 0 or self.max_ifd <= 0:
            raise ValueError("max_label_rows must be at least 0 and max_ifd above 0.")
        if isinstance(self.against, (str, Path)):
            raise ValueError(f"against is '{self.against}'; give a tuple of files.")



def curate(sources: Iterable[str | Path], output: str | Path, settings: CurateSettings, *, progress: bool = False) -> dict:
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
        `files`, `splits`, `labels`, `clusters`, `teachers`, `linked`, `settings`.
    RAISES (ValueError): a file is missing or one of `against` is unreadable, the output would
        replace a source, or a model cannot be found. (ImportError): datasketch is missing.
    """
    sources, output = [Path(path) for path in sources], Path(output)
    check_sources(sources, output)
    ledger = Ledger()
    items = list(read_sources(sources, ledger))
    report: dict = {"rows": {}, "spans": {"in": span_count(items)}, "labels": {}}
    items = one_row_a_text(items, settings, ledger)
    items, merged, clusters, changes = one_wording(items, settings, ledger)
    items = worth_training_on(items, settings, ledger, progress=progress)
    splits, groups = split_rows(items, settings.dev_share, settings.test_share, linked=settings.linked, seed=settings.seed)
    rows = label_rows(items)
    report["rows"] = {"in": sum(ledger.read.values()), "out": len(items), "dropped": dict(sorted(ledger.rows.items()))}
    report["spans"] |= {"out": span_count(items), "dropped": dict(sorted(ledger.spans.items()))}
    report["labels"] = changes | {"out": len(rows)}
    report |= {
        "files": {path: {"rows": n, "dropped": n_dropped(ledger, path)} for path, n in ledger.read.items()},
        "splits": {name: split_figures(part) for name, part in splits.items()},
        "teachers": dict(Counter(item.row.get("teacher", "") for item in items).most_common()),
        "linked": {"groups": len(groups), "documents": sum(groups), "largest": max(groups, default=0)},
        "clusters": clusters,
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



def one_wording(items: list[Sourced], settings: CurateSettings, ledger: Ledger) -> tuple[list[Sourced], dict, dict, dict]:
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
    final = {old: joined.get(new, new) for old, new in names.items()} | {old: new for old, new in joined.items() if old not in names}
    counts = {"in": before, "respelled": respelled, "after_spelling": len(after), "clustered": len(joined), **changes}
    return items, replaced_by(final), replaced_by(joined), counts



def worth_training_on(items: list[Sourced], settings: CurateSettings, ledger: Ledger, *, progress: bool) -> list[Sourced]:
    """Without rows of labels that are there often enough, of teachers that disagree, and of noisy labels."""
    if settings.max_label_rows:
        items = drop_frequent(items, settings.max_label_rows, ledger)
    if settings.min_agreement:
        items = drop_unless(items, lambda row: _agreement(row) >= settings.min_agreement, "low agreement", ledger)
    if settings.ifd_model:
        items = drop_noise(items, load_student(settings.ifd_model), settings.max_ifd, ledger, progress=progress)
    return items



def drop_frequent(items: Iterable[Sourced], cap: int, ledger: Ledger) -> list[Sourced]:
    """The rows that have a label which fewer than `cap` kept rows before them have, or no label at all."""
    seen: Counter[str] = Counter()
    kept = []
    for item in items:
        labels = {span["label"] for span in item.row["spans"]}
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



def n_dropped(ledger: Ledger, path: str) -> int:
    return sum(entry["source_file"] == path and "span" not in entry for entry in ledger.entries)



def split_figures(items: list[Sourced]) -> dict:
    """Numbers of rows, documents, spans and labels."""
    documents = {document_of(item.row) for item in items}
    return {"rows": len(items), "documents": len(documents), "spans": span_count(items), "labels": len(label_rows(items))}



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
            logger.warning("%s.jsonl is empty: of %d rows in, %d are left. See report.md.", name, counts["in"], counts["out"])



def as_json(content: dict) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"
