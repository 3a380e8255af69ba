"""Files as chunks of rows: the same ones each time, so that a chunk that is done is known by its number."""

import zlib
from contextlib import closing
from typing import Any, BinaryIO, Container, Iterator, NamedTuple

from ..data.texts import JSONL, TABLES, check_columns, table_records
from ..encodings import utf8_lines
from .places import kind_of, open_raw, unpacked

CHUNK_BYTES = 16 * 2**20  # of texts and what stands beside them, that a chunk may have


class Source(NamedTuple):
    """A file to read. number (int): by which its shards are named. path (str): a path or an address."""

    number: int
    path: str


class Chunk(NamedTuple):
    """Some rows of a file.

    file, index (int): the file's number, and which of its chunks this is. path (str): of the file.
    columns (list[str] | None): of a CSV or TSV file. is_json (bool): whether lines are objects.
    data: rows as they came: an Arrow table, or a list of the line's number and bytes or values.
    read (float): share of the file that is read with this chunk.
    """

    file: int
    index: int
    path: str
    columns: list[str] | None
    is_json: bool
    data: Any
    read: float

    @property
    def rows(self) -> int:
        return len(self.data)

    @property
    def name(self) -> str:
        """Of its shard, without the ending."""
        return f"{shards_of(self.file)}{self.index:06d}"


class Reading(NamedTuple):
    """How files are read. rows (int): of a chunk, at most. encoding (str | None): of files of lines; None: UTF-8."""

    text: str
    rows: int
    encoding: str | None = None


def shards_of(file: int) -> str:
    """How the names of all shards of a file begin; file (int): its number."""
    return f"part-{file:05d}-"


def chunks_of(source: Source, how: Reading, done: Container[int] = ()) -> Iterator[Chunk]:
    """The chunks of a file, in order, but for those that are done.

    RAISES (ValueError): the file has no such column, or is damaged. (OSError): it cannot be read.
    """
    kind = kind_of(source.path)
    with closing(open_raw(source.path)) as raw:
        if kind == ".parquet":
            yield from _of_table(source, raw, how, done)
        else:
            try:
                yield from _of_lines(source, raw, kind, how, done)
            except (EOFError, zlib.error, OSError, _zstd_error()) as error:
                raise ValueError(
                    f"'{source.path}' cannot be read to its end: {error or type(error).__name__}. Fetch it again, "
                    f"remove its shards from the output, {shards_of(source.number)}* if there are some, and give the "
                    "same command: what is done of other files stays."
                ) from None


def _of_lines(source: Source, raw: BinaryIO, kind: str, how: Reading, done: Container[int]) -> Iterator[Chunk]:
    size = max(1, _size(raw))
    lines = utf8_lines(unpacked(raw, source.path), source.path, how.encoding)
    columns: list[str] | None = None
    if kind in TABLES:
        columns, records = table_records(lines, source.path, TABLES[kind], how.text)
        rows: Iterator[tuple[int, Any]] = enumerate(records, 1)
        weight = _weight_of_values
    else:
        rows = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
        weight = len
    index, held, n_bytes = 0, [], 0
    for number, row in rows:
        held.append((number, row))
        n_bytes += weight(row)
        if len(held) < how.rows and n_bytes < CHUNK_BYTES:
            continue
        if index not in done:
            yield Chunk(source.number, index, source.path, columns, kind in JSONL, held, min(1.0, raw.tell() / size))
        index, held, n_bytes = index + 1, [], 0
    if held and index not in done:
        yield Chunk(source.number, index, source.path, columns, kind in JSONL, held, 1.0)


def _of_table(source: Source, raw: BinaryIO, how: Reading, done: Container[int]) -> Iterator[Chunk]:
    """Chunks of a Parquet file: the n-th rows, wherever its row groups end; those that nothing needs are not read."""
    pa, file = _parquet(source, raw, how)
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    total, n_bytes = file.metadata.num_rows, sum(group.total_byte_size for group in groups)
    size = max(1, min(how.rows, CHUNK_BYTES * total // max(1, n_bytes)))
    at, held = 0, []
    for number, group in enumerate(groups):
        if all(index in done for index in range(at // size, (at + group.num_rows - 1) // size + 1)):
            at += group.num_rows
            continue
        for batch in file.iter_batches(batch_size=min(size, 4096), row_groups=[number]):
            while batch.num_rows:
                index, part = at // size, batch.slice(0, size - at % size)
                batch = batch.slice(part.num_rows)
                at += part.num_rows
                if index in done:
                    continue
                held.append(part)
                if at % size == 0 or at == total:
                    table = pa.Table.from_batches(held)
                    held = []
                    yield Chunk(source.number, index, source.path, None, False, table, at / total)


def _parquet(source: Source, raw: BinaryIO, how: Reading) -> tuple[Any, Any]:
    """RAISES (ValueError): pyarrow is missing, it is no Parquet file, or has no such column or two of one name."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError:
        raise ValueError(f"Reading '{source.path}' needs pyarrow: pip install 'metaie-spacy[bulk]'.") from None
    try:
        file = parquet.ParquetFile(raw, buffer_size=2**20)
    except (OSError, ValueError) as error:
        raise ValueError(f"'{source.path}' is no Parquet file: {error}") from None
    check_columns(file.schema_arrow.names, source.path, how.text)
    return pa, file


def _weight_of_values(values: list[str]) -> int:
    return sum(map(len, values))


def _size(raw: BinaryIO) -> int:
    end = raw.seek(0, 2)
    raw.seek(0)
    return end


def _zstd_error() -> type[Exception]:
    try:
        from zstandard import ZstdError
    except ImportError:
        return EOFError
    return ZstdError
