"""The encoder of a component's weights, as transformers has it."""

from typing import Any

from transformers import AutoModel


def save_bare(shim: Any, folder: str) -> None:
    """Write encoder and tokenizer, the weights in float16, as packages have them. shim (MetaIEShim): loaded."""
    pooler = {} if shim.module.config.model_type == "electra" else {"add_pooling_layer": False}
    encoder = AutoModel.from_config(shim.module.config, **pooler)
    encoder.load_state_dict(shim.module.encoder.state_dict())
    encoder.half().save_pretrained(folder)
    shim.tokenizer.save_pretrained(folder)
