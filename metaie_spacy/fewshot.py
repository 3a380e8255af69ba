"""A few annotated texts -> a pipeline that knows their labels better (torch and spaCy)."""

import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Callable, Collection, Iterable, Iterator, Mapping, Sequence

import torch
from spacy.language import Language
from spacy.training import Example
from tqdm import tqdm

from .component import MetaIE
from .convert.annotations import read_annotations
from .data.documents import document_of
from .data.files import writing
from .data.items import Item, Question, asked_in_words, group_asked, group_unsure, rows_to_items, survey
from .data.known import as_unsure
from .data.questions import group_links
from .data.rows import asked_of, check_row, labels_of, longest_first, read_rows, row_id, spans_at, trimmed
from .data.tokens import offsets
from .linking.learned import links_of_rows
from .measure.calibrate import FEW, fit_few
from .measure.evaluate import evaluate_rows
from .model.adapters import Adapter, adapter_bytes, difference, hash_of, low_rank
from .model.defaults import CALIBRATED
from .model.pieces import label_sizes
from .model.windows import cut_items
from .pipelines import active_pipe
from .schema import Label, ask_names, parse_labels, parse_links, plain, same_label
from .train.batches import Batch
from .train.optim import check_weights, parameter_groups, tagging_loss
from .train.settings import ADAPTER_RANK
from .train.settings import FewShotSettings as Settings
from .train.shots import blend, descend, step_batches

MIN_EXAMPLES = 5  # fewer are not split for an estimate
MANY = 50  # spans that calibrate scores anew which were calibrated before
REHEARSED = 600  # rows of the corpus that are rehearsed at most


def adapt(
    nlp: Language,
    examples: str | Path | Iterable[dict | Example],
    labels: Any = None,
    *,
    settings: Settings = Settings(),
    open_labels: bool = False,
    corpus: str | Path | None = None,
    name: str = "metaie",
    data_key: str | None = None,
    progress: bool = True,
    on_step: Callable[[int], None] | None = None,
    at_steps: Collection[int] = (),
) -> Language:
    """Train the `metaie` component on a few annotated texts, in place; where that fails, it is as before.

    Every label is asked of every text (arXiv 2404.00457, section 4.2), so a text without a span of a
    label teaches where not to find it: annotate examples completely. Rows of the corpus are rehearsed
    beside the examples, so that other labels are not forgotten.

    nlp (Language): a pipeline with a `metaie` component. It keeps its settings, but for `labels`,
        and for the threshold, which becomes that of the new weights.
    examples: an annotations file (JSONL) or a `.spacy` file, or annotation rows, or spaCy examples with spans
        under the component's `spans_key`.
    labels: the closed label set, as `MetaIE.labels` takes it; None: the component's, if they cover
        those of the examples, else these.
    open_labels (bool): ask each text only its own labels and those it notes as absent, e.g. for
        questions about a relation that name its head; `labels` stay as they are.
    corpus (Path | None): annotation rows to rehearse; None: those that come with this package.
    name (str): of the component. progress (bool): show a progress bar.
    data_key (str | None): the group of a `.spacy` file, "ents" for entities; None: the only one that has spans.
    on_step (Callable | None): called with the number of each step in `at_steps`, after it; the
        pipeline answers with the averaged weights meanwhile.
    RETURNS (Language): `nlp`.
    RAISES (ValueError): no examples, a bad row, a label that is not among `labels`, no such
        component, or one that reads a shared tok2vec.
    """
    pipe = trainable(nlp, name)
    rows = read_examples(examples, pipe.spans_key, data_key)
    if open_labels:
        rows = [row for row in rows if asked_of(row)]  # nothing is asked of the others
    closed = None if open_labels else closed_set(rows, labels, pipe)
    pipe.load()
    shim = pipe.model.shims[0]
    shim.check_trainable()
    before = Snapshot(pipe)
    was_trained = shim.is_trained
    try:
        shim.uncalibrate()
        items = tokens_of(nlp, rows, "the examples")
        rehearsed = tokens_of(nlp, rehearsal_rows(corpus, settings.seed), "the corpus") if settings.rehearsal else []
        items, rehearsed = (cut_items(part, shim.pieces, shim.module.text_room) for part in (items, rehearsed))
        if not any(item.spans for item in items):
            raise ValueError(
                f"No span of the {len(rows)} examples begins and ends with a token. "
                "Check the offsets: characters, end exclusive."
            )
        own = {label for row in rows for label in asked_of(row)}
        if closed is not None:
            own = {query for label in closed for query in label.queries}
        relations = link_schema(rows, pipe)
        queries = {name: relation["query"] for name, relation in relations.items()}
        asked = pipe.links
        items = [item._replace(links=asked_in_words(item.links, queries) + asked_back(item, asked)) for item in items]
        asking = any(item.links for item in items)
        own |= {question.label for item in items for question in item.links}
        label_sizes(sorted(own), shim.pieces, shim.module.label_room)
        if asking:
            shim.add_links()
            pipe.links = pipe.links or relations
        if closed is not None:
            pipe.labels = plain(closed)
            close(shim.module.config.metaie, closed)
        pipe.threshold = None
        batches = step_batches(items, closed, rehearsed, shim.pieces, settings)
        bar = tqdm(total=settings.steps, desc="fewshot", unit="step", disable=not progress)
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            calls = dict.fromkeys(at_steps, on_step) if on_step else {}
            train(pipe, batches, settings, bar, calls, None if asking or not was_trained else before.options)
    except BaseException:
        before.restore()
        raise
    return nlp


def adapt_and_score(
    nlp: Language,
    examples: str | Path | Iterable[dict | Example],
    labels: Any = None,
    *,
    dev: str | Path | None = None,
    held_out: float = 0.2,
    settings: Settings = Settings(),
    open_labels: bool = False,
    name: str = "metaie",
    data_key: str | None = None,
    progress: bool = True,
    **kwargs: Any,
) -> dict[str, Any]:
    """`adapt`, with the scores before and after it on texts that it does not see.

    dev (Path | None): an annotations file to score on; None: a share of the examples is held out,
        an adaptation to the others is scored on it, and a second one to all examples is kept.
    held_out (float): that share; 0: nothing is scored. Other arguments: as `adapt`.
    RETURNS (dict): `examples`, their number; `before` and `after`, each as `evaluate` gives it, or None where nothing
        is scored, and then `why`. Where enough spans are found on the texts that are scored, the scores of the kept
        adaptation are calibrated on these, `calibrated` being the scale: the same spans are found.
    RAISES (ValueError): as `adapt`, and for a share that is not in [0, 1).
    """
    if not 0 <= held_out < 1:
        raise ValueError(f"held_out must be at least 0 and less than 1, not {held_out}.")
    pipe = trainable(nlp, name)
    rows = read_examples(examples, pipe.spans_key, data_key)
    closed = None if open_labels else plain(closed_set(rows, labels, pipe))
    kept, scored = (rows, read_annotations(dev, spans_key=data_key)) if dev else hold_out(rows, held_out, settings.seed)
    why = None if scored else nothing_held(rows, held_out)
    if dev and not any(row["spans"] for row in scored):
        kept, scored, why = rows, [], f"none of the {len(scored)} rows of {dev} has a span to find"
    options = {"settings": settings, "open_labels": open_labels, "name": name, "progress": progress, **kwargs}
    result: dict[str, Any] = {"examples": len(rows), "before": None, "after": None} | ({"why": why} if why else {})
    pipe.load()
    start, fitted = Snapshot(pipe), None
    try:
        if scored:
            result["before"] = evaluate_rows(nlp, scored, labels=closed, name=name, progress=progress)
            adapt(nlp, kept, closed, **options)
            result["after"] = evaluate_rows(nlp, scored, labels=closed, name=name, progress=progress)
            is_calibrated = "calibration" in pipe.model.shims[0].module.config.metaie
            fitted = fit_few(nlp, scored, closed, least=MANY if is_calibrated else FEW, name=name)
            if not dev:
                start.restore()
        if not scored or not dev:
            adapt(nlp, rows, closed, **options)
        if fitted is not None:
            scale, rules = fitted
            pipe.calibrate(*scale, rules.threshold, rules.tag)
            result["calibrated"] = scale._asdict()
    except BaseException:
        start.restore()
        raise
    return result


def make_adapter(
    nlp: Language,
    examples: str | Path | Iterable[dict | Example],
    output: str | Path,
    labels: Any = None,
    *,
    settings: Settings = Settings(rank=ADAPTER_RANK),
    name: str = "metaie",
    **kwargs: Any,
) -> dict[str, Any]:
    """`adapt_and_score`, of which the changes of the weights are written to a file; the pipeline stays as it is.

    output (Path): takes the adapter, of some MB, which `MetaIE.add_adapter` puts beside others. settings.rank must be
    above 0. Other arguments and RETURNS: as `adapt_and_score`.
    RAISES (ValueError): as `adapt_and_score`; or the examples have links, and the weights no head pass.
    """
    if not settings.rank:
        raise ValueError("An adapter needs a rank: set settings.rank, such as 16.")
    pipe = trainable(nlp, name)
    pipe.load()
    shim = pipe.model.shims[0]
    start, others = Snapshot(pipe), dict(shim.adapters)
    shim.adapters.clear()
    try:
        base = hash_of(shim.module)
        result = adapt_and_score(nlp, examples, labels, settings=settings, name=name, **kwargs)
        options = dict(shim.module.config.metaie)
        shim.uncalibrate()  # whoever reads the adapter calibrates by its options
        after = Snapshot(pipe).state
        schema = {"labels": pipe.label_data} | ({"links": pipe.links} if pipe.links else {})
        start.restore()
        shim.uncalibrate()
        changes = difference(shim.module.state_dict(), after, settings.rank)
        known = shim.label_counts.keys() - options.get("label_counts", {}).keys()
        kept = {key: options[key] for key in CALIBRATED if key in options}
        adapter = Adapter(base, *changes, kept, schema, sorted(known))
        with writing(output) as file:
            file.write(adapter_bytes(adapter))
    finally:
        start.restore()
        shim.adapters.update(others)
    return result


def hold_out(rows: Sequence[dict], share: float, seed: int) -> tuple[list[dict], list[dict]]:
    """Rows to learn from and rows to score on; every label keeps an example to learn from.

    Of the rows with spans and of those without, the same share is held out, at least one with spans: without one there
    is nothing to measure, and nothing is held out. Passages of one document, see `documents.document_of`, and equal
    texts stay together.
    """
    groups: dict[str, list[int]] = {}
    by_text = {row["text"]: document_of(row) for row in reversed(rows)}
    for i, row in enumerate(rows):
        groups.setdefault(by_text[row["text"]], []).append(i)
    left = Counter(label for row in rows for label in labels_of(row))
    held: set[int] = set()
    order = random.Random(seed).sample(sorted(groups), len(groups)) if share and len(rows) >= MIN_EXAMPLES else []
    for with_spans in (True, False):
        kind = [name for name in order if any(rows[i]["spans"] for i in groups[name]) is with_spans]
        wanted = share * sum(len(groups[name]) for name in kind) + len(held)
        for name in kind if with_spans or held else []:
            labels = Counter(label for i in groups[name] for label in labels_of(rows[i]))
            if len(held) < wanted and all(left[label] > n for label, n in labels.items()):
                left.subtract(labels)
                held.update(groups[name])
    return [row for i, row in enumerate(rows) if i not in held], [rows[i] for i in sorted(held)]


def nothing_held(rows: Sequence[dict], share: float) -> str:
    """Why `hold_out` has given nothing to score on."""
    if not share:
        return "no example was held out"
    if len(rows) < MIN_EXAMPLES:
        return f"{len(rows)} examples are too few to hold one out"
    return "no example with spans can be held out without taking the only one of a label"


def link_schema(rows: Sequence[dict], pipe: MetaIE) -> dict[str, dict]:
    """What the examples ask about their spans, in the wordings of the component where it asks that too.

    RETURNS (dict): relation -> "query", a list of wordings, and the rest as `links` of a schema takes it.
    """
    found = links_of_rows(rows)
    known = pipe.link_queries
    names = {link["label"] for row in rows for link in row.get("links", [])}
    for name in names:
        entry = found.get(name, {})
        found[name] = entry | {"query": list(known.get(name, [entry.get("query", name)]))}
    return found


def asked_back(item: Item, relations: Mapping[str, Mapping[str, Any]]) -> list[Question]:
    """The questions that ask answers for their heads, in the inverse wordings of the component's links.

    Every span of the labels of the tails is asked, so that the relation must have been asked of all heads of the text.
    """
    found = []
    for relation in parse_links({"links": relations}).relations:
        forth = [question for question in item.links if question.label == relation.name] if relation.inverse else []
        places = {span[:2] for span in item.spans if span[2] in relation.tails} if forth else set()
        for place in sorted(places):
            heads = longest_first((one.start, one.end, "") for one in forth if place in one.tails)
            tails = tuple((start, end) for start, end, _ in heads)
            found += [Question(*place, wording, tails) for wording in relation.inverse]
    return found


def close(options: dict, closed: Sequence[Label]) -> None:
    """Labels that were trained against each other need no rule about which gives way, see `schema.generality`."""
    learned = {same_label(query) for label in closed for query in label.queries}
    options["label_counts"] = {label: n for label, n in options.get("label_counts", {}).items() if label not in learned}


def trainable(nlp: Language, name: str) -> MetaIE:
    """RAISES (ValueError): the pipeline has no such component, or `adapt` cannot train it."""
    pipe = active_pipe(nlp, name)
    if pipe.model.has_ref("tok2vec"):
        raise ValueError(
            f"'{name}' reads a tok2vec that other components may share. Train it by: "
            "python -m spacy train configs/shared_transformer.cfg"
        )
    return pipe


def read_examples(
    examples: str | Path | Iterable[dict | Example], spans_key: str, data_key: str | None = None
) -> list[dict]:
    """Annotation rows, whatever form they come in.

    RAISES (ValueError): there are none, none has a span, or one is no annotation row.
    """
    rows: list[dict] = []
    if isinstance(examples, (str, Path)):
        rows = read_annotations(examples, spans_key=data_key)
    else:
        examples = list(examples)
        for number, example in enumerate(examples, 1):
            if isinstance(example, Example):
                if spans_key not in example.reference.spans:
                    continue  # never annotated; `survey` counts them
                example = _example_row(example, spans_key)
            try:
                check_row(example)
                row_id(example.get("id"))
            except (ValueError, TypeError) as error:
                raise ValueError(f"Example {number}: {error}") from None
            rows.append(trimmed({**example, "id": row_id(example.get("id")) or str(number)}))
        survey([example for example in examples if isinstance(example, Example)], spans_key)
    if not any(row["spans"] for row in rows):
        raise ValueError(
            f"None of the {len(rows)} examples has a span to learn. Give annotated texts: "
            f'{{"text", "spans": [{{"start", "end", "label"}}]}}.'
        )
    return rows


def _example_row(eg: Example, spans_key: str) -> dict:
    group, own = eg.reference.spans[spans_key], ask_names(eg.reference._.metaie_labels)
    spans = spans_at((span.start_char, span.end_char, span.label_) for span in group)
    given = group_asked(group)
    found = {span.label_ for span in group}
    row: dict = {
        "text": eg.reference.text,
        "spans": spans,
        "absent": [label for label in own or [] if label not in found],
    }
    spots = as_unsure(group_unsure(group))
    links = group_links(group)
    row |= {"links": links} if links else {}
    return row | ({} if given is None else {"asked": given}) | ({"unsure": spots} if spots else {})


def closed_set(rows: Sequence[dict], labels: Any, pipe: MetaIE) -> tuple[Label, ...]:
    """The labels to ask of every text. RAISES (ValueError): the examples have others."""
    found = sorted({label for row in rows for label in row.get("asked", labels_of(row))})
    if labels is None:
        labels = pipe.label_data if set(found) <= set(pipe.labels) else found
    closed = parse_labels(labels)
    unknown = sorted(set(found) - {label.name for label in closed})
    if unknown:
        raise ValueError(
            f"The examples have labels that are not among those to learn: {', '.join(map(repr, unknown[:5]))}. "
            "Add them to 'labels', or drop their spans."
        )
    return tuple(label._replace(threshold=None) for label in closed)


def tokens_of(nlp: Language, rows: Sequence[dict], source: str) -> list[Item]:
    return rows_to_items(rows, partial(offsets, nlp), source)


def rehearsal_rows(corpus: str | Path | None, seed: int) -> list[dict]:
    """Some rows of the corpus, the same for the same seed."""
    rows = list(read_rows(packaged_corpus() if corpus is None else corpus))
    return random.Random(seed).sample(rows, min(len(rows), REHEARSED))


def packaged_corpus() -> Path:
    """The annotated passages that come with this package: `assets/corpus.jsonl` of the repository.

    RAISES (ValueError): this installation lacks them.
    """
    places = [folder / "assets" / "corpus.jsonl" for folder in Path(__file__).parents[:2]]
    for path in places:
        if path.exists():
            return path
    raise ValueError(
        "This installation has no corpus to rehearse. Give annotation rows as 'corpus', or set rehearsal to 0."
    )


def train(
    pipe: MetaIE,
    batches: Iterator[list[Batch]],
    settings: Settings,
    bar: tqdm,
    calls: Mapping[int, Callable[[int], None]],
    kept: Mapping[str, Any] | None = None,
) -> None:
    """Train the component; its weights become the averaged ones.

    calls (Mapping): step -> what is called after it. kept (Mapping | None): options of weights that were good before,
        as `config.metaie` has them: the new weights stay between these and what was learned, `settings.blend` of the
        way (arXiv 2109.01903), and keep their calibration; None: they become what was learned.
    """
    shim = pipe.model.shims[0]
    module, words = shim.module, shim.module.encoder.embeddings.word_embeddings.weight

    def backward() -> float:
        losses = []
        for batch in next(batches):
            batch = batch.to(shim.device)
            loss = tagging_loss(module(batch.texts, batch.labels, batch.asked), batch, settings.o_weight)
            loss.backward()
            losses.append(loss.item())
        return losses[0]

    was_trained = words.requires_grad
    words.requires_grad_(False)  # half of the weights; a few texts say little about most words
    module.zero_grad(set_to_none=True)
    scales = settings.lr, settings.head_scale, settings.weight_decay, settings.link_scale, settings.rank_scale
    try:
        with low_rank(module, settings.rank):
            named = module.named_parameters() if kept is not None else ()
            start = {name: value.detach().clone() for name, value in named if value.requires_grad}
            for step, loss, average in descend(module, parameter_groups(module, *scales), backward, settings):
                bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
                bar.update()
                if step in calls:
                    options = dict(module.config.metaie)
                    with average.in_place(module):
                        if kept is not None:
                            blend(module, start, settings.blend)
                            calibrate_as(pipe, kept)
                        shim.forget()
                        calls[step](step)
                    module.config.metaie.clear()
                    module.config.metaie.update(options)
            average.copy_to(module)
            if kept is not None:
                blend(module, start, settings.blend)
        if kept is not None:
            calibrate_as(pipe, kept)
        check_weights(module)
    finally:
        bar.close()
        words.requires_grad_(was_trained)
        module.zero_grad(set_to_none=True)
        shim.forget()


def calibrate_as(pipe: MetaIE, options: Mapping[str, Any]) -> None:
    """Give weights without a calibration the one that `config.metaie` of others notes, if it does."""
    if "calibration" in options:
        scale = options["calibration"]
        shim = pipe.model.shims[0]
        shim.calibrate(scale["temperature"], scale["bias"], options["threshold"], options["tag_threshold"])
        shim.link_calibration = options.get("link_calibration")


class Snapshot:
    """All that an adaptation changes of a component, to go back to."""

    def __init__(self, pipe: MetaIE):
        module = pipe.model.shims[0].module
        self.pipe, self.labels, self.threshold = pipe, pipe.label_data, pipe.threshold
        self.options = dict(module.config.metaie)
        self.state = {key: value.detach().clone() for key, value in module.state_dict().items()}
        self.binds, self.links = module.binds, pipe.links

    def restore(self) -> None:
        shim = self.pipe.model.shims[0]
        if shim.module.binds and not self.binds:
            shim.module.links = None
        shim.module.load_state_dict(self.state)
        options = shim.module.config.metaie
        options.clear()
        options.update(self.options)
        self.pipe.labels, self.pipe.threshold, self.pipe.links = self.labels, self.threshold, self.links
        shim.forget()
