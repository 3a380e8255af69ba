"""Links asked in words, for weights that cannot be asked about one span: "employer of Ada Lovelace" is a label then."""

from typing import Any, Iterator, Mapping, Sequence

from spacy.tokens import Doc
from thinc.api import Model

from ..spans import Logits
from .follow import Scorer

Part = tuple[int, int, int]  # number of a doc, first token, end token (exclusive)
# The calibration of such links, see `decode.WEIGHTS`: fitted to 400 rows with links; "inverse" by hand. The distance
# says what the question does not, and the probabilities are low: the threshold is where F was best.
IN_WORDS: Mapping[str, float] = {
    "bias": 1.05,
    "head": 0.1,
    "answer": 0.5,
    "inverse": 0.3,
    "distance": -0.7,
    "tail": 0.15,
    "other_relation": 0.0,
    "other_head": 0.0,
    "threshold": 0.15,
}
BLOCK = 96  # tokens; about what the default window holds
MOST_BYTES = 200  # of a head's text in a question: no more pieces, whatever the tokenizer


def scorer_of(pipe: Any, kept: Any = None) -> Scorer:
    """What asks heads: the weights' own way if they have one, else questions in words.

    pipe: the component, with its weights. kept (Kept | None): states of docs that were read already.
    """
    model = pipe.model
    if model.shims[0].binds:
        return lambda docs, heads, queries: model.attrs["score_links"](model, docs, heads, queries, kept)
    return lambda docs, heads, queries: score_in_words(model, docs, heads, queries)


def calibration_of(pipe: Any) -> Mapping[str, float] | None:
    """What its links are weighed by: the weights' own calibration, else that of questions in words; None: neither."""
    shim = pipe.model.shims[0]
    return shim.link_calibration or (None if shim.binds else IN_WORDS)


def score_in_words(
    model: Model, docs: Sequence[Doc], heads: Sequence[tuple[int, int, int]], queries: Sequence[tuple[str, ...]]
) -> Iterator[Logits]:
    """As the model's "score_links", with one label "{query} of {text of the head}" for each question.

    Names inside a label bind weakly: of several heads in a sentence, the wrong one is answered for about as often as
    the right one. Heads of the same text share their questions, and their answers. In a text of more than 288 tokens a
    head is asked of those near it only, some 96 to 192 on each side.

    heads (Sequence): number of the doc, first token, end token (exclusive). queries (Sequence): of each head.
    YIELDS (Logits): with the number of the head as their text; a head comes once per chunk of its queries.
    """
    asked: dict[Part, dict[str, list[tuple[int, str]]]] = {}
    in_parts = "tok2vec" not in model.ref_names  # vectors of other components are those of whole docs
    for number, ((doc, start, end), own) in enumerate(zip(heads, queries)):
        questions = asked.setdefault((doc, *_around(docs[doc], start, end, in_parts)), {})
        name = _shortened(docs[doc][start:end].text)
        for query in own:
            questions.setdefault(f"{query} of {name}", []).append((number, query))
    parts = list(asked)
    texts = [docs[i] if (start, end) == (0, len(docs[i])) else docs[i][start:end].as_doc() for i, start, end in parts]
    for i, chunk, tokens, values in model.attrs["score"](model, texts, [tuple(asked[part]) for part in parts]):
        columns: dict[int, list[tuple[int, str]]] = {}
        for u, label in enumerate(chunk):
            for number, query in asked[parts[i]][label]:
                columns.setdefault(number, []).append((u, query))
        places = [parts[i][1] + token for token in tokens]
        for number, own in columns.items():
            yield Logits(number, [query for _, query in own], places, values[:, [u for u, _ in own]])


def _around(doc: Doc, start: int, end: int, in_parts: bool) -> tuple[int, int]:
    """The tokens that a head is asked of: all, or in a long text those of its block and of the two beside it."""
    if not in_parts or len(doc) <= 3 * BLOCK:
        return 0, len(doc)
    return max(0, start // BLOCK - 1) * BLOCK, min(len(doc), ((end - 1) // BLOCK + 2) * BLOCK)


def _shortened(text: str) -> str:
    """On one line, and of a text that is too long its beginning."""
    return " ".join(text.encode("utf8")[:MOST_BYTES].decode("utf8", "ignore").split())
