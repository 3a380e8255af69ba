"""What `curate` keeps. Read without the packages that curate needs, so that the command line can list every setting."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CurateSettings:
    """What is kept. Broken rows, duplicate ids and texts, and contaminated rows are always dropped.

    keep_empty (bool): keep rows with neither spans nor absent labels. Training asks them the labels
        of other texts, all without an answer, so they teach silence; turn it off where such a row
        means that nobody looked.
    merge_teachers (bool): rows of one text by several teachers become one; else the first is kept.
    near_duplicates (float): least Jaccard similarity of the word 5-grams of two texts at which the
        later one is dropped; 0: off.
    against (tuple): files of texts that no row may share eight words in a row with, such as a
        benchmark's: JSONL with a "text", or plain text.
    normal_labels (bool): give labels that differ in spelling only one form, see `normal_label`.
    cluster (float | None): cosine from which a rarer label takes the wording of a more frequent
        one; None: off. Of 45,000 free labels, 0.95 joined 900, most of them rightly, but also "number
        of fans" with "number of readers"; 0.9 joined 5,000, most of them wrongly. Read the report.
    cluster_model (str): package or directory of the pipeline whose encoder compares them.
    max_label_rows (int): a row is dropped if all its labels are in so many rows before it; 0: off.
    min_agreement (float): rows whose teachers or samples agree less are dropped; rows that bring
        no `agreement` stay.
    ifd_model (str | None): package or directory of a pipeline that rates how well labels explain
        their spans, best one that was not trained on these rows; None: off. Of the 30 labels it
        liked least in 300 rows of published annotations, about half were wrong and half only hard.
    max_ifd (float): a label's spans are dropped if its ratio (see `label_ratios`) is higher.
    dev_share, test_share (float): of the documents.
    linked (float): documents with rows that are so much alike stand on one side of the split,
        measured as near duplicates are; 0: off.
    swap_names (float): share of the rows of train.jsonl that name people, of which a copy with other names is added,
        see `with_swapped_names`; 0: off.
    balance (float): how strongly rows of rare labels and domains are repeated in train.jsonl, from 0 (off) to 1, see
        `repeated`.
    seed (int): of the split.
    """

    keep_empty: bool = True
    merge_teachers: bool = True
    near_duplicates: float = 0.8
    against: tuple[str | Path, ...] = ()
    normal_labels: bool = True
    cluster: float | None = None
    cluster_model: str = "en_metaie_sm"
    max_label_rows: int = 0
    min_agreement: float = 0.0
    ifd_model: str | None = None
    max_ifd: float = 1.0
    dev_share: float = 0.1
    test_share: float = 0.1
    linked: float = 0.6
    swap_names: float = 0.0
    balance: float = 0.0
    seed: int = 0

    def __post_init__(self):
        for name in ("near_duplicates", "linked", "min_agreement", "dev_share", "test_share", "swap_names", "balance"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be from 0 to 1.")
        if self.cluster is not None and not 0 < self.cluster <= 1:
            raise ValueError(f"cluster is {self.cluster}; give a cosine above 0 and up to 1, or None.")
        if self.dev_share + self.test_share >= 1:
            raise ValueError(
                f"dev_share ({self.dev_share}) and test_share ({self.test_share}) leave nothing to train on."
            )
        if self.max_label_rows < 0 or self.max_ifd <= 0:
            raise ValueError("max_label_rows must be at least 0 and max_ifd above 0.")
        if isinstance(self.against, (str, Path)):
            raise ValueError(f"against is '{self.against}'; give a tuple of files.")
