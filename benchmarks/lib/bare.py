"""The encoder of a component's weights, as transformers has it."""

from typing import Any

from metaie_spacy.model.encoder import library_encoder


def save_bare(shim: Any, folder: str) -> None:
    """Write encoder and tokenizer, the weights in float16, as packages have them. shim (MetaIEShim): loaded."""
    encoder = library_encoder(shim.module.config)
    encoder.load_state_dict(shim.module.encoder.state_dict())
    encoder.half().save_pretrained(folder)
    shim.tokenizer.save_pretrained(folder)
