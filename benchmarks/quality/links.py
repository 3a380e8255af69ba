"""Links on public benchmarks: by a rule, by questions in words, and by the component's links. One JSON file a cell.

    python benchmarks/quality/links.py --data DIR [--model NAME] [--way rule] [--dataset conll2004] [--texts 200]
    python benchmarks/quality/links.py --rows FILE --way words          # annotation rows with links, such as held-out ones

Exact match of head, label and tail (of events the trigger's type too; of opinions also with the sentiment, as triplets),
micro, with 95 % bootstrap intervals over texts. A cell that is there already, of the same weights, data, schema and
settings, is not run again. What is asked stands in links.yml, for all ways the same.

rule: what needs no question about a head: the nearest tail of each head, the nearest head of each tail, or all pairs of
the types; the best of them on dev. Where tails are free they are the spans that the model finds of the tail's labels,
or of the relation's own wording; the sentiment is the most frequent one of dev.
words: "{query} of {head}", asked as a label. What the score is made of (support on the tail, the inverse question,
distance), whether a tail goes to its best head alone, and the threshold are chosen on dev for every cell, so that nothing more can be had from words.
links: the component's own links at its own threshold, end to end as users ask it, labels and links in one call; nothing is chosen on dev. Relations are asked in the wordings
that links.yml has under "about", too: the names that such relations have in the rows that links were trained on.
shots: the same after `fewshot.adapt` on the dataset's 5-shot file, labels and links together: each relation is asked of every
gold head of its types, its inverse of every tail, and each sentiment of every aspect, answered by the opinions of that sentiment.
The training is the same for all datasets, without rehearsal, as in quality.py. Adapted weights have no calibration of links: what a
link's score is made of is fitted on dev for every cell as `calibrate` fits it; the threshold, the boundary of free answers, one_head,
and what is added to the log-odds of each sentiment (the few-shot file has each as often) are chosen there too.
"""

import argparse
import hashlib
import json
import sys
import time
import warnings
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Callable, Iterable, NamedTuple, Sequence

import numpy as np
import spacy
import srsly

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.link_data import (
    Relation,
    Schema,
    Text,
    gold_of,
    known,
    read_row_texts,
    read_schema,
    read_texts,
)
from benchmarks.lib.link_shots import (
    TRAINING,
    Choices,
    Pairs,
    choose,
    choose_priors,
    likeliest,
    shot_rows,
    shots_file,
    sign_odds,
    train_on,
    weigh,
)
from benchmarks.lib.link_ways import (
    RULES,
    SETTINGS,
    Given,
    Knobs,
    Scored,
    ask_links,
    ask_words,
    by_rule,
    find_ends,
    find_spans,
    given_of,
    head_supports,
    kept_by,
    knobs_to_try,
    links_of_texts,
    nearest_of_same,
    plain_answers,
    signs_in_words,
)
from benchmarks.lib.paths import RESULTS
from benchmarks.lib.provenance import write_result
from metaie_spacy.data.known_links import KnownLinks, Link
from metaie_spacy.measure.links import choices_of, head_choice, link_scores, triplets_of
from metaie_spacy.model.weights import find_source
from metaie_spacy.pipelines import load_student

DATASETS = ("conll2004", "ade", "aste_restaurant14", "aste_laptop14", "casie", "ewt_srl")
EVENTS = ("casie",)
WAYS = ("rule", "words", "links", "shots")
CHOICE = "head_choice"
Labelled = set[tuple[Link, str]]  # links, each with its head's label


class Split(NamedTuple):
    """Texts of one split, with what the model finds of the schema's labels and of the relations' own wordings."""

    texts: list[Text]
    spans: list
    answers: list


class Bench:
    """One dataset under one model."""

    def __init__(self, nlp: spacy.Language, folder: Path, split: str, number: int):
        self.nlp, self.name, self.schema = nlp, folder.name, read_schema(folder.name)
        self.about = read_schema(folder.name, about=True)
        self.is_event = self.name in EVENTS
        self._ends: dict[int, list] = {}  # of a split, by identity
        self.test, self.dev = (self._read(folder, part, number) for part in (split, "dev"))

    def _read(self, folder: Path, split: str, number: int) -> Split:
        texts = read_texts(folder, split, number)
        free = [relation for relation in self.schema.relations if not relation.tails]
        return Split(
            texts,
            find_spans(self.nlp, texts, self.schema.labels),
            plain_answers(self.nlp, texts, free) if free else [{} for _ in texts],
        )

    @property
    def settings(self) -> list[str]:
        has_tails = all(relation.tails for relation in self.schema.relations)
        return [setting for setting in SETTINGS if has_tails or setting != "gold_spans"]

    def run(self, way: str, setting: str) -> dict:
        if setting == CHOICE:
            return self.choice(way)
        return {"rule": self.rule, "words": self.words, "links": self.links, "shots": self.shots}[way](setting)

    def f(self, texts: Sequence[Text], found: Sequence[Labelled]) -> float:
        return self.scores(texts, found)["f"]

    def scores(self, texts: Sequence[Text], found: Sequence[Labelled]) -> dict:
        gold = [gold_of(text, is_event=self.is_event) for text in texts]
        return link_scores(gold, [plain_links(own, self.is_event) for own in found])

    def triplets(self, texts: Sequence[Text], found: Sequence[Labelled], signs: Sequence[dict]) -> dict:
        own = [triplets_of(plain_links(links, False), by) for links, by in zip(found, signs)]
        return link_scores([set(text.triplets) for text in texts], own)

    def majority(self, split: Split) -> list[dict]:
        """The most frequent sentiment of dev, for every aspect that may come up."""
        often = Counter(sign for text in self.dev.texts for _, _, sign in text.triplets).most_common(1)[0][0]
        return [{place[:2]: often for place in (*text.spans, *spans)} for text, spans in zip(split.texts, split.spans)]

    def finish(self, setting: str, found: Sequence[Labelled], more: dict, signs: Sequence[dict] | None) -> dict:
        texts = self.test.texts
        result = packed(self.scores(texts, found)) | more
        if self.schema.signs and signs is not None:
            result["triplets"] = packed(self.triplets(texts, found, signs))
        if setting == "end_to_end":
            gold = [{span for span in text.spans if span[2] in self.schema.labels} for text in texts]
            result["heads_and_tails"] = packed(link_scores(gold, [set(spans) for spans in self.test.spans]))
        return result

    # Rules

    def rule(self, setting: str) -> dict:
        dev, test = (self.by_rules(split, setting) for split in (self.dev, self.test))
        figures = {name: self.f(self.dev.texts, found) for name, found in dev.items()}
        best = max(figures, key=lambda name: figures[name])
        more = {"rule": best, "rules": {name: self.f(self.test.texts, found) for name, found in test.items()}}
        return self.finish(setting, test[best], more, self.majority(self.test) if self.schema.signs else None)

    def by_rules(self, split: Split, setting: str) -> dict[str, list[Labelled]]:
        relations, given = self.rule_parts(split, setting)
        return {name: [by_rule(own, relations, name) for own in given] for name in RULES}

    def rule_parts(self, split: Split, setting: str) -> tuple[list[Relation], list[Given]]:
        """Free tails are spans that are found about no head."""
        given = given_of(split.texts, split.spans, self.schema, setting)
        ends = given_of(split.texts, split.spans, self.schema, "end_to_end")
        tails = [own.tails or found.tails for own, found in zip(given, ends)]
        given = [Given(g.heads, t | answers) for g, t, answers in zip(given, tails, split.answers)]
        return [r if r.tails else r._replace(tails=(r.name,)) for r in self.schema.relations], given

    # Questions in words

    def words(self, setting: str) -> dict:
        relations = self.schema.relations
        given = {split: self.given(split, setting) for split in ("dev", "test")}
        asked = {s: ask_words(self.nlp, getattr(self, s).texts, given[s], relations) for s in ("dev", "test")}
        knobs = self.best_knobs(self.dev.texts, asked["dev"], setting)
        found = {split: [kept_by(own, knobs) for own in asked[split]] for split in ("dev", "test")}
        same = [nearest_of_same(own, g, relations) for own, g in zip(found["test"], given["test"])]
        more = {"knobs": knobs._asdict(), "nearest_of_same": packed(self.scores(self.test.texts, same))}
        signs, how = self.signs(given, found) if self.schema.signs else (None, {})
        return self.finish(setting, found["test"], more | how, signs)

    def given(self, split: str, setting: str) -> list[Given]:
        part = getattr(self, split)
        return given_of(part.texts, part.spans, self.schema, setting)

    def best_knobs(self, texts: Sequence[Text], asked: Sequence[list], setting: str) -> Knobs:
        tried = knobs_to_try(self.schema.relations, setting)
        return max(tried, key=lambda knobs: self.quick_f(texts, [kept_by(own, knobs) for own in asked]))

    def quick_f(self, texts: Sequence[Text], found: Sequence[Labelled]) -> float:
        """F without its interval."""
        pairs = [
            (gold_of(text, is_event=self.is_event), plain_links(own, self.is_event)) for text, own in zip(texts, found)
        ]
        return 2 * sum(len(g & p) for g, p in pairs) / max(1, sum(len(g) + len(p) for g, p in pairs))

    def signs(self, given: dict[str, list[Given]], found: dict[str, list]) -> tuple[list[dict], dict]:
        """Of test, by questions in words or the most frequent one: what is better on dev."""
        ways: dict[str, dict[str, list[dict]]] = {}
        for split in ("dev", "test"):
            part = getattr(self, split)
            heads = [[head for spans in own.heads.values() for head in spans] for own in given[split]]
            asked = signs_in_words(self.nlp, part.texts, heads, self.schema.signs)
            ways[split] = {"question": asked, "most frequent": self.majority(part)}
        figures = {way: self.triplets(self.dev.texts, found["dev"], signs)["f"] for way, signs in ways["dev"].items()}
        best = max(figures, key=lambda way: figures[way])
        every = {way: self.triplets(self.test.texts, found["test"], own)["f"] for way, own in ways["test"].items()}
        return ways["test"][best], {"sentiment": best, "sentiments": every}

    # Links

    def links(self, setting: str) -> dict:
        if setting == "end_to_end":
            found, signs, given, facts = links_of_texts(self.nlp, self.test.texts, self.about)
        else:
            given = self.given("test", setting)
            found, signs, facts = ask_links(self.nlp, self.test.texts, given, self.about, setting)
        same = [nearest_of_same(own, g, self.schema.relations) for own, g in zip(found, given)]
        more = facts | {"nearest_of_same": packed(self.scores(self.test.texts, same))}
        return self.finish(setting, found, more, signs if self.schema.signs else None)

    def shots(self, setting: str) -> dict:
        """The component's links, weighed and kept as is best on dev."""
        gold = [gold_of(text, is_event=self.is_event) for text in self.dev.texts]

        def right(pairs: Pairs) -> np.ndarray:
            links = [plain_links([pair], self.is_event) for pair in pairs.links]
            return np.array([link <= gold[i] for i, link in zip(pairs.texts, links)], dtype=bool)

        dev, given = (self.given(split, setting) for split in ("dev", "test"))
        choices, dev_f = choose(
            lambda tag: self.weighed_by(self.dev, dev, setting, tag),
            right,
            sum(map(len, gold)),
            self.schema,
            setting,
        )
        found = self.weighed(self.test, given, setting, choices)
        same = [nearest_of_same(own, g, self.schema.relations) for own, g in zip(found, given)]
        signs, priors = self.weighed_signs(dev, given, setting, choices) if self.schema.signs else (None, {})
        more = priors | {
            "choices": choices._asdict(),
            "dev_f": dev_f,
            "nearest_of_same": packed(self.scores(self.test.texts, same)),
        }
        return self.finish(setting, found, more, signs)

    def weighed_by(self, split: Split, given: list[Given], setting: str, tag: float) -> Pairs:
        """The pairs that may be links; from the text alone those of weak spans too, as the component has them."""
        ends = None
        if setting == "end_to_end":
            if id(split) not in self._ends:
                self._ends[id(split)] = find_ends(self.nlp, split.texts, self.schema)
            ends = self._ends[id(split)]
        return weigh(self.nlp, split.texts, given, self.schema, setting, tag, ends)

    def weighed(self, split: Split, given: list[Given], setting: str, choices: Choices) -> list[Labelled]:
        pairs = self.weighed_by(split, given, setting, choices.tag)
        return pairs.by_text(pairs.kept(choices, pairs.scores(choices)), len(split.texts))

    def weighed_signs(
        self, dev: list[Given], test: list[Given], setting: str, choices: Choices
    ) -> tuple[list[dict], dict]:
        """The sentiment of each aspect, under the priors that are best on dev."""
        pairs = [plain_links(own, False) for own in self.weighed(self.dev, dev, setting, choices)]

        def f(signs: Sequence[dict]) -> float:
            found = [triplets_of(own, by) for own, by in zip(pairs, signs)]
            right = sum(len(own & text.triplets) for own, text in zip(found, self.dev.texts))
            return 2 * right / max(1, sum(map(len, found)) + sum(len(text.triplets) for text in self.dev.texts))

        priors = choose_priors(sign_odds(self.nlp, self.dev.texts, dev, self.schema), list(self.schema.signs), f)
        return likeliest(sign_odds(self.nlp, self.test.texts, test, self.schema), priors), {"priors": priors}

    def choice(self, way: str) -> dict:
        schema = self.about if way == "links" else self.schema
        return choice_of(self.nlp, self.test.texts, [schema] * len(self.test.texts), way)


def choice_of(nlp: spacy.Language, texts: Sequence[Text], schemas: Sequence[Schema], way: str) -> dict:
    """How often the right head is chosen, see `metaie_spacy.measure.links.head_choice`."""
    cases = [
        (i, *case) for i, (text, schema) in enumerate(zip(texts, schemas)) for case in choices_of(known(text, schema))
    ]
    return head_choice(head_supports(nlp, texts, schemas, cases, way)) | {"texts": len(texts)}


def plain_links(found: Iterable[tuple[Link, str]], is_event: bool) -> set[Link]:
    """is_event (bool): the head carries its type."""
    return {((*head, kind), tail, label) if is_event else (head, tail, label) for (head, tail, label), kind in found}


def packed(scores: dict) -> dict:
    """Counts of every text in short."""
    counts = {name: " ".join(str(row[i]) for row in scores["counts"]) for i, name in enumerate(("tp", "fp", "fn"))}
    return scores | {"counts": counts}


class RowBench:
    """Annotation rows with links: their own heads, and the relations that each row asks."""

    settings = ["gold_heads"]

    def __init__(self, nlp: spacy.Language, path: Path, number: int):
        self.nlp, self.name = nlp, path.stem
        self.texts, self.schemas = read_row_texts(path, number)

    def run(self, way: str, setting: str) -> dict:
        if setting == CHOICE:
            return choice_of(self.nlp, self.texts, self.schemas, way)
        given = [Given({label: [s for s in text.spans if s[2] == label] for label in schema.labels}, {})
                 for text, schema in zip(self.texts, self.schemas)]  # fmt: skip
        if way == "links":
            found, more = self.by_links(given, setting)
        else:
            found, more = self.by_words(given, setting)
        knowns = [known(text, schema) for text, schema in zip(self.texts, self.schemas)]
        own = [k.counted(plain_links(links, False)) for k, links in zip(knowns, found)]
        result = packed(link_scores([k.links for k in knowns], own)) | more
        same = [nearest_of_same(f, g, s.relations) for f, g, s in zip(found, given, self.schemas)]
        own = [k.counted(plain_links(links, False)) for k, links in zip(knowns, same)]
        return result | {"nearest_of_same": packed(link_scores([k.links for k in knowns], own))}

    def by_links(self, given: list[Given], setting: str) -> tuple[list, dict]:
        found, facts = [], {}
        for text, own, schema in zip(self.texts, given, self.schemas):
            links, _, facts = ask_links(self.nlp, [text], [own], schema, setting)
            found += links
        return found, facts

    def by_words(self, given: list[Given], setting: str) -> tuple[list, dict]:
        """What is kept of each half of the rows is chosen on the other half."""
        asked = [
            candidates
            for text, own, schema in zip(self.texts, given, self.schemas)
            for candidates in ask_words(self.nlp, [text], [own], schema.relations)
        ]
        gold = [known(text, schema) for text, schema in zip(self.texts, self.schemas)]
        found: list = [None] * len(asked)
        chosen = []
        for half in (0, 1):
            own, others = range(half, len(asked), 2), range(1 - half, len(asked), 2)
            f = partial(_f_of_rows, [gold[i] for i in others], [asked[i] for i in others])
            knobs = max(knobs_to_try((), setting), key=f)
            chosen.append(knobs._asdict())
            for i in own:
                found[i] = kept_by(asked[i], knobs)
        return found, {"knobs": chosen}


def _f_of_rows(gold: Sequence[KnownLinks], asked: Sequence[list[Scored]], knobs: Knobs) -> float:
    pairs = [(g.links, g.counted(plain_links(kept_by(own, knobs), False))) for g, own in zip(gold, asked)]
    return 2 * sum(len(g & p) for g, p in pairs) / max(1, sum(len(g) + len(p) for g, p in pairs))


def fingerprint(model: str, files: Sequence[Path], schema: dict | None, facts: dict) -> str:
    """What a cell stands on: weights, data, schema and settings."""
    digest = hashlib.sha256(json.dumps([schema, facts], sort_keys=True).encode())
    source = find_source(model)
    for path in [*sorted(p for p in source.rglob("*") if p.is_file()), *files]:
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def after_shots(args: argparse.Namespace, folder: Path) -> Bench:
    """The bench of weights that were trained on the dataset's few-shot file."""
    schema, nlp = read_schema(folder.name), load_student(args.model)
    start = time.monotonic()
    train_on(nlp, shot_rows(folder, schema), schema)
    print(f"{folder.name:18} trained in {time.monotonic() - start:.0f} s", flush=True)
    return Bench(nlp, folder, args.split, args.texts)


def run_cells(
    make: Callable[[], Bench | RowBench], name: str, settings: Sequence[str], ways: Sequence[str], args: argparse.Namespace,
    files: Sequence[Path], schema: dict | None,
) -> None:  # fmt: skip
    """The cells of one dataset that are not there yet. The bench is made when the first of them is due."""
    bench = None
    for way in ways:
        for setting in settings:
            facts = {"dataset": name, "way": way, "setting": setting, "split": args.split, "first": args.texts}
            facts |= {"training": asdict(TRAINING)} if way == "shots" else {}
            if way == "links" and schema is not None:
                asked = read_schema(name, about=True)
                facts["queries"] = {relation.name: relation.queries for relation in asked.relations}
                facts |= {"options": asked.signs} if asked.signs else {}
            path = args.output / f"{cell_name(find_source(args.model).name, facts)}.json"
            key = fingerprint(args.model, files, schema, facts)
            if not args.again and path.exists() and srsly.read_json(path).get("fingerprint") == key:
                continue
            bench = bench or make()
            result = bench.run(way, setting)
            about = {"weights": args.about} if args.about else {}
            facts |= about | {"fingerprint": key} | result | {"texts": len(texts_of(bench))}
            write_result(path, facts, args.model, files)
            print(f"{name:18} {way:6} {setting:12} {summary(result)}", flush=True)


def texts_of(bench: Bench | RowBench) -> list[Text]:
    return bench.texts if isinstance(bench, RowBench) else bench.test.texts


def cell_name(model: str, facts: dict) -> str:
    """The name of a cell's file; the model goes by its package without the version."""
    parts = [facts["way"], model.split("-")[0], facts["dataset"], facts["setting"]]
    parts += [] if facts["split"] == "test" else [facts["split"]]
    return "__".join([*parts, f"first{facts['first']}" if facts["first"] else "all"])


def summary(result: dict) -> str:
    if "share" in result:
        return f"right head {result['share']:.1%} of {result['cases']} (chance {result['chance']:.1%})"
    shown = (
        f"P {result['p']:.1%} R {result['r']:.1%} F {result['f']:.1%} [{result['f_low']:.1%}, {result['f_high']:.1%}]"
    )
    more = [f"triplets {result['triplets']['f']:.1%}"] if "triplets" in result else []
    more += [f"same answers, nearest head {result['nearest_of_same']['f']:.1%}"] if "nearest_of_same" in result else []
    more += [f"{result[key]}" for key in ("rule", "knobs", "choices") if key in result]
    return "  ".join([shown, *more])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the datasets")
    parser.add_argument("--rows", type=Path, help="annotation rows with links instead of the datasets")
    parser.add_argument("--model", default="en_metaie_sm", help="package or directory")
    parser.add_argument("--about", help="what the weights are, where they are in no package; it goes into the results")
    parser.add_argument("--dataset", action="append", choices=DATASETS, help="without it all")
    parser.add_argument("--way", action="append", choices=WAYS, help="without it all but shots, which trains")
    parser.add_argument("--setting", action="append", choices=[*SETTINGS, CHOICE], help="without it all")
    parser.add_argument("--split", default="test", choices=("test", "dev"))
    parser.add_argument("--texts", type=int, default=200, help="texts of the split, drawn by seed 0; 0: all")
    parser.add_argument("--again", action="store_true", help="run cells that are there already, too")
    parser.add_argument("--output", type=Path, default=RESULTS / "links")
    args = parser.parse_args()
    if not args.data and not args.rows:
        parser.error("give --data, --rows or both")
    warnings.filterwarnings("ignore", module="metaie_spacy")
    nlp = load_student(args.model)
    ways = args.way or [way for way in WAYS if way != "shots"]

    def wanted(settings: Iterable[str]) -> list[str]:
        return [setting for setting in settings if not args.setting or setting in args.setting]

    if args.rows:
        settings = wanted([*RowBench.settings, CHOICE])
        for way in [way for way in ways if way != "shots"]:
            own = settings if way != "rule" else [s for s in settings if s == CHOICE]
            run_cells(lambda: RowBench(nlp, args.rows, args.texts), args.rows.stem, own, [way], args, [args.rows], None)
    for name in (args.dataset or DATASETS) if args.data else ():
        folder = args.data / name
        schema = read_schema(name)
        has_tails = all(relation.tails for relation in schema.relations)
        settings = [s for s in SETTINGS if has_tails or s != "gold_spans"] + ([CHOICE] if name == "conll2004" else [])
        files = [folder / f"{part}.jsonl" for part in dict.fromkeys((args.split, "dev"))]
        make = partial(Bench, nlp, folder, args.split, args.texts)
        run_cells(make, name, wanted(settings), [way for way in ways if way != "shots"], args, files, schema.plain)
        if "shots" in ways:
            files.append(shots_file(folder))
            run_cells(partial(after_shots, args, folder), name, wanted(settings), ["shots"], args, files, schema.plain)


if __name__ == "__main__":
    main()
