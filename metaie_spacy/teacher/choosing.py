"""Which texts to annotate next, where no earlier generation and no annotation is there to choose by."""

from collections import defaultdict
from typing import Any, Iterable, NamedTuple, Sequence

import numpy as np
from spacy.language import Language

from ..notes import noting, states_of, take_note
from ..pipelines import active_pipe
from ..streams import pipe_with_labels

STRATEGIES = ("random", "density", "doubt", "cluster", "mixed")
DEFAULT = "doubt"  # ahead of chance on both families of labels: benchmarks/quality/active.py
WIDTH = 64  # dimensions of texts that are compared by their words
NEAR = 10  # neighbours whose distance is the width of the density's kernel


class Read(NamedTuple):
    """N texts as a student reads them: states, float (N, width), and the scores of each label's spans in each text,
    those below their threshold too."""

    states: np.ndarray
    scores: list[dict[str, list[float]]]


def choose(
    rows: Iterable[dict],
    nlp: Language,
    labels: Sequence[str] | dict,
    count: int,
    strategy: str = DEFAULT,
    *,
    name: str = "metaie",
    seed: int = 0,
) -> list[dict]:
    """Texts of a pool that are worth annotating.

    rows (Iterable[dict]): texts `{"id", "text", "meta"?}`. labels: asked of every text.
    strategy (str): "density": drawn against their density in the space of the student's states, or of words where it
        has none, so that rare kinds of text come as often as frequent ones (arXiv 2402.09668); "doubt": most spans that
        may be wrong or missed, each label counting alike; "cluster": the text nearest to the middle of each of `count`
        clusters; "mixed": of each cluster the text with the most doubt; "random": by chance.
    RETURNS (list[dict]): rows, the first chosen first; `meta["chosen"]` is the strategy.
    RAISES (ValueError): there is no such strategy.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"There is no strategy '{strategy}', only {', '.join(STRATEGIES)}.")
    rows = sorted(rows, key=lambda row: str(row["id"]))
    rng = np.random.default_rng(seed)
    count = min(count, len(rows))
    if strategy == "random" or not count:
        order = rng.permutation(len(rows))[:count].tolist()
    else:
        order = picks(read(nlp, [row["text"] for row in rows], labels, name=name), count, strategy, rng)
    kept = [{key: rows[i][key] for key in ("id", "text", "source", "meta") if key in rows[i]} for i in order]
    return [row | {"meta": {**row.get("meta", {}), "chosen": strategy}} for row in kept]


def picks(student: Read, count: int, strategy: str, rng: np.random.Generator) -> list[int]:
    """Numbers of the chosen texts."""
    if strategy == "doubt":
        return np.argsort(-doubts(student.scores), kind="stable")[:count].tolist()
    states = _unit(student.states)
    if strategy == "density":
        rarity = 1 / densities(states)
        return rng.choice(len(states), size=count, replace=False, p=rarity / rarity.sum()).tolist()
    groups, distances = clusters(states, count, int(rng.integers(2**31)))
    worth = doubts(student.scores) if strategy == "mixed" else -distances
    best = {group: i for i in np.argsort(worth, kind="stable") for group in [int(groups[i])]}
    chosen = sorted(best.values(), key=lambda i: (-worth[i], i))
    rest = [i for i in np.argsort(-worth, kind="stable").tolist() if i not in set(chosen)]
    return [int(i) for i in [*chosen, *rest][:count]]


def read(nlp: Language, texts: Sequence[str], labels: Any, *, name: str = "metaie") -> Read:
    """What a student makes of texts. Where its weights give no states (texts see labels, or there is no head pass),
    `states` are made of the words of the texts."""
    pipe = active_pipe(nlp, name)
    notes, scores = [], []
    with noting(pipe):
        for doc in pipe_with_labels(nlp, [(text, labels) for text in texts], name=name):
            note, group = take_note(doc, name), doc.spans[pipe.spans_key]
            found: dict[str, list[float]] = defaultdict(list)
            for label, score in zip((s.label_ for s in group), group.attrs["scores"].tolist()):
                found[label].append(float(score))
            for answer in note.dropped:
                found[answer.label].append(answer.score)
            notes.append(note)
            scores.append(dict(found))
    states = states_of(notes)
    return Read(_words(texts) if states is None else states, scores)


def _words(texts: Sequence[str]) -> np.ndarray:
    """What texts are compared by where weights give no states: their words and pairs of words, weighed by rarity and
    brought to few dimensions (latent semantic analysis, Deerwester et al. 1990)."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\w+|[^\w\s]").fit_transform(
        texts
    )
    width = min(WIDTH, min(vectors.shape) - 1)
    if width < 2:
        return vectors.toarray()
    return TruncatedSVD(width, random_state=0).fit_transform(vectors)


def doubts(scores: Sequence[dict[str, list[float]]]) -> np.ndarray:
    """Expected errors of each text if scores are probabilities, every label divided by its mean over the pool, (N,).

    A span with score p is wrong with 1 - p if it is kept, and missed with p if it is not: min(p, 1 - p) at 0.5.
    """
    total: dict[str, float] = defaultdict(float)
    own = [{label: sum(min(p, 1 - p) for p in found) for label, found in text.items()} for text in scores]
    for text in own:
        for label, value in text.items():
            total[label] += value
    return np.array([sum(value / total[label] for label, value in text.items() if total[label]) for text in own])


def densities(states: np.ndarray) -> np.ndarray:
    """Density at each text by a Gaussian kernel, up to a factor, float64 (N,). Its width is the median distance to the
    tenth neighbour."""
    from sklearn.neighbors import KernelDensity, NearestNeighbors

    k = min(NEAR, len(states) - 1)
    if k < 1:
        return np.ones(len(states))
    far = NearestNeighbors(n_neighbors=k + 1).fit(states).kneighbors(states)[0][:, -1]
    logs = KernelDensity(bandwidth=max(1e-6, float(np.median(far)))).fit(states).score_samples(states)
    return np.exp(logs - logs.max()).clip(1e-12)


def clusters(states: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cluster of each text, int (N,), and its distance to the middle, (N,)."""
    from sklearn.cluster import KMeans

    fitted = KMeans(n_clusters=count, n_init=1, random_state=seed).fit(states)
    distances = np.linalg.norm(states - fitted.cluster_centers_[fitted.labels_], axis=1)
    return fitted.labels_, distances


def _unit(states: np.ndarray) -> np.ndarray:
    sizes = np.linalg.norm(states, axis=1, keepdims=True)
    return states / np.where(sizes == 0, 1, sizes)
