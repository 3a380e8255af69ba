"""What is asked: labels, their queries and thresholds, links between spans; schemas; parsing and validation."""

from .asks import ASK_KEYS, Ask, ask_names, parse_ask, plain_ask
from .files import KEEP, SCHEMA_KEYS, check_set_ents, read_schema
from .labels import (
    AMONG,
    GIVES_WAY,
    LABEL_KEYS,
    REGISTERED,
    Label,
    check_config_labels,
    check_switch,
    check_threshold,
    generality,
    move_threshold,
    parse_labels,
    plain,
    read_labels,
    same_label,
)
from .links import LINK_KEYS, Attribute, LinkSchema, Record, Relation, parse_links, parse_schema, plain_links
from .short_forms import SHORT_FORMS, wording

__all__ = [
    "AMONG",
    "ASK_KEYS",
    "GIVES_WAY",
    "KEEP",
    "LABEL_KEYS",
    "LINK_KEYS",
    "REGISTERED",
    "SCHEMA_KEYS",
    "SHORT_FORMS",
    "Ask",
    "Attribute",
    "Label",
    "LinkSchema",
    "Record",
    "Relation",
    "ask_names",
    "check_config_labels",
    "check_set_ents",
    "check_switch",
    "check_threshold",
    "generality",
    "move_threshold",
    "parse_ask",
    "parse_labels",
    "parse_links",
    "parse_schema",
    "plain",
    "plain_ask",
    "plain_links",
    "read_labels",
    "read_schema",
    "same_label",
    "wording",
]
