"""The three ways to match texts and labels, as torch modules (torch and transformers only)."""

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from .defaults import CALIBRATED, LINK_LAYER
from .encoder import PackedEncoder, Prefix, run_layers
from .links import Headed, HeadPass
from .packed import Labels, LabelStates, Texts, TokenVectors, Unfolded


class LabelToSpan(PackedEncoder):
    """B and I logits of every (token, label) pair, each label encoded once for all texts.

    A label's pieces see that label only; a text's pieces see the text and, if
    `text_sees_labels`, the labels asked of it. Training encodes the labels of a batch in the same
    pass (gradients flow through keys and values); prediction takes them from a cache.
    The task is MetaIE's (arXiv 2404.00457); encoding a label once is ours.
    """

    shares_labels = True

    def __init__(self, config: PretrainedConfig):
        super().__init__(config)
        hidden, inner, width = config.hidden_size, self.options["head_inner"], self.options["head_width"]
        self.token_width = self.options.get("token_width", hidden)
        self.token_head = mlp(self.token_width, inner, 2 * width, self.options["dropout"])
        self.label_head = mlp(hidden, inner, 2 * width, self.options["dropout"])
        # At the start nothing is a span: with a neutral bias the head first drowns in O.
        self.bias = nn.Parameter(torch.full((2,), -3.0))
        self.links: HeadPass | None = None
        if self.options.get("link_layer") is not None:
            self.add_links(self.options["link_layer"])

    @property
    def binds(self) -> bool:
        """Whether it can be asked about a span of the text."""
        return self.links is not None

    @property
    def is_blind(self) -> bool:
        """Whether a text's states do not depend on what is asked, so that one pass serves any number of labels."""
        return not self.options["text_sees_labels"]

    def add_links(self, layer: int | None = None) -> None:
        """Give it a head pass that starts from its own layers.

        layer (int | None): the layer whose states are taken; those above are copied. None: two thirds of the layers.
        RAISES (ValueError): the encoder has no layers above it.
        """
        layer = round(self.config.num_hidden_layers * LINK_LAYER) if layer is None else layer
        if not 0 <= layer < self.config.num_hidden_layers:
            raise ValueError(
                f"link_layer must be from 0 to {self.config.num_hidden_layers - 1}, not {layer}: the layers above it "
                "read a text from the place of a head."
            )
        self.options["link_layer"] = layer
        width = self.options.get("token_width")
        # Of another model's vectors no token head is one for states of ours.
        token_head = self.token_head if width is None else self.label_head
        self.links = HeadPass(self.config, self.encoder.encoder.layer, token_head, self.bias, width)

    def encode_labels(self, labels: Labels) -> LabelStates:
        """The labels' half of the pass; its result may be cached per label."""
        rows = Unfolded(labels.lengths)
        x = self.embed(labels.ids, rows.positions, self.segment[1], marker=rows.starts)
        kvs = [] if self.options["text_sees_labels"] else None
        x = self.run(x, rows, keep=kvs)
        vectors = self.label_head(x[rows.starts]).unflatten(-1, (2, -1))
        if kvs is None:
            none = x.new_zeros((0, self.config.num_hidden_layers, 2, x.shape[-1]))
            return LabelStates(vectors, none, torch.zeros_like(labels.lengths))
        return LabelStates(vectors, torch.stack(kvs, 1), labels.lengths)

    def forward(
        self,
        texts: Texts | TokenVectors | Headed,
        labels: Labels | LabelStates,
        asked: Tensor | None = None,
        tap: list[Tensor] | None = None,
    ) -> Tensor:
        """Score every scored token of every text against every label.

        texts (Texts | Headed): B texts; or texts with heads, of which each head's text is scored from its place.
        labels (Labels | LabelStates): U labels, encoded here if they are not yet.
        asked (Tensor | None): which labels a text sees, bool (B, U); None: all.
        RETURNS (Tensor): logits of B and I against O = 0, (W, U, 2). Pairs that were not asked are
            meaningless.
        """
        states = self.encode_labels(labels) if isinstance(labels, Labels) else labels
        if isinstance(texts, Headed):
            return self.about(texts, states)
        return self.match(self.tokens(texts, states, asked, tap), states)

    def tokens(
        self, texts: Texts | TokenVectors, states: LabelStates, asked: Tensor | None, tap: list[Tensor] | None
    ) -> Tensor:
        """The states of the scored tokens, (W, width); arguments as of `forward`."""
        prefix = None
        if len(states.kv):
            prefix = Prefix(states.kv, *label_pieces(states.lengths, asked))
        x, rows = self.inputs(texts)
        at = None if tap is None else (self.options["link_layer"], tap)
        return self.run(x, rows, prefix, tap=at)[texts.first]

    def inputs(self, texts: Texts) -> tuple[Tensor, Unfolded]:
        """What the first layer reads of texts, (N, hidden), and how they lie."""
        rows = Unfolded(texts.lengths)
        return self.embed(texts.ids, rows.positions, self.segment[0] + self.shape(texts.shapes)), rows

    def link_states(self, texts: Texts | TokenVectors) -> Tensor:
        """The states that the head pass starts from, of texts that see no label, (N, width)."""
        x, rows = self.inputs(texts)
        return self.run(x, rows, stop=self.options["link_layer"])

    def about(self, headed: Headed, states: LabelStates) -> Tensor:
        """What is said of each head: logits of the scored tokens of its text against U relations, (W', U, 2)."""
        if headed.states is None:
            headed = headed._replace(states=self.link_states(headed.texts))
        x, rows, scored = self.links.place(headed)
        tokens = run_layers(self.links.layers, x, rows, self.config.num_attention_heads, picked=scored)
        vectors = self.links.vectors(states.vectors)
        return matched(self.links.token_head(tokens), vectors, self.links.bias)

    def match(self, tokens: Tensor, states: LabelStates) -> Tensor:
        """Logits of W token states, (W, width), against U labels: (W, U, 2)."""
        return self.compare(self.token_head(tokens), states.vectors)

    def read(self, texts: Texts, tap: list[Tensor] | None = None) -> Tensor:
        """The vectors of the scored tokens of texts that see no label, for `compare`: (W, 2 x head_width)."""
        x, rows = self.inputs(texts)
        at = None if tap is None else (self.options["link_layer"], tap)
        return self.token_head(self.run(x, rows, tap=at)[texts.first])

    def compare(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """Logits of the vectors of W tokens, (W, 2 x head_width), and of U labels, (U, 2, head_width): (W, U, 2)."""
        return matched(tokens, labels, self.bias)


class SharedTransformer(LabelToSpan):
    """Labels against token vectors that come from elsewhere; of the encoder's own, only labels are encoded.

    `config.metaie["token_width"]` is the width of those vectors.
    """

    def tokens(
        self, texts: TokenVectors, states: LabelStates, asked: Tensor | None, tap: list[Tensor] | None
    ) -> Tensor:
        """The vectors of the scored tokens; no label changes how a text is read.

        RAISES (ValueError): the vectors are of another width than those of the training.
        """
        return self.link_states(texts)[texts.rows]

    def link_states(self, texts: TokenVectors) -> Tensor:
        """The vectors as they came. RAISES (ValueError): as `tokens`."""
        if texts.vectors.shape[-1] != self.token_width:
            raise ValueError(
                f"The token vectors are {texts.vectors.shape[-1]} wide, but this "
                f"component was trained on {self.token_width}. "
                "Use the tok2vec that it was trained with, or train it again."
            )
        return texts.vectors


class CrossEncoder(PackedEncoder):
    """The paper's form (arXiv 2404.00457): one pass `[CLS] label [SEP] text [SEP]` per pair."""

    shares_labels = False
    is_blind = False
    binds = False

    def __init__(self, config: PretrainedConfig):
        super().__init__(config)
        self.token_head = mlp(config.hidden_size, self.options["head_inner"], 2, self.options["dropout"])
        self.bias = nn.Parameter(torch.full((2,), -3.0))

    @classmethod
    def passes(cls, n_labels: int) -> int:
        return n_labels

    # Label and text share the encoder's window: half of it is for each.
    @property
    def text_room(self) -> int:
        return self.window // 2 - 2

    @property
    def label_room(self) -> int:
        return self.window // 2

    def encode_labels(self, labels: Labels) -> Labels:
        """Nothing can be shared between texts here."""
        return labels

    def forward(self, texts: Texts, labels: Labels, asked: Tensor | None = None) -> Tensor:
        """As `LabelToSpan.forward`; the logits of pairs that were not asked are 0."""
        text_rows, label_rows = Unfolded(texts.lengths), Unfolded(labels.lengths)
        if asked is None:
            asked = torch.ones((len(texts.lengths), len(labels.lengths)), dtype=torch.bool, device=texts.ids.device)
        t, u = asked.nonzero(as_tuple=True)
        # One pair: [CLS], the label without its marker, [SEP], the text without its [CLS].
        n_label, n_text = labels.lengths[u] - 1, texts.lengths[t] - 1
        rows = Unfolded(n_label + n_text + 2)
        column, owner = rows.positions, torch.arange(len(t), device=t.device).repeat_interleave(rows.lengths)
        in_text = column > n_label[owner] + 1
        in_label = (column > 0) & (column <= n_label[owner])
        text_at = text_rows.starts[t][owner] + column - n_label[owner] - 1
        label_at = label_rows.starts[u][owner] + column
        last = len(texts.ids) - 1
        ids = torch.where(in_text, texts.ids[text_at.clamp(0, last)], self.options["sep_id"])
        ids = torch.where(in_label, labels.ids[label_at.clamp(max=len(labels.ids) - 1)], ids)
        ids = torch.where(column == 0, self.options["cls_id"], ids)
        shapes = torch.where(in_text, texts.shapes[text_at.clamp(0, last)], 0)
        x = self.embed(ids, rows.positions, self.segment[(~in_text).long()] + self.shape(shapes))
        x = self.run(x, rows)
        # Scored tokens of every pair, in the order of the pairs.
        token_rows = Unfolded(texts.words)
        words = Unfolded(texts.words[t])
        pair = torch.arange(len(t), device=t.device).repeat_interleave(words.lengths)
        token = token_rows.starts[t][pair] + words.positions
        inside = texts.first[token] - text_rows.starts[t][pair]
        states = x[rows.starts[pair] + n_label[pair] + 1 + inside]
        logits = x.new_zeros((len(texts.first), len(labels.lengths), 2))
        return logits.index_put((token, u[pair]), (self.token_head(states) + self.bias).to(x.dtype))


def rescale(module: LabelToSpan | CrossEncoder, temperature: float, bias: float) -> None:
    """Make every logit `logit / temperature + bias`, by way of the head's weights."""
    last = module.token_head[-1]
    with torch.no_grad():
        # Not in place: weights that were just loaded may stand in memory that is not theirs.
        last.weight.data = last.weight.data / temperature
        last.bias.data = last.bias.data / temperature
        module.bias.data = module.bias.data / temperature + bias


def uncalibrate(module: PackedEncoder) -> None:
    """Bring weights back to the logits of their training, without thresholds."""
    options = module.config.metaie
    done = options.get("calibration")
    if done:
        rescale(module, 1 / done["temperature"], -done["bias"] * done["temperature"])
    for key in CALIBRATED if done else ("link_calibration",):
        options.pop(key, None)


def label_pieces(lengths: Tensor, asked: Tensor | None) -> tuple[Tensor, Tensor]:
    """Which packed label pieces each text sees.

    lengths (Tensor): pieces per label, int64 (U,). asked (Tensor | None): bool (B, U).
    RETURNS (tuple): index int64 (B or 1, M) and mask bool (B or 1, M).
    """
    if asked is None or bool(asked.all()):
        index = torch.arange(int(lengths.sum()), device=lengths.device)[None]
        return index, torch.ones_like(index, dtype=torch.bool)
    seen = asked.repeat_interleave(lengths, dim=1)  # (B, N)
    width = max(1, int(seen.sum(1).max()))
    order = (~seen).to(torch.int8).argsort(dim=1, stable=True)[:, :width]
    return order, seen.gather(1, order)


def matched(tokens: Tensor, labels: Tensor, bias: Tensor) -> Tensor:
    """Logits of projected tokens, (W, 2 x width), against the vectors of labels, (U, 2, width): (W, U, 2)."""
    tokens = tokens.unflatten(-1, (2, -1))
    logits = torch.einsum("wkd,ukd->wuk", tokens, labels.to(tokens.dtype))
    return logits / labels.shape[-1] ** 0.5 + bias


def mlp(n_in: int, inner: int, n_out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, inner), nn.GELU(), nn.Dropout(dropout), nn.Linear(inner, n_out))
