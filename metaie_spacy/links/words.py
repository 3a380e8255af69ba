"""Links asked in words, for weights that cannot be asked about one span: "employer of Ada Lovelace" is a label then."""

from typing import Iterator, Sequence

from spacy.tokens import Doc
from thinc.api import Model

from ..spans import Logits

MOST_BYTES = 200  # of a head's text in a question: no more pieces, whatever the tokenizer


def score_in_words(
    model: Model, docs: Sequence[Doc], heads: Sequence[tuple[int, int, int]], queries: Sequence[tuple[str, ...]]
) -> Iterator[Logits]:
    """As the model's "score_links", with one label "{query} of {text of the head}" for each question.

    Names inside a label bind weakly: of several heads in a sentence, the wrong one is answered for about as often as
    the right one. Heads of the same text share their questions, and their answers.

    heads (Sequence): number of the doc, first token, end token (exclusive). queries (Sequence): of each head.
    YIELDS (Logits): with the number of the head as their text; a head comes once per chunk of its queries.
    """
    asked: dict[int, dict[str, list[tuple[int, str]]]] = {}
    for number, ((doc, start, end), own) in enumerate(zip(heads, queries)):
        name = _shortened(docs[doc][start:end].text)
        questions = asked.setdefault(doc, {})
        for query in own:
            questions.setdefault(f"{query} of {name}", []).append((number, query))
    with_heads = list(asked)
    scored = model.attrs["score"](model, [docs[i] for i in with_heads], [tuple(asked[i]) for i in with_heads])
    for i, chunk, tokens, values in scored:
        questions, columns = asked[with_heads[i]], {}
        for u, label in enumerate(chunk):
            for number, query in questions[label]:
                columns.setdefault(number, []).append((u, query))
        for number, own in columns.items():
            yield Logits(number, [query for _, query in own], tokens, values[:, [u for u, _ in own]])


def _shortened(text: str) -> str:
    """On one line, and of a text that is too long its beginning."""
    return " ".join(text.encode("utf8")[:MOST_BYTES].decode("utf8", "ignore").split())
