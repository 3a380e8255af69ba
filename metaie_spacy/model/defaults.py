"""Numbers that several places must agree on, and their bounds.

Imports nothing, so that it is read where torch is not installed.
"""

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"  # that a training starts from
# Of what is trained from an encoder's own weights, unless it is set (docs/benchmark.md compares).
TEXT_SEES_LABELS = False
HEAD_INNER = 512  # width of the heads' hidden layer
HEAD_WIDTH = 256  # of a token's and a label's vector, for B and for I
ENCODER_NAMES = ("encoder.", "links.layers.")  # begin the names of weights that come from the encoder
HEAD_SCALE = 8.0  # the head's learning rate, in multiples of the encoder's
LINK_PARTS = (  # what a link's score is made of
    "bias", "head", "answer", "inverse", "distance", "tail", "free", "other_relation", "other_head",
)  # fmt: skip
LINK_LAYER = 2 / 3  # of the layers, from whose states the head pass reads on
CALIBRATED = ("threshold", "tag_threshold", "calibration", "link_calibration")  # options that a calibration sets
DROPOUT = 0.1
O_WEIGHT = 0.25  # of O against B and I in the loss of open labels
WINDOW = 96  # pieces of one pass over a text
OVERLAP = 32  # pieces that two windows share
TOKEN_BUDGET = 1024  # pieces of one batch of texts, padding included
LABEL_BUDGET = 256  # label pieces of one pass
LABEL_CACHE = 256  # MiB of encoded labels
WORD_CACHE = 32  # MiB of words that were split into pieces


def check_limits(limits: dict[str, int], dropout: float) -> None:
    """RAISES (ValueError): a limit of an architecture is out of range; the message names it."""
    least = {"window": 8, "overlap": 0, "token_budget": 1, "label_budget": 1, "label_cache": 0}
    for name, value in limits.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least[name]:
            raise ValueError(f"{name} must be a whole number of at least {least[name]}, not {value!r}.")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be at least 0 and below 1, not {dropout!r}.")
