"""The words of a text, which are what is selected: spans that end at their borders can be learned."""

import logging
from threading import Thread
from typing import Callable, Sequence

from ..data.items import blank_tokenizer

logger = logging.getLogger("metaie_spacy")
Tokenize = Callable[[str], Sequence[tuple[int, int]]]


class Words:
    """Tokens of a language, by a tokenizer that is loaded beside all else; until then the page tells words apart.

    lang (str): of the texts.
    """

    def __init__(self, lang: str = "en"):
        self.lang = lang
        self._tokenize: Tokenize | None = None

    def __call__(self, text: str) -> Sequence[tuple[int, int]] | None:
        """Places of the tokens of a text, in code points; None: it is not known yet."""
        return None if self._tokenize is None else self._tokenize(text)

    def load(self) -> None:
        """Begin to load the tokenizer."""
        Thread(target=self._load, name="metaie-words", daemon=True).start()

    def _load(self) -> None:
        try:
            self._tokenize = blank_tokenizer(self.lang)
        except Exception:
            logger.exception("There is no tokenizer of '%s'; words are told apart by their letters.", self.lang)
