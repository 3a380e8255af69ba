"""Which exemplars a text is like: cosine of pooled states, through a projection that is trained by contrast.

As OrchestraLLM (arXiv 2311.09758, section 3.3) does with a sentence encoder; here the states are those that the small
model has made anyway, and the projection is one matrix.
"""

from typing import Sequence

import numpy as np

from .outcomes import Spots

KINDS = ("plain", "task", "expert", "both")
PAIRS = 10  # most and least similar texts of each, that are its positives and negatives
STEPS, RATE, WARMTH = 60, 1e-2, 0.1  # of the training: steps over all texts, learning rate, temperature
BLOCK = 1024  # texts that are compared with the pools at a time


def unit(states: np.ndarray, projection: np.ndarray | None) -> np.ndarray:
    """States (N, width) as rows of length 1, projected unless the projection is None; zeros stay zeros."""
    vectors = states if projection is None else states @ projection
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def nearest(vectors: np.ndarray, pool: np.ndarray, k: int) -> np.ndarray:
    """The k exemplars that are nearest to each text by cosine, the nearest first, int64 (N, min(k, P)).

    vectors, pool (ndarray): of length 1, (N, width) and (P, width).
    """
    k = min(k, len(pool))
    found = [np.zeros((0, k), dtype=np.int64)]
    for start in range(0, len(vectors), BLOCK):
        far = -(vectors[start : start + BLOCK] @ pool.T)
        near = np.argpartition(far, k - 1, axis=1)[:, :k] if k < far.shape[1] else np.tile(np.arange(k), (len(far), 1))
        order = np.argsort(np.take_along_axis(far, near, 1), axis=1, kind="stable")
        found.append(np.take_along_axis(near, order, 1))
    return np.concatenate(found)


def state_of(text: str, spots: Spots) -> tuple[frozenset, frozenset]:
    """A text's (label, span) pairs and its labels: what its neighbours should share."""
    return frozenset((label, text[start:end].lower()) for start, end, label in spots), frozenset(
        label for _, _, label in spots
    )


def task_similarity(states: Sequence[tuple[frozenset, frozenset]]) -> np.ndarray:
    """F1 of the (label, span) sets + F1 of the label sets - 1, in [-1, 1], (N, N)."""
    return sum(_f1_of_sets([state[part] for state in states]) for part in (0, 1)) - 1


def _f1_of_sets(sets: Sequence[frozenset]) -> np.ndarray:
    """F1 of every pair of sets; of two empty ones 1."""
    names = {item: at for at, item in enumerate(sorted(set().union(*sets)))}
    member = np.zeros((len(sets), len(names)), dtype=np.float32)
    for row, own in zip(member, sets):
        row[[names[item] for item in own]] = 1
    sizes = member.sum(1)
    both = sizes[:, None] + sizes[None]
    return np.where(both > 0, 2 * (member @ member.T) / np.maximum(both, 1), 1.0)


def train_projection(
    kind: str,
    states: np.ndarray,
    tasks: Sequence[tuple[frozenset, frozenset]],
    large: np.ndarray,
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> np.ndarray | None:
    """A projection under which exemplars that should be neighbours are.

    kind (str): "plain": none. "task": near are those with similar answers. "expert": near are the nearest that the same
        model answers right. "both": the union of those pairs.
    states (ndarray): of N exemplars, float32 (N, width). tasks (Sequence): `state_of` each. large (ndarray): whether it
        is in the large model's pool, bool (N,).
    RETURNS (ndarray | None): float32 (width, width).
    RAISES (ValueError): there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"There is no projection '{kind}', only {', '.join(KINDS)}.")
    if kind == "plain" or len(states) < 3:
        return None
    import torch

    near, far = _pairs(kind, unit(states, None), tasks, large)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        given = torch.from_numpy(unit(states, None))
        matrix = torch.eye(states.shape[1], requires_grad=True)
        optimizer = torch.optim.Adam([matrix], lr=RATE)
        positive, negative = torch.from_numpy(near), torch.from_numpy(far)
        for _ in range(steps):
            vectors = torch.nn.functional.normalize(given @ matrix, dim=1)
            cosine = vectors @ vectors.T / WARMTH
            push = torch.logsumexp(cosine.masked_fill(~(positive | negative), -torch.inf), 1)
            pull = (cosine * positive).sum(1) / positive.sum(1).clamp(min=1)
            loss = (push - pull)[positive.any(1)].mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return matrix.detach().numpy()


def _pairs(kind: str, vectors: np.ndarray, tasks: Sequence, large: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which exemplars should be near each and which far, bool (N, N) twice."""
    near, far = (np.zeros((len(vectors), len(vectors)), dtype=bool) for _ in range(2))
    cosine = vectors @ vectors.T
    if kind in ("task", "both"):
        similar = task_similarity(tasks) + 1e-3 * cosine  # of equally similar ones the nearer
        near |= _extreme(similar, np.ones_like(near))
        far |= _extreme(-similar, np.ones_like(near))
    if kind in ("expert", "both"):
        same = large[:, None] == large[None]
        near |= _extreme(cosine, same)
        far |= _extreme(-cosine, ~same)
    return near, far & ~near


def _extreme(values: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """The largest values of each row among the allowed ones, but for that of the row itself, bool (N, N)."""
    values = np.where(allowed & ~np.eye(len(values), dtype=bool), values, -np.inf)
    best = np.argsort(-values, axis=1, kind="stable")[:, :PAIRS]
    marks = np.zeros_like(allowed)
    np.put_along_axis(marks, best, True, axis=1)
    return marks & np.isfinite(values)
