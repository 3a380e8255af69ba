"""Pipeline and annotated file -> scores that are probabilities, and the threshold that goes with them."""

import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Collection, Iterator, NamedTuple, Sequence

import numpy as np
from spacy.language import Language
from spacy.util import minibatch
from tqdm import tqdm

from ..convert.annotations import read_annotations
from ..data.documents import document_of
from ..data.known import Known, known_of
from ..data.rows import asked_of
from ..data.tokens import make_doc
from ..notes import noting
from ..pipelines import active_pipe
from ..schema import Label, move_threshold, parse_labels, plain
from ..spans import Answer, decode, flatten, tidied
from ..streams import pipe_with_labels
from .calibrate_links import BINS, calibrate_links
from .scores import PRF

MIN_SPANS = 50  # predicted, in each half
FEW = 10  # predicted spans for a scale alone, and how many the prior is worth that holds it where it is
MIN_GOLD = 30  # of a label that may get a threshold of its own
CANDIDATES = 1 / (1 + np.exp(-np.arange(-2.5, 1.01, 0.25)))  # boundaries that are tried, evenly spaced as logits
LEAST = np.arange(1, 100) / 100  # least scores that are tried
SURE = 2.0  # standard errors by which another threshold must be better


class Part(NamedTuple):
    """Logits of one text for some labels, as `decode` takes them.

    names (U,), tokens (W,), logits float32 (W, U, 2), generality (U,).
    """

    names: list[str]
    tokens: list[int]
    logits: np.ndarray
    generality: np.ndarray


class Scored(NamedTuple):
    """One text: its document, what is known of it and its tokens in characters, its logits, its words."""

    document: str
    known: Known
    offsets: list[tuple[int, int]]
    parts: list[Part]
    words: Sequence[str] = ()


class Scale(NamedTuple):
    """What logits go through: `logit / temperature + bias`."""

    temperature: float = 1.0
    bias: float = 0.0


class Rules(NamedTuple):
    """How spans are chosen, see `MetaIE.threshold`: the least score, the boundary at which tokens
    are tagged, least scores of labels that have their own, and `MetaIE.flat`."""

    threshold: float
    tag: float
    labels: dict[str, float]
    flat: bool

    def move(self, scale: Scale) -> "Rules":
        """The rules that decide on scaled logits as these do on unscaled ones."""
        labels = {name: move_threshold(value, *scale) for name, value in self.labels.items()}
        return Rules(move_threshold(self.threshold, *scale), move_threshold(self.tag, *scale), labels, self.flat)


class Cells(NamedTuple):
    """What the scores of N predicted spans of M tokens in all stand on.

    logits (ndarray): of each token's chosen tag and of the other one, float64 (M, 2).
    sizes (ndarray): tokens per span, int64 (N,). correct (ndarray): bool (N,).
    """

    logits: np.ndarray
    sizes: np.ndarray
    correct: np.ndarray


def calibrate(
    nlp: Language,
    path: str | Path,
    *,
    name: str = "metaie",
    only: str | Path | None = None,
    labels: Any = None,
    spans_key: str | None = None,
    seed: int = 0,
    progress: bool = False,
) -> dict:
    """Make the score of a span the probability that it is exactly right, and find the least score to keep.

    Logits become `logit / temperature + bias` (Platt 1999, "Probabilistic outputs for support
    vector machines"; for networks Guo et al. 2017, arXiv 1706.04599), folded into the head's
    weights. On the half that is fitted to, each of several boundaries for tags is tried: the scale
    is fitted to the spans that it gives, and the least score chosen that gives the best F. To tag
    readily and to drop spans by their scores is better than to tag sparingly, which also trims
    words off right spans. Without a clear lead over the rules in use, those stay.

    nlp (Language): is changed in place; save it with `nlp.to_disk`. The component's `threshold`
        becomes None, that is, the one that its weights now carry.
    path (str | Path): an annotations file (JSONL), or a `.spacy` file. only (Path | None): a JSONL file whose ids
        choose the rows, such as distill's `dev.jsonl`. spans_key (str | None): the group of a `.spacy` file.
    labels: a closed set that is asked of every text, as `MetaIE.labels` takes it. It becomes the
        component's; labels without a threshold get one if they have at least 30 gold spans and
        clearly gain by it. None: every text is asked its own labels and those noted as absent.
    name (str): of the component. seed (int): chooses the half of the documents that is fitted to.
    RETURNS (dict): `temperature`, `bias`, `threshold`, `tag_threshold`, `labels` (thresholds of
        single labels), `texts`, `seed`; `before` and `after` on the half that was not fitted to: `threshold`, `p`,
        `r`, `f`, `spans` (predicted), `ece` (over 15 bins of equal mass), `brier`, `bins`. Where rows have links,
        `links`: what `calibrate_links` found on the calibrated spans, or None where they are too few.
    RAISES (ValueError): a bad row, no such component, or too few predicted spans.
    """
    pipe = active_pipe(nlp, name)
    closed = None if labels is None else parse_labels(labels)
    own = {label.name: label.threshold for label in closed or () if label.threshold is not None}
    old = rules_of(pipe, own)
    rows = read_annotations(path, only=only, spans_key=spans_key)
    texts = list(score_rows(nlp, rows, closed, old, name=name, progress=progress))
    fitted, held_out = split_documents(texts, seed)
    check_enough(fitted, held_out, old, path)
    new, scale = settle(fitted, old, [] if closed is None else [label.name for label in closed])
    if closed is not None:
        closed = plain(label._replace(threshold=new.labels.get(label.name)) for label in closed)
    pipe.calibrate(*scale, new.threshold, new.tag, labels=closed)
    linked = [row for row in rows if row.get("links")]
    links = {}
    if linked:
        pairs = [(row["text"], asked_of(row) if closed is None else closed) for row in linked]
        with noting(pipe):
            docs = list(pipe_with_labels(nlp, pairs, name=name))
        links = {"links": calibrate_links(pipe, linked, docs, seed=seed)}
    return {
        **scale._asdict(),
        "threshold": new.threshold,
        "tag_threshold": new.tag,
        "labels": new.labels,
        "texts": len(texts),
        "seed": seed,
        "before": measure(held_out, old, Scale()),
        "after": measure(held_out, new, scale),
        **links,
    }


def rules_of(pipe: Any, labels: dict[str, float]) -> Rules:
    """How a component chooses spans. labels (dict): least scores of labels that have their own."""
    return Rules(pipe.effective_threshold, pipe.model.shims[0].tag_threshold, labels, pipe.flat)


def fit_few(
    nlp: Language, rows: list[dict], labels: Any = None, *, least: int = FEW, name: str = "metaie"
) -> tuple[Scale, Rules] | None:
    """The scale that makes scores of spans probabilities, and rules that choose the same spans on scaled logits.

    For few rows, where a choice of thresholds would be chance. rows (list[dict]): that the weights have not seen.
    labels: asked of every text; None: its own and those noted as absent.
    least (int): spans that must be predicted.
    RETURNS (tuple | None): None where there are fewer, or all are right, or all wrong.
    """
    pipe = active_pipe(nlp, name)
    closed = None if labels is None else parse_labels(labels)
    rules = rules_of(pipe, {})
    cells = cells_of(list(score_rows(nlp, rows, closed, rules, name=name, progress=False)), rules)
    if len(cells.sizes) < least or cells.correct.all() or not cells.correct.any():
        return None
    scale = fit_scale(cells, prior=FEW)
    return scale, rules.move(scale)


def score_rows(
    nlp: Language, rows: list[dict], labels: tuple[Label, ...] | None, rules: Rules, *, name: str, progress: bool
) -> Iterator[Scored]:
    """Run the model once over every row; of its logits, labels are kept that some threshold lets through."""
    lowest = CANDIDATES[0] if min([rules.threshold, rules.tag, *rules.labels.values()]) >= CANDIDATES[0] else 0.0
    floor = np.log(lowest) - np.log1p(-lowest) if lowest else -np.inf
    names = None if labels is None else {label.name for label in labels if label.queries}
    pipe = nlp.get_pipe(name)
    bar = tqdm(total=len(rows), desc="calibrate", mininterval=5, disable=not progress)
    # A tok2vec that is shared has to run before; what follows the component has nothing to do here.
    with bar, nlp.select_pipes(disable=nlp.pipe_names[nlp.pipe_names.index(name) :]):
        stream = nlp.pipe(((make_doc(nlp, row["text"]), row) for row in rows), as_tuples=True)
        for batch in minibatch(stream, size=128):
            parts: list[list[Part]] = [[] for _ in batch]
            wanted = [own_labels(row) if labels is None else labels for _, row in batch]
            for i, asked, tokens, logits in pipe.score_labels([doc for doc, _ in batch], wanted):
                kept = np.flatnonzero(logits.max((0, 2)) > floor)
                kept_labels = [asked[u] for u in kept]
                parts[i].append(
                    Part(
                        [label.name for label in kept_labels],
                        tokens,
                        logits[:, kept],
                        pipe.generality(kept_labels, len(wanted[i])),
                    )
                )
            for (doc, row), own in zip(batch, parts):
                offsets = [(token.idx, token.idx + len(token)) for token in doc]
                yield Scored(document_of(row), known_of(row, names), offsets, own, [token.text for token in doc])
            bar.update(len(batch))


def own_labels(row: dict) -> tuple[Label, ...]:
    """The labels of a row's spans, and those noted as absent."""
    return parse_labels(asked_of(row))


def split_documents(texts: Sequence[Scored], seed: int) -> tuple[list[Scored], list[Scored]]:
    """Two halves; passages of one document stay together."""
    documents = sorted({text.document for text in texts})
    random.Random(seed).shuffle(documents)
    first = set(documents[: len(documents) // 2])
    return [text for text in texts if text.document in first], [text for text in texts if text.document not in first]


def predict(texts: Sequence[Scored], rules: Rules, scale: Scale = Scale()) -> Iterator[tuple[int, Answer, bool]]:
    """Text index, span, and whether it is exactly right, of the spans of which that is known."""
    for i, answer, correct in answers_of(texts, rules, scale):
        if correct is not None:
            yield i, answer, correct


def answers_of(
    texts: Sequence[Scored], rules: Rules, scale: Scale = Scale()
) -> Iterator[tuple[int, Answer, bool | None]]:
    """Text index, span, and whether it is exactly right; None: the annotation leaves that open."""
    factor, bias = np.float32(1 / scale.temperature), np.float32(scale.bias)
    for i, text in enumerate(texts):
        found: list[Answer] = []
        for names, tokens, logits, gives_way in text.parts:
            thresholds = np.array([rules.labels.get(name, rules.threshold) for name in names])
            spans = decode(
                logits * factor + bias,
                names,
                np.minimum(thresholds, rules.tag),
                tokens,
                least=thresholds,
                generality=gives_way,
            )
            found += tidied(text.words, spans) if text.words else spans
        for answer in flatten(found) if rules.flat else found:
            spot = text.offsets[answer.start][0], text.offsets[answer.end - 1][1], answer.label
            yield i, answer, spot in text.known.spans if text.known.decides(spot) else None


def check_enough(fitted: Sequence[Scored], held_out: Sequence[Scored], rules: Rules, path: str | Path) -> None:
    """RAISES (ValueError): one of the halves has too few predicted spans."""
    counts = [sum(1 for _ in predict(half, rules)) for half in (fitted, held_out)]
    if min(counts) < MIN_SPANS:
        raise ValueError(
            f"{path}: {counts[0]} spans were predicted in one half of the "
            f"{len(fitted) + len(held_out)} texts and {counts[1]} in the "
            f"other, at threshold {rules.threshold:.2f}; calibration needs at "
            f"least {MIN_SPANS} in each. Give more annotated "
            "texts, or set a lower threshold."
        )


def settle(texts: Sequence[Scored], old: Rules, names: Sequence[str]) -> tuple[Rules, Scale]:
    """The rules with the best F, and the scale that their scores are calibrated by.

    names (Sequence[str]): the closed label set; empty: an open one, in which no label has a threshold of its own.
    """
    often = Counter(label for text in texts for _, _, label in text.known.spans)
    often = [name for name in names if often[name] >= MIN_GOLD and name not in old.labels]
    kept = fit_scale(cells_of(texts, old))
    now = old.move(kept)
    tried = [(now, kept, count_right(texts, now, kept, [now.threshold], often, old)[0])]
    for tag in [old.tag, *CANDIDATES.tolist()]:
        every = Rules(tag, tag, {}, old.flat)
        cells = cells_of(texts, every)
        if len(cells.sizes) < MIN_SPANS:
            continue
        scale = fit_scale(cells)
        moved = every.move(scale)._replace(labels=old.move(scale).labels)
        cuts = LEAST[moved.tag <= LEAST]
        if len(cuts):
            counts = count_right(texts, moved, scale, cuts, often, old)
            best = int(fscores(counts.sum(2)).argmax())
            by_label = [clearly_best(counts[:, :, k], best) for k in range(len(often))]
            own = {name: float(cuts[c]) for name, c in zip(often, by_label) if c != best}
            rules = Rules(float(cuts[best]), moved.tag, {**old.move(scale).labels, **own}, old.flat)
            tried.append((rules, scale, np.stack([counts[c, :, k] for k, c in enumerate([*by_label, best])], 1)))
    rules, scale, _ = tried[clearly_best(np.stack([counts.sum(1) for _, _, counts in tried]), 0)]
    return rules, scale


def count_right(
    texts: Sequence[Scored], rules: Rules, scale: Scale, cuts: Sequence[float], often: Sequence[str], old: Rules
) -> np.ndarray:
    """Correct, predicted and gold spans of labels without a threshold of their own, if spans below a cut are dropped.

    RETURNS (ndarray): per cut, text and label, int32 (C, N, K + 1, 3); all but the K labels of `often` share the last
        column.
    """
    column = {name: k for k, name in enumerate(often)}
    counts = np.zeros((len(cuts), len(texts), len(often) + 1, 3), dtype="int32")
    for i, text in enumerate(texts):
        for _, _, label in text.known.spans:
            counts[:, i, column.get(label, -1), 2] += label not in old.labels
    found: dict[int, dict[Answer, bool | None]] = defaultdict(dict)
    for i, answer, correct in answers_of(texts, rules._replace(flat=False), scale):
        found[i][answer] = correct
    for i, answers in found.items():
        for kept_by, answer in survivors(list(answers), cuts, old.labels, flat=rules.flat):
            if answer.label not in old.labels and answers[answer] is not None:
                counts[kept_by, i, column.get(answer.label, -1), :2] += answers[answer], 1
    return counts


def survivors(
    answers: Sequence[Answer], cuts: Sequence[float], own: Collection[str], *, flat: bool
) -> Iterator[tuple[slice, Answer]]:
    """The answers of a text that stay, each with the cuts, in rising order, that let it stay.

    own (Collection[str]): labels with a threshold of their own, which no cut touches.
    """
    if not flat:
        yield from ((slice(0, int(np.searchsorted(cuts, answer.score, side="right"))), answer) for answer in answers)
        return
    for c, cut in enumerate(cuts):  # which of overlapping spans stays depends on which are dropped before
        for answer in flatten(answer for answer in answers if answer.label in own or answer.score >= cut):
            yield slice(c, c + 1), answer


def fscores(counts: np.ndarray) -> np.ndarray:
    """F of every choice, (C,), from correct, predicted and gold spans per choice and text, (C, N, 3)."""
    correct, predicted, gold = counts.sum(1).T
    return 2 * correct / np.maximum(1, predicted + gold)


def clearly_best(counts: np.ndarray, now: int) -> int:
    """The choice with the best F, if its lead over the choice `now` is more than chance, else `now`.

    counts (ndarray): correct, predicted and gold spans per choice and text, (C, N, 3).
    """
    f = fscores(counts)
    best = int(f.argmax())
    # F exceeds f[now] if, and only if, the sum of this over the texts exceeds 0.
    lead = 2.0 * (counts[best, :, 0] - counts[now, :, 0]) - f[now] * (counts[best, :, 1] - counts[now, :, 1])
    return best if lead.sum() > SURE * np.sqrt((lead**2).sum()) else now


def cells_of(texts: Sequence[Scored], rules: Rules) -> Cells:
    """The logits behind every predicted span."""
    by_name = [{name: (part, u) for part in text.parts for u, name in enumerate(part.names)} for text in texts]
    cells, correct = [], []
    for i, answer, is_correct in predict(texts, rules):
        part, u = by_name[i][answer.label]
        first, last = np.searchsorted(part.tokens, [answer.start, answer.end])
        cells.append(np.sort(part.logits[first:last, u].astype("float64"), axis=-1)[:, ::-1])
        correct.append(is_correct)
    return Cells(np.concatenate([np.zeros((0, 2)), *cells]), np.array([len(rows) for rows in cells]), np.array(correct))


def fit_scale(cells: Cells, prior: float = 1.0) -> Scale:
    """The scale of the least log loss of span scores, by Newton's method with Fisher's information.

    Targets are Platt's (1999, section 2.2), which keep the fit finite where all spans are right or
    wrong; a prior, worth about so many spans, holds the scale where nothing else does.
    """
    right = cells.correct.sum()
    targets = np.where(cells.correct, (right + 1) / (right + 2), 1 / (len(cells.correct) - right + 2))
    # Where scores are 0 or 1 to the last digit there is no slope to go down: from elsewhere there is.
    starts = [np.array([slope, 0.0]) for slope in (0.0, -1.0, -2.0, -3.0)]
    at = min(starts, key=lambda start: log_loss(cells, targets, start, prior)[0])  # log of 1 / temperature, and bias
    loss, gradient, information = log_loss(cells, targets, at, prior)
    for _ in range(100):
        step = np.linalg.solve(information + 1e-9 * np.eye(2), gradient)
        for _ in range(30):
            trial = np.clip(at - step, (-3, -20), (3, 20))
            result = log_loss(cells, targets, trial, prior)
            if result[0] < loss - 1e-12:
                break
            step = step / 2
        else:
            break
        at, (loss, gradient, information) = trial, result
    return Scale(float(np.exp(-at[0])), float(at[1]))


def log_loss(
    cells: Cells, targets: np.ndarray, at: np.ndarray, worth: float = 1.0
) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean loss of a scale (log of 1 / temperature, bias), its gradient (2,) and its information (2, 2)."""
    starts = cells.sizes.cumsum() - cells.sizes
    slope = np.exp(at[0])
    z = cells.logits * slope + at[1]
    peak = np.maximum(z[:, 0], 0)  # the chosen tag's logit is the larger one
    mass = np.exp(z - peak[:, None])
    chosen, other = (mass / (np.exp(-peak) + mass.sum(1))[:, None]).T
    by_logit = np.stack([chosen * (1 - chosen), -chosen * other], 1)
    slopes = np.stack([(by_logit * cells.logits).sum(1) * slope, by_logit.sum(1)], 1)
    scores = (np.add.reduceat(chosen, starts) / cells.sizes).clip(1e-9, 1 - 1e-9)
    slopes = np.add.reduceat(slopes, starts) / cells.sizes[:, None]
    n, prior = len(scores), worth * np.array([1.0, 0.01]) / len(scores)
    loss = -(targets * np.log(scores) + (1 - targets) * np.log(1 - scores)).mean() + (prior * at**2).sum() / 2
    weights = 1 / (scores * (1 - scores)) / n
    gradient = slopes.T @ ((scores - targets) * weights) + prior * at
    return float(loss), gradient, (slopes * weights[:, None]).T @ slopes + np.diag(prior)


def measure(texts: Sequence[Scored], rules: Rules, scale: Scale) -> dict:
    """Exact-match scores of the predicted spans, and how far their scores are from probabilities."""
    found = [(answer.score, correct) for _, answer, correct in predict(texts, rules, scale)]
    scores, correct = np.array(found, dtype="float64").T
    right = int(correct.sum())
    counts = PRF(right, len(found) - right, sum(len(text.known.spans) for text in texts) - right)
    bins = reliability(scores, correct)
    return {
        "threshold": rules.threshold,
        "p": counts.precision,
        "r": counts.recall,
        "f": counts.fscore,
        "spans": len(found),
        "ece": sum(b["spans"] * abs(b["score"] - b["correct"]) for b in bins) / len(found),
        "brier": float(((scores - correct) ** 2).mean()),
        "bins": bins,
    }


def reliability(scores: np.ndarray, correct: np.ndarray, bins: int = BINS) -> list[dict]:
    """Bins of equal mass, by rising score: number of spans, mean score, share of correct ones."""
    order = np.argsort(scores, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [
        {"spans": len(part), "score": float(scores[part].mean()), "correct": float(correct[part].mean())}
        for part in parts
    ]
