"""Tables of docs/benchmark.md from the benchmark's cells and result files; `report.py` writes them."""

import json
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Callable, Iterable, Sequence

import numpy as np

from benchmarks.lib import robust
from benchmarks.lib.paths import RESULTS, command_of
from metaie_spacy.measure.scores import bootstrap_sums, f_of

NER6 = ("conll2003", "mit_restaurant", "mit_movie", "bc5cdr", "wnut2017", "jnlpba")
CROSSNER = ("crossner_ai", "crossner_music", "crossner_politics")
NER5 = ("conll2003", "jnlpba", "wnut2017", "mit_restaurant", "bc5cdr")
RE2 = ("ade", "conll2004")
EIGHT = (*NER5, *RE2, "semeval14_restaurant")
MEANS = {"NER (5)": NER5, "RE (2)": RE2, "all eight": EIGHT}
DRAWS = 1000
NAMES = {
    "vanilla": "(a) no distillation", "human": "(b) human multi-task", "entity": "(c) entities only", "metaie": "(d) MetaIE", "en_metaie_sm": "`en_metaie_sm`",
}  # fmt: skip


def load(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf8"))


def cells(shots: int, folder: str = "cells") -> dict[tuple[str, str], list[dict]]:
    """(model, dataset) -> its cells, one a seed."""
    found = defaultdict(list)
    for path in sorted((RESULTS / folder).glob(f"{shots}shot__*.json")):
        cell = json.loads(path.read_text(encoding="utf8"))
        found[cell["model"], cell["dataset"]].append(cell)
    return dict(found)


def interval(low: float, high: float) -> str:
    return f"{low * 100:.1f} to {high * 100:.1f}"


def zero_shot() -> list[str]:
    found = cells(0)
    lines = [
        "| dataset | precision | recall | F1 | 95 % interval | texts | labels asked |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in (*NER6, *CROSSNER):
        (cell,) = found["en_metaie_sm", name]
        lines.append(
            f"| {name} | {cell['p']:.1%} | {cell['r']:.1%} | **{cell['f']:.1%}** | {interval(cell['f_low'], cell['f_high'])} | {cell['texts']:,} | {cell['labels_asked']} |"
        )
    means = [
        f"{title}: **{np.mean([found['en_metaie_sm', name][0]['f'] for name in names]):.1%}**"
        for title, names in (("first six", NER6), ("CrossNER", CROSSNER))
    ]
    return [*lines, "", f"Mean F1 of the {means[0]}; of {means[1]}. Measured with `en_metaie_sm` {packaged(found)}."]


def packaged(found: dict[tuple[str, str], list[dict]]) -> str:
    """The versions of the packaged model that its cells were measured with."""
    runs = [cell for (model, _), part in found.items() if model == "en_metaie_sm" for cell in part]
    return " and ".join(sorted({wheel.split("-")[1] for cell in runs for wheel in cell["wheels"]}))


def per_label() -> list[str]:
    found = cells(0)
    lines = ["| dataset | F1 of each label (gold spans) |", "|---|---|"]
    for name in (*NER6, *CROSSNER):
        labels = found["en_metaie_sm", name][0]["per_label"]
        lines.append(f"| {name} | {', '.join(_label(label, row) for label, row in labels.items())} |")
    return lines


def _label(name: str, row: dict) -> str:
    return f"{name.lower()} {row['f'] * 100:.0f} ({row['spans']})"


def draws(found: Sequence[dict]) -> np.ndarray:
    """F of a model on a dataset when texts and seeds are drawn with replacement, (DRAWS,).

    Equal datasets draw equal texts, so that models are compared on the same ones; seeds are drawn for each model and dataset.
    """
    by_seed = []
    for cell in found:
        counts = np.array([cell["counts"][key].split() for key in ("tp", "fp", "fn")], dtype="int64").T
        by_seed.append(f_of(bootstrap_sums(counts, draws=DRAWS)))
    table = np.array(by_seed)
    key = zlib.crc32(f"{found[0]['model']}:{found[0]['dataset']}".encode())
    seeds = np.random.default_rng(key).integers(len(found), size=(len(found), DRAWS))
    return np.take_along_axis(table, seeds, 0).mean(0)


def compared() -> dict[tuple[str, str], list[dict]]:
    """5-shot cells of the models and seeds that have all eight datasets."""
    found, whole = cells(5), {}
    for model in NAMES:
        seeds = set.intersection(*({cell["seed"] for cell in found.get((model, name), [])} for name in EIGHT))
        if seeds:
            whole |= {(model, name): [cell for cell in found[model, name] if cell["seed"] in seeds] for name in EIGHT}
    return whole


def few_shot() -> list[str]:
    found = compared()
    models = list(dict.fromkeys(model for model, _ in found))
    if not models:
        return ["Not measured yet."]
    lines = [f"| 5-shot F1 | {' | '.join(NAMES[model] for model in models)} |", "|---|" + "---|" * len(models)]
    for name in EIGHT:
        lines.append(
            f"| {name} | {' | '.join(spread([cell['f'] for cell in found[model, name]]) for model in models)} |"
        )
    mean = {
        (model, title): np.mean([np.mean([cell["f"] for cell in found[model, name]]) for name in names])
        for model in models
        for title, names in MEANS.items()
    }
    for title in MEANS:
        lines.append(f"| **mean, {title}** | {' | '.join(f'**{mean[model, title] * 100:.1f}**' for model in models)} |")
    lines += [
        "",
        "| F1 points ahead, 95 % interval over texts and seeds | NER (5) | RE (2) | all eight |",
        "|---|---|---|---|",
    ]
    for winner in [model for model in ("metaie", "en_metaie_sm") if model in models]:
        for other in [model for model in models if model not in ("metaie", "en_metaie_sm")]:
            parts = []
            for title, names in MEANS.items():
                lead = np.mean([draws(found[winner, name]) - draws(found[other, name]) for name in names], axis=0)
                point = mean[winner, title] - mean[other, title]
                parts.append(f"{point * 100:+.1f} ({interval(*np.quantile(lead, (0.025, 0.975)))})")
            lines.append(f"| {NAMES[winner]} before {NAMES[other]} | {' | '.join(parts)} |")
    runs = [cell for part in found.values() for cell in part]
    seconds, threads = [cell["adapt_seconds"] for cell in runs], sorted({cell["threads"] for cell in runs})
    alone = [cell["adapt_seconds"] for (cell,) in cells(5, "alone").values()]
    seeds = ", ".join(f"{NAMES[model]} {len(found[model, EIGHT[0]])}" for model in models)
    return [
        *lines, "", "![F1 of each start after five examples a label](few_shot.svg)", "",
        f"`en_metaie_sm` is {packaged(found)}. ± is the standard deviation over seeds (of each: {seeds}). The intervals cover the choice of test texts and of seeds, not that of the few-shot sentences",
        "nor of the distillation, of which there is one each.",
        f"One adaptation took {np.median(seconds):.0f} s in the median and {max(seconds):.0f} s at most, with {' or '.join(map(str, threads))} thread(s), beside other processes on two cores.",
        *([f"With both cores for itself (`benchmarks/quality/alone.yml`), one of `en_metaie_sm` took {np.median(alone):.0f} s in the median and {max(alone):.0f} s at most."] if alone else []),
    ]  # fmt: skip


def spread(values: Iterable[float]) -> str:
    values = [value * 100 for value in values]
    return f"{np.mean(values):.1f}" + (f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else "")


def chosen() -> list[str]:
    """What dev said about learning rates and steps."""
    found = [json.loads(path.read_text(encoding="utf8")) for path in sorted((RESULTS / "cells").glob("choose__*.json"))]
    if not found:
        return ["Not measured yet."]
    steps = sorted({step for cell in found for step in cell["f_by_steps"]}, key=int)
    lines = [
        f"| start | dev of | learning rate | {' | '.join(f'F1 at {step} steps' for step in steps)} |",
        "|---|---|---|" + "---|" * len(steps),
    ]
    for cell in sorted(found, key=lambda cell: (cell["model"], cell["dataset"], cell["lr"])):
        best = max(
            value
            for other in found
            if (other["model"], other["dataset"]) == (cell["model"], cell["dataset"])
            for value in other["f_by_steps"].values()
        )
        values = [cell["f_by_steps"][step] for step in steps]
        lines.append(
            f"| {cell['model']} | {cell['dataset']} | {cell['lr']:g} | {' | '.join(f'**{v * 100:.1f}**' if v == best else f'{v * 100:.1f}' for v in values)} |"
        )
    return lines


def generality() -> list[str]:
    """F by the weight of a label's frequency."""
    result = load("generality")
    columns = list(result["f"].values())
    head = " | ".join(f"{column['labels_asked']:.0f} labels asked" for column in columns)
    lines = [f"| F1 by the weight of log frequency | {head} |", "|---|" + "---|" * len(columns)]
    best = [max(f for name, f in column.items() if name not in ("labels_asked", "rule")) for column in columns]
    for weight in [name for name in columns[0] if name != "labels_asked"]:
        cells = [
            f"**{column[weight]:.1%}**" if column[weight] == most else f"{column[weight]:.1%}"
            for column, most in zip(columns, best)
        ]
        lines.append(f"| {'the rule' if weight == 'rule' else weight} | {' | '.join(cells)} |")
    return [*lines, "", f"{result['settings']['texts']} texts (`{command_of(result)}`)."]


def distractors() -> list[str]:
    """F of a dataset's labels among others."""
    result = load("distractors")
    numbers = list(next(iter(result["f"].values())))
    head = " | ".join(f"{n} more, {mode}" for mode in ("overlap", "flat") for n in numbers)
    lines = [f"| F1 of the dataset's labels | {head} |", "|---|" + "---|" * (2 * len(numbers))]
    for name, row in result["f"].items():
        lines.append(
            f"| {name} | {' | '.join(f'{row[n][mode] * 100:.1f}' for mode in ('overlap', 'flat') for n in numbers)} |"
        )
    drawn = (
        f"means of {result['settings']['draws']} draws of the others"
        if "draws" in result["settings"]
        else "one draw of the others"
    )
    return [*lines, "", f"First {result['settings']['texts']} texts of each, {drawn} (`{command_of(result)}`)."]


def errors() -> list[str]:
    """Errors by cause, in all and in the sample."""
    result = load("errors")
    total, sample = defaultdict(int), defaultdict(int)
    for row in result["counts"]:
        total[row["kind"], row["cause"]] += row["n"]
    for row in result["sample"]:
        sample[row["kind"], row["cause"]] += 1
    everything = sum(total.values())
    lines = [
        "| | cause | all errors | of the sample of 50 | labels in the sample (asked: what stood there) |",
        "|---|---|---|---|---|",
    ]
    for (kind, cause), n in sorted(total.items(), key=lambda entry: -entry[1]):
        pairs = [
            f"{row['label'].lower()}: {row['other'].lower()}" if row["other"] else row["label"].lower()
            for row in result["sample"]
            if (row["kind"], row["cause"]) == (kind, cause)
        ]
        lines.append(
            f"| {kind} | {cause} | {n:,} ({n / everything:.0%}) | {sample[kind, cause]} | {', '.join(dict.fromkeys(pairs))} |"
        )
    return [*lines, "", f"First {result['settings']['texts']} texts of each dataset (`{command_of(result)}`)."]


def scored_starts(starts: str, folder: str) -> dict[str, dict]:
    """The starting points that have all zero-shot cells: how they were trained, mean F1 and time of the cells; by name.

    starts, folder (str): of the starting points' figures and of their cells, in the results.
    """
    found, runs = cells(0, folder), {}
    for path in sorted((RESULTS / starts).glob("*.json")):
        start = json.loads(path.read_text(encoding="utf8"))
        name = start["start"]
        if all((name, dataset) in found for dataset in (*NER6, *CROSSNER)):
            means = [np.mean([found[name, dataset][0]["f"] for dataset in names]) for names in (NER6, CROSSNER)]
            seconds = sum(found[name, dataset][0]["score_seconds"] for dataset in (*NER6, *CROSSNER))
            runs[name] = start | {"ner": means[0], "crossner": means[1], "score_seconds": seconds}
    return runs


def short_runs() -> dict[str, dict]:
    """The starting points of equal steps or time."""
    return scored_starts("short/starts", "short/cells")


def train_rows(run: dict) -> int:
    """Texts that a starting point was trained on."""
    return sum(file["train_rows"] for file in run["files"].values())


def sizes() -> list[str]:
    """F by the share of the corpus."""
    runs = short_runs()
    wanted = [name for name in ("metaie_16th", "metaie_4th", "metaie") if name in runs]
    if len(wanted) < 3:
        return ["Not measured yet."]
    lines = [
        "| corpus | texts trained on | steps | F1 on the dev texts of all | zero-shot NER (6) | zero-shot CrossNER (3) |",
        "|---|---|---|---|---|---|",
    ]
    for name, share in zip(wanted, ("1/16", "1/4", "all")):
        run = runs[name]
        lines.append(
            f"| {share} | {train_rows(run):,} | {run['steps']:,} | {run['dev_f']:.1%} | {run['ner']:.1%} | {run['crossner']:.1%} |"
        )
    return [*lines, "", "![F1 against corpus size](corpus_size.svg)"]


def architectures() -> list[str]:
    """F of the architectures at equal training time."""
    runs = short_runs()
    titles = {
        "metaie": "`LabelToSpan`, `text_sees_labels = true`",
        "blind": "`LabelToSpan`, `text_sees_labels = false`, the default",
        "cross": "`CrossEncoder`, one pass per label",
    }
    if not all(name in runs for name in titles):
        return ["Not measured yet."]
    base = runs["metaie"]["score_seconds"]
    lines = [
        "| architecture | steps | minutes of training | F1 on dev | zero-shot NER (6) | zero-shot CrossNER (3) | time of the zero-shot cells |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, title in titles.items():
        run = runs[name]
        lines.append(
            f"| {title} | {run['steps']:,} | {run['seconds'] / 60:.0f} | {run['dev_f']:.1%} | {run['ner']:.1%} | {run['crossner']:.1%} | {run['score_seconds'] / base:.1f} x |"
        )
    return [*lines, "", *full_length(titles)]


def full_length(titles: dict[str, str]) -> list[str]:
    """The two forms of LabelToSpan when they are trained as long as the starting points."""
    runs = scored_starts("starts", "cells")
    names = ("metaie", "blind")
    if not all(name in runs for name in names):
        return ["At full length: not measured yet."]
    rows = [(titles[name], runs[name]) for name in names]
    lines = [
        f"| {title} | {run['steps']:,} | {run['dev_f']:.1%} | {run['ner']:.1%} | {run['crossner']:.1%} |"
        for title, run in rows
    ]
    head = "| at full length | steps | F1 on dev | zero-shot NER (6) | zero-shot CrossNER (3) |"
    return [head, "|---|---|---|---|---|", *lines]


def forgetting() -> list[str]:
    """F on what was not taught, after few-shot training."""
    result = load("forgetting")
    columns = list(result["f"]["before"])
    lines = [f"| F1 after adapting to | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for name, row in result["f"].items():
        lines.append(
            f"| {'(nothing)' if name == 'before' else name} | {' | '.join(f'{row[c] * 100:.1f}' for c in columns)} |"
        )
    return [
        *lines,
        "",
        f"First {result['settings']['texts']} texts of each, {result['settings']['steps']} steps (`{command_of(result)}`).",
    ]


def tries() -> list[str]:
    """Every training run that was tried for the packaged model."""
    lines = [
        "| tried | steps | minutes | F1 on dev | calibrated | its frequent labels | flat, among other labels |",
        "|---|---|---|---|---|---|---|",
    ]
    for run in load("tries"):
        effort = f"{run['steps']:,} | {run['seconds'] / 60:.0f}" if run["steps"] else "- | -"
        more = [f"{run[key]:.1%}" if key in run else "" for key in ("dev_f_calibrated", "dev_f_frequent", "dev_f_flat")]
        lines.append(f"| {run['note']} | {effort} | {run['dev_f']:.1%} | {' | '.join(more)} |")
    return lines


def starts() -> list[str]:
    """How the starting points were trained."""
    lines = [
        "| start | rows | spans | labels | steps | minutes | F1 on its own dev rows |",
        "|---|---|---|---|---|---|---|",
    ]
    for path in sorted((RESULTS / "starts").glob("*.json")):
        start = json.loads(path.read_text(encoding="utf8"))
        sums = [sum(file[key] for file in start["files"].values()) for key in ("rows", "spans", "labels")]
        lines.append(
            f"| {start['start']} | {' | '.join(f'{n:,}' for n in sums)} | {start['steps']:,} | {start['seconds'] / 60:.0f} | {start['dev_f']:.1%} |"
        )
    return lines


def ece() -> list[str]:
    """How far scores are from probabilities, by kind of row."""
    result = load("ece")
    lines = ["| rows | texts | spans found | precision | expected calibration error |", "|---|---|---|---|---|"]
    for name, row in result["groups"].items():
        lines.append(f"| {name} | {row['texts']:,} | {row['spans']:,} | {row['p']:.1%} | {row['ece']:.3f} |")
    return [*lines, "", f"`{command_of(result)}`."]


def joined() -> list[str]:
    """F of texts that stand in one document."""
    result = load("joined")
    lines = ["| eight texts, joined by | precision | recall | F1 | of the F1 alone |", "|---|---|---|---|---|"]
    alone = result["f"]["single"]["f"]
    for name, row in result["f"].items():
        title = "(each alone)" if name == "single" else name
        lines.append(f"| {title} | {row['p']:.1%} | {row['r']:.1%} | {row['f']:.1%} | {row['f'] / alone:.1%} |")
    return [*lines, "", f"{result['texts']} texts in {result['documents']} documents (`{command_of(result)}`)."]


def dev_figures() -> list[str]:
    """The six-part figure of every candidate for the packaged weights."""
    parts = ("schemas", "wordings", "jobs", "free", "joined", "links")
    lines = [f"| weights | figure | {' | '.join(parts)} |", "|---|---|" + "---|" * len(parts)]
    for path in sorted((RESULTS / "dev").glob("*.json")):
        result = json.loads(path.read_text(encoding="utf8"))
        shown = " | ".join(f"{result['parts'][name]['f'] * 100:.1f}" for name in parts)
        lines.append(f"| {result.get('note') or path.stem} | **{result['figure'] * 100:.1f}** | {shown} |")
    return lines


def wordings() -> list[str]:
    """F of labels in wordings that no training saw."""
    result = load("wordings")
    kinds = list(result["shares"])
    lines = [f"| F1 | plain | {' | '.join(kinds)} |", "|---|---|" + "---|" * len(kinds)]
    for name, own in result["f"].items():
        lines.append(
            f"| {name} | {own['plain'] * 100:.1f} | {' | '.join(f'{own[kind] * 100:.1f}' for kind in kinds)} |"
        )
    shares = [f"**{share:.1%}**" for share in result["shares"].values()]
    lines.append(f"| **mean share of the plain wording's F1** | 100% | {' | '.join(shares)} |")
    limit = f"first {result['limit']} texts of each" if result["limit"] else "all test texts"
    return [*lines, "", f"Of all kinds {result['mean']:.1%}; {limit} (`{command_of(result)}`)."]


def block(name: str) -> list[str]:
    """The lines of a block of docs/benchmark.md."""
    try:
        return BLOCKS[name]()
    except FileNotFoundError as error:
        return [f"Not measured yet: {Path(error.filename).name} is missing."]


BLOCKS: dict[str, Callable[[], list[str]]] = {
    "zero_shot": zero_shot, "per_label": per_label, "starts": starts, "few_shot": few_shot, "chosen": chosen,
    "generality": generality, "sizes": sizes, "architectures": architectures,
    "distractors": distractors, "forgetting": forgetting, "tries": tries, "errors": errors, "joined": joined, "ece": ece, "dev": dev_figures, "wordings": wordings,
    "attacks": robust.attacks, "fuzz": robust.fuzz, "corruption": robust.corruption, "growth": robust.growth, "installs": robust.installs,
}  # fmt: skip
