"""Links: what is asked of spans that were found, and what becomes of it.

`metaie_spacy.links(doc)` is a function in the public face, and this package bears the same name: so that the order of
imports does not decide which of the two is met, the package can be called.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Links(ModuleType):
    def __call__(self, doc: Any, key: str = "metaie") -> list:
        return import_module(f"{__name__}.results").links(doc, key)


sys.modules[__name__].__class__ = _Links
