"""`config.json` of saved weights: which keys count, what they may hold, and that the tensors bear them out."""

import functools
import re
from typing import Any, Callable, Mapping, NamedTuple

from transformers import CONFIG_MAPPING, PretrainedConfig

from ..data.jsonl import parse_json
from .damage import shown
from .defaults import LINK_PARTS
from .encoder import FAMILIES, POSITION_OFFSET
from .links import N_BUCKETS

MOST_BYTES = 8 * 2**20  # of config.json; label_counts are most of it, 40 kB in the packaged model
MOST_COUNTS = 200_000  # labels in label_counts
LEAST_WINDOW = 8  # pieces: of fewer no text and label fit
ARCHITECTURES = ("LabelToSpan", "CrossEncoder", "SharedTransformer")
ACTIVATIONS = (
    "gelu gelu_new gelu_fast gelu_python gelu_10 gelu_accurate gelu_pytorch_tanh quick_gelu relu relu6 silu swish tanh "
    "mish"
).split()


class Rule(NamedTuple):
    """What a value must be. holds (Callable): whether it is. wanted (str): in words."""

    holds: Callable[[Any], bool]
    wanted: str


def whole(low: int, high: int) -> Rule:
    return Rule(lambda value: type(value) is int and low <= value <= high, f"a whole number from {low} to {high}")


def number(low: float, high: float) -> Rule:
    return Rule(lambda value: type(value) in (int, float) and low <= value <= high, f"a number from {low} to {high}")


def one_of(*values: Any) -> Rule:
    return Rule(
        lambda value: any(type(value) is type(one) and value == one for one in values),
        f"one of {', '.join(map(str, values))}",
    )


def or_none(rule: Rule) -> Rule:
    return Rule(lambda value: value is None or rule.holds(value), f"{rule.wanted}, or null")


def _is_calibration(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"temperature", "bias"}
        and number(1e-6, 1e6).holds(value["temperature"])
        and number(-1e6, 1e6).holds(value["bias"])
    )


def _is_link_calibration(value: Any) -> bool:
    rules = dict.fromkeys(LINK_PARTS, number(-1e6, 1e6)) | dict.fromkeys(("threshold", "tag"), number(0, 1))
    return (
        isinstance(value, dict) and value.keys() <= rules.keys() and all(rules[key].holds(value[key]) for key in value)
    )


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= MOST_COUNTS and all(map(whole(0, 2**53).holds, value.values()))


# What of an encoder's config our modules use. Sizes are checked against the tensors besides.
CONFIG = {
    "model_type": one_of(*FAMILIES),
    "vocab_size": whole(1, 2**22),
    "hidden_size": whole(1, 2**14),
    "embedding_size": whole(1, 2**14),
    "num_hidden_layers": whole(1, 256),
    "num_attention_heads": whole(1, 256),
    "intermediate_size": whole(1, 2**17),
    "max_position_embeddings": whole(LEAST_WINDOW, 2**17),
    "type_vocab_size": whole(1, 2**10),
    "hidden_act": one_of(*ACTIVATIONS),
    "hidden_dropout_prob": number(0, 1),
    "attention_probs_dropout_prob": number(0, 1),
    "layer_norm_eps": number(0, 1),
    "initializer_range": number(0, 10),
    "position_embedding_type": one_of("absolute"),
    "pad_token_id": or_none(whole(0, 2**22)),
    "bos_token_id": or_none(whole(0, 2**22)),
    "eos_token_id": or_none(whole(0, 2**22)),
    "transformers_version": or_none(
        Rule(lambda value: isinstance(value, str) and bool(re.fullmatch(r"[\w.+-]{1,40}", value)), "a version")
    ),
}
# What of `config.metaie`.
OPTIONS = {
    "architecture": one_of(*ARCHITECTURES),
    "text_sees_labels": one_of(True, False),
    "head_inner": whole(1, 2**16),
    "head_width": whole(1, 2**16),
    "token_width": whole(1, 2**16),
    "dropout": number(0, 1),
    "cls_id": whole(0, 2**22),
    "sep_id": whole(0, 2**22),
    "threshold": number(0, 1),
    "tag_threshold": number(0, 1),
    "calibration": Rule(_is_calibration, "a temperature above 0 and a bias"),
    "link_layer": whole(0, 255),
    "link_calibration": Rule(
        _is_link_calibration, f"numbers by the names {', '.join(LINK_PARTS)}, and threshold and tag from 0 to 1"
    ),
    "label_counts": Rule(_are_counts, f"up to {MOST_COUNTS:,} labels with whole numbers"),
}
ALWAYS = ("architecture", "head_inner", "dropout", "cls_id", "sep_id")
# Written by transformers or found in published encoders, without effect on ours: nothing to warn of.
SILENT = set(
    "_attn_implementation_autoset adapters directionality dtype embedding_size encoder_width gradient_checkpointing "
    "language metaie model_name name output_past pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers "
    "pooler_size_per_head pooler_type summary_activation summary_first_dropout summary_last_dropout "
    "summary_proj_to_labels summary_type summary_use_proj num_labels is_training use_return_dict".split()
)
# The same, of transformers 4, which version 5 no longer knows: most are settings of text generation.
SILENT |= set(
    "bad_words_ids begin_suppress_tokens cross_attention_hidden_size decoder_start_token_id diversity_penalty "
    "do_sample early_stopping encoder_no_repeat_ngram_size exponential_decay_length_penalty finetuning_task "
    "forced_bos_token_id forced_eos_token_id length_penalty max_length min_length no_repeat_ngram_size "
    "num_beam_groups num_beams num_return_sequences output_scores prefix pruned_heads remove_invalid_values "
    "repetition_penalty return_dict_in_generate sep_token_id suppress_tokens task_specific_params temperature "
    "tf_legacy_loss tie_encoder_decoder tie_word_embeddings tokenizer_class top_k top_p torch_dtype torchscript "
    "typical_p use_bfloat16".split()
)


class SavedConfig(NamedTuple):
    """A config that was read. ignored (list[str]): keys of the file that have no effect and should not be there."""

    config: PretrainedConfig
    ignored: list[str]


def parse_config(content: bytes) -> SavedConfig:
    """The config of saved weights, read as data: of its keys only those in CONFIG and OPTIONS are looked at.

    content (bytes): of `config.json`.
    RAISES (ValueError): it is of no supported family, not ours, or has a value that cannot be.
    """
    values = parse_json(content)
    if not isinstance(values, dict) or not isinstance(values.get("metaie"), dict):
        raise ValueError("config.json does not describe a metaie model")
    family = values.get("model_type")
    if family not in FAMILIES:
        raise ValueError(f"the encoder is of type {shown(repr(family))}; supported are {', '.join(FAMILIES)}")
    clean, unknown = allowed(values, CONFIG, "")
    options, strange = allowed(values["metaie"], OPTIONS, "metaie.")
    lacking = [key for key in ALWAYS if key not in options]
    if options.get("architecture") == "CrossEncoder":
        options.pop("link_layer", None)
    else:
        lacking += [key for key in ("head_width", "text_sees_labels") if key not in options]
    if lacking:
        raise ValueError(f"config.json lacks metaie.{lacking[0]}")
    if family != "electra":
        clean.pop("embedding_size", None)
    config = CONFIG_MAPPING[family].from_dict(clean)
    config.metaie = options
    _check_ids(config)
    return SavedConfig(config, [key for key in unknown if key not in _harmless(family)] + strange)


@functools.cache
def _harmless(family: str) -> set[str]:
    """Keys of a config that say nothing to us."""
    return SILENT | CONFIG_MAPPING[family]().to_dict().keys()


def allowed(values: Mapping[str, Any], rules: Mapping[str, Rule], place: str) -> tuple[dict, list[str]]:
    """The values that rules are for, and the names of the others. RAISES (ValueError): one breaks its rule."""
    for key, rule in rules.items():
        if key in values and not rule.holds(values[key]):
            raise ValueError(f"config.json: {place}{key} is {shown(repr(values[key]))}, not {rule.wanted}")
    return {key: values[key] for key in rules if key in values}, [place + key for key in values if key not in rules]


def _check_ids(config: PretrainedConfig) -> None:
    """RAISES (ValueError): an id has no row in the embeddings, or the window has no room."""
    ids = {"pad_token_id": config.pad_token_id} | {key: config.metaie[key] for key in ("cls_id", "sep_id")}
    for key, value in ids.items():
        if value is not None and value >= config.vocab_size:
            raise ValueError(f"config.json: {key} is {value}, but there are {config.vocab_size} pieces")
    offset = 0
    if config.model_type in POSITION_OFFSET:
        if config.pad_token_id is None:
            raise ValueError("config.json: pad_token_id is null, from which the positions are counted")
        offset = config.pad_token_id + 1
    if config.max_position_embeddings - offset < LEAST_WINDOW:
        raise ValueError(
            f"config.json: max_position_embeddings is {config.max_position_embeddings}, too few for a text"
        )
    if config.metaie.get("link_layer", 0) >= config.num_hidden_layers:
        raise ValueError(
            f"config.json: metaie.link_layer is {config.metaie['link_layer']}, of {config.num_hidden_layers} layers"
        )
    if config.hidden_size % config.num_attention_heads:
        raise ValueError(
            f"config.json: hidden_size is {config.hidden_size}, which {config.num_attention_heads} heads cannot share"
        )


def check_sizes(config: PretrainedConfig, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Compare the sizes that a config names with the tensors: before anything of these sizes is built.

    shapes (Mapping): of the saved tensors, by name.
    RAISES (ValueError): they do not fit.
    """
    hidden, width = config.hidden_size, getattr(config, "embedding_size", config.hidden_size)
    layers = {name.split(".")[3] for name in shapes if name.startswith("encoder.encoder.layer.")}
    expected = {
        "encoder.embeddings.word_embeddings.weight": (config.vocab_size, width),
        "encoder.embeddings.position_embeddings.weight": (config.max_position_embeddings, width),
        "encoder.embeddings.token_type_embeddings.weight": (config.type_vocab_size, width),
    }
    if layers != {str(n) for n in range(config.num_hidden_layers)}:
        raise ValueError(_misfit("num_hidden_layers", config.num_hidden_layers, f"{len(layers)} layers"))
    for layer in layers:
        place = f"encoder.encoder.layer.{layer}."
        expected[place + "attention.self.query.weight"] = (hidden, hidden)
        expected[place + "intermediate.dense.weight"] = (config.intermediate_size, hidden)
    if width != hidden:
        expected["encoder.embeddings_project.weight"] = (hidden, width)
    expected |= _head_sizes(config)
    for name, shape in expected.items():
        if shapes.get(name) != shape:
            raise ValueError(_misfit(name, shape, shapes.get(name, "none")))


def _head_sizes(config: PretrainedConfig) -> dict[str, tuple[int, ...]]:
    options, hidden = config.metaie, config.hidden_size
    inner, width = options["head_inner"], options.get("head_width", 1)
    if options["architecture"] == "CrossEncoder":
        return {"token_head.0.weight": (inner, hidden), "token_head.3.weight": (2, inner)}
    return _link_sizes(config) | {
        "token_head.0.weight": (inner, options.get("token_width", hidden)),
        "token_head.3.weight": (2 * width, inner),
        "label_head.0.weight": (inner, hidden),
        "label_head.3.weight": (2 * width, inner),
    }


def _link_sizes(config: PretrainedConfig) -> dict[str, tuple[int, ...]]:
    options, hidden = config.metaie, config.hidden_size
    if "link_layer" not in options:
        return {}
    vectors = 2 * options.get("head_width", 1)
    expected: dict[str, tuple[int, ...]] = {
        "links.distance.weight": (N_BUCKETS, hidden),
        "links.relation.weight": (vectors, vectors),
        "links.token_head.0.weight": (options["head_inner"], hidden),
    }
    for layer in range(config.num_hidden_layers - options["link_layer"]):
        expected[f"links.layers.{layer}.intermediate.dense.weight"] = (config.intermediate_size, hidden)
    return expected


def _misfit(name: str, wanted: Any, found: Any) -> str:
    return f"config.json and the weights do not fit: {name} should be {wanted}, but the weights have {found}"
