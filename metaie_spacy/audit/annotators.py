"""Whether a large language model may stand in for people: the alternative annotator test (arXiv 2501.10970) on spans.

For each person, text by text, it is asked whether the model agrees with the other people at least as well as this
person does. The person loses where the model's rate of being as good is above the person's by more than -epsilon:
H0 is that the model's advantage probability is at most the person's minus epsilon (section 3 of the paper).
"""

from pathlib import Path
from typing import Any, Sequence

import numpy as np

from ..curate.reviews import is_answer
from ..data.known import as_unsure, common_labels, common_spans, known_of, unsure_of
from ..data.rows import Row, asked_of, numbered_rows, spans_at
from ..measure.scores import exact_matches
from .testing import FALSE, corrected

LEAST = 3  # people, as the paper wants
FEW = 30  # texts of a person; with fewer the t-test does not hold
EPSILON = 0.2  # what a person's time is worth: 0.2 for experts, 0.15 for skilled people, 0.1 for a crowd
WINNING = 0.5  # winning rate from which the model may stand in
Spots = set[tuple[int, int, str]]


def read_answers(people: Sequence[str | Path], llm: str | Path) -> tuple[list[str], list[list[Row | None]]]:
    """The rows of people and of the model, put side by side by text.

    Rows of one file on one text become one, such as those of somebody who was asked for other labels in each: it has
    the labels and the spans of all, and what one leaves open stays open. Of a reviewer's answers the last one stands.
    RETURNS (tuple): names (files without their ending; the model's last), and of each its row for every text or None.
    RAISES (ValueError): fewer than three people, a bad row, rows of one file that contradict each other, or no text of
        three and the model.
    """
    if len(people) < LEAST:
        raise ValueError(
            f"The test compares a model with {LEAST} people or more, not with {len(people)}: one file of rows for each."
        )
    files = [*map(Path, people), Path(llm)]
    by_text = [_by_text(path) for path in files]
    texts = [text for text in by_text[-1] if sum(text in own for own in by_text[:-1]) >= 2]
    if not texts:
        raise ValueError(f"No text of '{llm}' was annotated by two of the people: give rows of the same texts.")
    return [path.stem for path in files], [[own.get(text) for text in texts] for own in by_text]


def _by_text(path: Path) -> dict[str, Row]:
    """The texts of a file, each with its row. RAISES (ValueError): rows of one text contradict each other."""
    found: dict[str, dict[int, Row]] = {}  # by text and number of the line
    for number, row in numbered_rows(path):
        own = found.setdefault(row["text"], {})
        if is_answer(row):
            for earlier in [line for line, one in own.items() if one.get("reviewer") == row["reviewer"]]:
                del own[earlier]
        own[number] = row
    return {text: _as_one(path, own) for text, own in found.items()}


def _as_one(path: Path, rows: dict[int, Row]) -> Row:
    """Rows of one text as one. rows (dict): by the numbers of their lines."""
    first = next(iter(rows.values()))
    if len(rows) == 1:
        return first
    known = {number: known_of(row) for number, row in rows.items()}
    by_label: dict[str, list[int]] = {}  # which rows were asked for it
    for number, row in rows.items():
        for label in asked_of(row):
            by_label.setdefault(label, []).append(number)
    spots = sorted({spot for one in known.values() for spot in one.spans})
    for spot in spots:
        says = {spot in known[number].spans: number for number in by_label[spot[2]] if known[number].decides(spot)}
        if len(says) == 2:
            one, other = sorted(says.values())
            raise ValueError(
                f"'{path}', lines {one} and {other}: rows of one text, which both were asked for {spot[2]!r}, and line "
                f"{says[True]} alone has the span {spot[0]}:{spot[1]}. Keep the row that is right; if two people gave "
                "them, give each a file of their own."
            )
    # What is open for all labels of a row is not so for those of another one.
    unsure = {
        (start, end, name)
        for row in rows.values()
        for start, end, label in unsure_of(row)
        for name in (asked_of(row) if label is None else [label])
    }
    rest = {name: value for name, value in first.items() if name not in ("absent", "links")}
    return {**rest, "spans": spans_at(spots), "asked": list(by_label), "unsure": as_unsure(sorted(unsure))}


def advantages(rows: Sequence[Sequence[Row | None]]) -> list[np.ndarray]:
    """For each person, text by text: whether the model agrees as well with the others, and whether the person does.

    Agreement is F of exact spans, of labels that all of them were asked, at places that none leaves open; its mean over
    the other people. Texts that only one other person annotated count as well.
    rows (Sequence): of the people and last of the model, each of N texts.
    RETURNS (list[ndarray]): float64 (texts of the person, 2): 1 where at least as good as the other side, else 0.
    """
    *people, llm = rows
    found = []
    for j, own in enumerate(people):
        pairs = []
        for i, row in enumerate(own):
            others = [person[i] for k, person in enumerate(people) if k != j and person[i] is not None]
            if row is not None and llm[i] is not None and others:
                agreed = _agreement(row, llm[i], others)
                if agreed is not None:
                    pairs.append((agreed[1] >= agreed[0], agreed[0] >= agreed[1]))
        found.append(np.array(pairs, dtype="float64").reshape(-1, 2))
    return found


def _agreement(person: Row, llm: Row, others: Sequence[Row]) -> tuple[float, float] | None:
    """Mean F of the person and of the model with the others; None: they were asked nothing in common."""
    known = [known_of(row) for row in (person, llm, *others)]
    if not common_labels(known):
        return None
    own, model, *rest = common_spans(known)
    return tuple(float(np.mean([_f(side, other) for other in rest])) for side in (own, model))  # type: ignore


def _f(one: Spots, other: Spots) -> float:
    return exact_matches([one], [other]).fscore if one or other else 1.0


def verdict(
    names: Sequence[str], found: Sequence[np.ndarray], *, epsilon: float = EPSILON, q: float = FALSE
) -> dict[str, Any]:
    """The test itself, from what `advantages` gives.

    names (Sequence[str]): of the people. epsilon (float): see `EPSILON`. q (float): false discovery rate
        (Benjamini and Yekutieli 2001).
    RETURNS (dict): "winning_rate" (of people whom the model beats), "advantage" (mean probability that the model is at
        least as good), "passes", "epsilon", "people": "name", "texts", "model" and "person" (probabilities to be as
        good), "p", "p_corrected", "is_beaten".
    """
    people = []
    for name, pairs in zip(names, found):
        entry: dict[str, Any] = {"name": name, "texts": len(pairs), "p": None}
        if len(pairs):
            entry |= dict(zip(("model", "person"), map(float, pairs.mean(0))))
            entry["p"] = float(_p_of(pairs[:, 1] - pairs[:, 0], epsilon))
        people.append(entry)
    corrected(people)
    for person in people:
        person.pop("is_found", None)
        person["is_beaten"] = bool(person.get("p_corrected", 1.0) <= q)
    rate = float(np.mean([person["is_beaten"] for person in people]))
    told = [person["model"] for person in people if person["texts"]]
    return {
        "winning_rate": rate,
        "advantage": float(np.mean(told)) if told else 0.0,
        "passes": rate >= WINNING,
        "epsilon": epsilon,
        "few_texts": min((person["texts"] for person in people), default=0) < FEW,
        "people": people,
    }


def power_table(
    found: Sequence[np.ndarray],
    *,
    epsilon: float = EPSILON,
    sizes: Sequence[int] = (30, 50, 100, 200),
    advantages: Sequence[float] = (-0.2, -0.1, 0.0, 0.1, 0.2),
    draws: int = 400,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """How often the test passes, by simulation: numbers of texts against what the model is better by.

    Differences of text by text are drawn as -1, 0 and 1, with as many ties as were seen, people independent of each
    other. `advantage` is the model's minus the person's probability to be at least as good; at -epsilon or below the
    test should pass in 5 % of the draws at most.
    RETURNS (list): "advantage", "texts", "passes" (share of the draws).
    """
    rng = np.random.default_rng(seed)
    seen = np.concatenate(list(found)) if sum(map(len, found)) else np.zeros((0, 2))
    ties = float((seen[:, 0] == seen[:, 1]).mean()) if len(seen) else 0.3
    n_people = max(LEAST, len(found))
    table = []
    for advantage in sorted({-epsilon, *advantages}):
        room = max(1 - ties, abs(advantage))
        shares = [(room + advantage) / 2, 1 - room, (room - advantage) / 2]  # model better, tie, person better
        for size in sizes:
            drawn = simulated(rng, shares, (draws, n_people, size))
            table.append({"advantage": advantage, "texts": size, "passes": float(passing(drawn, epsilon).mean())})
    return table


def simulated(rng: np.random.Generator, shares: Sequence[float], shape: Sequence[int]) -> np.ndarray:
    """Made-up differences of person to model. shares: of texts where the model is better, both are as good, the person
    is better. shape (Sequence): draws, people, texts."""
    return rng.choice([-1.0, 0.0, 1.0], size=shape, p=np.clip(shares, 0, 1))


def passing(differences: np.ndarray, epsilon: float, q: float = FALSE) -> np.ndarray:
    """Whether the model passes in each draw, bool (draws,). differences (ndarray): (draws, people, texts)."""
    from scipy.stats import false_discovery_control

    beaten = false_discovery_control(_p_of(differences, epsilon), axis=-1, method="by") <= q
    return beaten.mean(-1) >= WINNING


def _p_of(differences: np.ndarray, epsilon: float) -> np.ndarray:
    """p of H0, that the person is better by epsilon or more on average, by a one-sided t-test over the last axis; of a
    single text, which tells nothing, 1."""
    from scipy.stats import ttest_1samp

    if differences.shape[-1] < 2:
        return np.ones(differences.shape[:-1])
    is_same = np.ptp(differences, axis=-1) == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        p = ttest_1samp(differences, epsilon, axis=-1, alternative="less").pvalue
    return np.where(is_same, differences[..., 0] >= epsilon, p)
