"""Plots of docs/benchmark.md and docs/peers.md from the benchmark's results: `report.py` makes them where matplotlib is installed."""

from pathlib import Path

import numpy as np

from benchmarks.lib import evidence, peer_report

COLORS = ("#9a9a9a", "#c98b2b", "#3f7fb5", "#2a8a57", "#7b4fa3")


def few_shot(path: Path) -> None:
    """F of each start on each dataset, bars with the standard deviation over seeds."""
    from matplotlib import pyplot

    found = evidence.compared()
    models = list(dict.fromkeys(model for model, _ in found))
    if not models:
        return
    figure, axes = pyplot.subplots(figsize=(10, 3.6))
    width = 0.8 / len(models)
    for number, model in enumerate(models):
        values = [[cell["f"] * 100 for cell in found[model, name]] for name in evidence.EIGHT]
        place = np.arange(len(evidence.EIGHT)) + (number - (len(models) - 1) / 2) * width
        spreads = [np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in values]
        axes.bar(
            place,
            [np.mean(v) for v in values],
            width,
            yerr=spreads,
            color=COLORS[number],
            label=evidence.NAMES[model].strip("`"),
        )
    axes.set_xticks(range(len(evidence.EIGHT)), [name.replace("_", "\n") for name in evidence.EIGHT], fontsize=8)
    axes.set_ylabel("5-shot F1")
    axes.legend(fontsize=8, ncols=3)
    save(figure, path)


def corpus_size(path: Path) -> None:
    """F against the number of annotated texts."""
    from matplotlib import pyplot

    runs = sorted(
        (run for name, run in evidence.short_runs().items() if name.startswith("metaie")), key=evidence.train_rows
    )
    if not runs:
        return
    figure, axes = pyplot.subplots(figsize=(6, 3.2))
    sizes = [evidence.train_rows(run) for run in runs]
    for key, title in (("dev_f", "corpus dev"), ("ner", "zero-shot NER (6)"), ("crossner", "zero-shot CrossNER (3)")):
        axes.plot(sizes, [run[key] * 100 for run in runs], "o-", label=title)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
    axes.minorticks_off()
    axes.set_xlabel("annotated texts trained on")
    axes.set_ylabel("F1")
    axes.legend(fontsize=8)
    save(figure, path)


def save(figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


PLOTS = {"few_shot.svg": few_shot, "corpus_size.svg": corpus_size, peer_report.PLOT: peer_report.plot}


def make(folder: Path) -> None:
    """Write all plots. Nothing is written where matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        print("The plots stay as they are: matplotlib is not installed (pip install matplotlib).")
        return
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "metaie"
    for name, plot in PLOTS.items():
        plot(folder / name)
