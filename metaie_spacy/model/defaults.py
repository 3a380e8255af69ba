"""Numbers that several places must agree on. Imports nothing, so that it is read where torch is not installed."""

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"  # that a training starts from
TEXT_SEES_LABELS = (
    False  # of what is trained from an encoder's own weights, unless it is set (docs/benchmark.md compares)
)
HEAD_INNER = 512  # width of the heads' hidden layer
HEAD_WIDTH = 256  # of a token's and a label's vector, for B and for I
HEAD_SCALE = 8.0  # the head's learning rate, in multiples of the encoder's
DROPOUT = 0.1
O_WEIGHT = 0.25  # of O against B and I in the loss of open labels
WINDOW = 96  # pieces of one pass over a text
OVERLAP = 32  # pieces that two windows share
TOKEN_BUDGET = 1024  # pieces of one batch of texts, padding included
LABEL_BUDGET = 256  # label pieces of one pass
LABEL_CACHE = 256  # MiB of encoded labels
WORD_CACHE = 32  # MiB of words that were split into pieces
