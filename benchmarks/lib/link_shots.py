"""Links after few-shot training: examples, training, and what is chosen on dev."""

from itertools import product
from pathlib import Path
from typing import Callable, Iterable, Mapping, NamedTuple, Sequence

import numpy as np
from spacy.language import Language

from benchmarks.lib.link_data import Schema, Text, gold_heads, read_texts
from benchmarks.lib.link_ways import Given, answers_at, in_characters
from metaie_spacy.data.known_links import Link
from metaie_spacy.fewshot import Settings, adapt
from metaie_spacy.linking import decode
from metaie_spacy.linking.follow import Wanted, Weighed, follow
from metaie_spacy.measure.asking import Asked, scorer_of
from metaie_spacy.measure.calibrate_links import CUTS, NAMES, fit
from metaie_spacy.measure.calibrate_links import Pairs as Weighing
from metaie_spacy.schema import parse_links

SHOTS = ("train.5shot.perlabel", "train.5shot")
TAGS = (0.15, 0.3, 0.5)  # boundaries for the tokens of free answers
PRIORS = (0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0)


# Of all datasets; between what was tried on the dev files of conll2004, ewt_srl and aste_restaurant14.
TRAINING = Settings(steps=60, lr=1e-4, link_scale=2.5, rehearsal=0.0, unanswered=100.0)


class Choices(NamedTuple):
    """What is chosen on dev: how links are weighed, and which of them are kept.

    tag (float): boundary of free answers. one_head (bool): whether a tail belongs to its best head alone.
    weights (dict): by the names of `decode.WEIGHTS`.
    """

    threshold: float
    tag: float
    one_head: bool
    weights: dict[str, float]


def shots_file(folder: Path) -> Path:
    """The dataset's few-shot file. RAISES (ValueError): it has none."""
    for name in SHOTS:
        if (folder / f"{name}.jsonl").exists():
            return folder / f"{name}.jsonl"
    raise ValueError(f"The dataset '{folder.name}' has no few-shot file: {' or '.join(SHOTS)}.jsonl.")


def shot_rows(folder: Path, schema: Schema) -> list[dict]:
    """The few-shot texts as annotation rows: each relation of the schema is asked of every gold head of its types.

    Options of the sentiment are asked of each aspect too; what answers them are its opinions of that sentiment.
    """
    return [shot_row(text, schema) for text in read_texts(folder, shots_file(folder).stem, 0)]


def shot_row(text: Text, schema: Schema) -> dict:
    spans = [span for span in sorted(text.spans) if span[2] in schema.labels]
    asked: dict[tuple, set] = {}  # head, name -> tails
    for relation in schema.relations:
        for head in gold_heads(text, relation):
            asked[head[:2], relation.name] = {
                tail for own, tail, name in text.links if own == head[:2] and name == relation.name
            }
    for place in {span[:2] for span in spans if span[2] in schema.signed}:
        for sign, wordings in schema.signs.items():
            tails = {tail for own, tail, name in text.triplets if own == place and name == sign}
            asked.update({(place, wording): tails for wording in wordings})
    return {
        "id": text.id,
        "text": text.text,
        "spans": [{"start": start, "end": end, "label": label} for start, end, label in spans],
        "links": [
            {"head": [*head], "label": name, "tails": [[*tail] for tail in sorted(tails)]}
            for (head, name), tails in sorted(asked.items())
        ],
    }


def train_on(nlp: Language, rows: Sequence[dict], schema: Schema, settings: Settings = TRAINING) -> None:
    """Train the component on the rows under the schema, labels and links together."""
    nlp.get_pipe("metaie").schema = schema.plain
    adapt(nlp, rows, settings=settings, progress=False)


class Pairs(NamedTuple):
    """All N pairs of some texts that may be links, in the order of texts and links.

    texts (list[int]): the text's number. links (list): link and head's label. parts (dict): what speaks for each, by
    the names of `decode.WEIGHTS`, (N,). tails (ndarray): the number of its text, tail and relation together, (N,).
    """

    texts: list[int]
    links: list[tuple[Link, str]]
    parts: dict[str, np.ndarray]
    tails: np.ndarray

    def scores(self, choices: Choices) -> np.ndarray:
        """The probability of each, (N,)."""
        return decode.probability(self.parts, choices.weights)

    def weighed(self, right: np.ndarray, gold: int) -> Weighing:
        """The same as `calibrate` takes them. right (ndarray): which are gold links, (N,). gold (int): of all texts."""
        columns = [np.ones(len(right)), *(self.parts[name] for name in NAMES[1:])]
        return Weighing(np.column_stack(columns), right, np.zeros(len(right)), gold)

    def kept(self, choices: Choices, scores: np.ndarray) -> np.ndarray:
        """Which of them are links, bool (N,); of equal heads of a tail the first one."""
        return (scores >= choices.threshold) & (self.best(scores) if choices.one_head else True)

    def best(self, scores: np.ndarray) -> np.ndarray:
        """Which of them are the best of their tail, bool (N,)."""
        order = np.lexsort((-scores, self.tails))
        first = np.zeros(len(scores), dtype=bool)
        first[order[np.flatnonzero(np.diff(self.tails[order], prepend=-1))]] = True
        return first

    def by_text(self, kept: np.ndarray, number: int) -> list[set[tuple[Link, str]]]:
        """The links that are kept, a set a text. number (int): how many texts there are."""
        found: list[set] = [set() for _ in range(number)]
        for i in np.flatnonzero(kept).tolist():
            found[self.texts[i]].add(self.links[i])
        return found


def pairs_of_weighed(found: Iterable[tuple[int, Link, str, Mapping[str, float]]]) -> Pairs:
    """Pairs from the number of the text, link, head's label and what speaks for it."""
    rows = sorted(found, key=lambda row: row[:3])
    numbers: dict[tuple, int] = {}
    tails = [numbers.setdefault((text, *link[1:]), len(numbers)) for text, link, *_ in rows]
    names = [name for name in decode.WEIGHTS if name != "bias"]
    parts = {name: np.array([row[3][name] for row in rows], dtype="float64") for name in names}
    return Pairs([row[0] for row in rows], [row[1:3] for row in rows], parts, np.array(tails, dtype="int64"))


def weigh(
    nlp: Language,
    texts: Sequence[Text],
    given: Sequence[Given],
    schema: Schema,
    setting: str,
    tag: float,
    ends: Sequence[Asked] | None = None,
) -> Pairs:
    """What speaks for each link about heads (and tails) that are given, at any score.

    tag (float): boundary for the tokens of free answers. ends (Sequence | None): the spans that were found, see
        `find_ends`, in place of given ones.
    """
    pipe = nlp.get_pipe("metaie")
    pipe.load()
    asked = parse_links({"links": schema.plain["links"]})
    if setting == "gold_heads":
        asked = asked._replace(relations=tuple(one._replace(tails=(), inverse=()) for one in asked.relations))
    if ends is None:
        docs = [nlp.make_doc(text.text) for text in texts]
        wanted = []
        for doc, own in zip(docs, given):
            places = {place for part in (own.heads, own.tails) for spans in part.values() for place in spans}
            wanted.append(Wanted(doc, answers_at(doc, places), list(schema.labels), asked))
    else:
        docs = [one.doc for one in ends]
        wanted = [Wanted(one.doc, one.answers, list(schema.labels), asked, None, one.weak) for one in ends]
    found = []
    for i in range(0, len(wanted), 128):
        weighed: list[Weighed] = []
        follow(wanted[i : i + 128], scorer_of(pipe), {"tag": tag}, weighed)
        for pair in weighed:
            doc = docs[i + pair.text]
            link = in_characters(doc, pair.head), in_characters(doc, pair.tail), pair.label
            parts = {**pair.parts, "tail": 0.0} if setting == "gold_heads" else pair.parts  # it may be a given head
            found.append((i + pair.text, link, pair.head.label, parts))
    return pairs_of_weighed(found)


def sign_odds(nlp: Language, texts: Sequence[Text], given: Sequence[Given], schema: Schema) -> list[dict]:
    """Head -> sentiment -> log-odds of its highest presence in the head or near it, a dict a text."""
    pipe = nlp.get_pipe("metaie")
    pipe.load()
    docs = [nlp.make_doc(text.text) for text in texts]
    places, heads = [], []
    for i, own in enumerate(given):
        for place in sorted({head[:2] for label in schema.signed for head in own.heads.get(label, ())}):
            span = docs[i].char_span(*place, alignment_mode="expand")
            places.append((i, place))
            heads.append((i, span.start, span.end))
    sign_of = {wording: sign for sign, wordings in schema.signs.items() for wording in wordings}
    found: list[dict] = [{} for _ in texts]
    for number, names, tokens, values in scorer_of(pipe)(docs, heads, [tuple(sign_of)] * len(heads)) if heads else ():
        i, place = places[number]
        peaks = decode.peak_near(decode.presence(np.asarray(values)), np.asarray(tokens), *heads[number][1:])
        own = found[i].setdefault(place, dict.fromkeys(schema.signs, -decode.SURE))
        for name, odds in zip(names, decode.log_odds(peaks).tolist()):
            own[sign_of[name]] = max(own[sign_of[name]], odds)
    return found


def likeliest(odds: Sequence[dict], priors: Mapping[str, float]) -> list[dict]:
    """Head -> sentiment, a dict a text. priors (Mapping): sentiment -> log-odds that are added."""
    return [{head: max(own, key=lambda sign: own[sign] + priors[sign]) for head, own in one.items()} for one in odds]


def choose_priors(odds: Sequence[dict], signs: Sequence[str], f_of: Callable[[list[dict]], float]) -> dict[str, float]:
    """The priors of the best F on dev; that of the first sentiment is 0. Few-shot texts have each as often.

    f_of (Callable): head -> sentiment of each text -> F.
    """
    tried = [dict(zip(signs, (0.0, *others))) for others in product(PRIORS, repeat=len(signs) - 1)]
    return max(tried, key=lambda priors: f_of(likeliest(odds, priors)))


def choose(
    weigh_at: Callable[[float], Pairs], right_of: Callable[[Pairs], np.ndarray], gold: int, schema: Schema, setting: str
) -> tuple[Choices, float]:
    """What gives the best F on dev, and that F.

    weigh_at (Callable): boundary of free answers -> pairs. right_of (Callable): which pairs are gold links, bool (N,).
    gold (int): how many links there are.
    """
    is_free = setting == "gold_heads" or not all(relation.tails for relation in schema.relations)
    best, best_f = Choices(decode.THRESHOLD, TAGS[0], False, dict(decode.WEIGHTS)), -1.0
    for tag in TAGS if is_free else TAGS[:1]:
        pairs = weigh_at(tag)
        right = right_of(pairs)
        weights = dict(zip(NAMES, fit(pairs.weighed(right, gold)).tolist()))
        scores = decode.probability(pairs.parts, weights)
        for one_head, threshold in product((False, True), CUTS.tolist()):
            choices = Choices(threshold, tag, one_head, weights)
            kept = pairs.kept(choices, scores)
            f = 2 * float((kept & right).sum()) / max(1, int(kept.sum()) + gold)
            if f > best_f:
                best, best_f = choices, f
    return best, best_f
