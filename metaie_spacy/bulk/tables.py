"""Batches of all kinds that engines hand over: a column out, new columns in, everything else as it was."""

import sys
from typing import Any, Mapping, NamedTuple, Sequence

KINDS = "an Arrow table, a pandas frame, a mapping of columns, or a list of rows (mappings)"


class Column(NamedTuple):
    """A new column. kind (str): "spans", "links", "names" or "text", which tables with types need to know."""

    name: str
    values: list[Any]
    kind: str


def names_of(batch: Any) -> list[str]:
    """The names of a batch's columns. RAISES (TypeError): it is no batch."""
    if _is(batch, "pyarrow", "Table", "RecordBatch"):
        return list(batch.schema.names)
    if _is(batch, "pandas", "DataFrame"):
        return list(batch.columns)
    if isinstance(batch, Mapping):
        return list(batch)
    if isinstance(batch, (list, tuple)) and all(isinstance(row, Mapping) for row in batch):
        return list(dict.fromkeys(name for row in batch for name in row))
    raise TypeError(f"A batch must be {KINDS}, not {type(batch).__name__}.")


def values_of(batch: Any, name: str) -> list[Any]:
    """A column as a list; a row of a list that lacks it has None.

    RAISES (TypeError): the column of a mapping is a single value.
    """
    if _is(batch, "pyarrow", "Table", "RecordBatch"):
        return batch.column(name).to_pylist()
    if isinstance(batch, (list, tuple)):
        return [row.get(name) for row in batch]
    values = batch[name]
    if values is None or isinstance(values, (str, bytes)):
        raise TypeError(
            f"The column '{name}' is a single value, {values!r:.60}, so that this is one row and no batch. Give a list "
            "of rows; datasets' map needs batched=True."
        )
    return list(values)


def is_null(value: Any) -> bool:
    """None, NaN, and what pandas and Arrow have for them."""
    return (
        value is None or (isinstance(value, float) and value != value) or type(value).__name__ in ("NAType", "NaTType")
    )


def with_columns(batch: Any, columns: Sequence[Column]) -> Any:
    """A batch of the same kind with more columns behind its own; the one that was given stays as it is."""
    if _is(batch, "pyarrow", "Table", "RecordBatch"):
        return _arrow(batch, columns)
    if _is(batch, "pandas", "DataFrame"):
        import pandas

        more = {c.name: pandas.Series(c.values, index=batch.index, dtype=object) for c in columns}
        return batch.assign(**more)
    if isinstance(batch, Mapping):
        is_numpy = any(_is(values, "numpy", "ndarray") for values in batch.values())
        return {**batch, **{c.name: _objects(c.values) if is_numpy else c.values for c in columns}}
    return [{**row, **{c.name: c.values[i] for c in columns}} for i, row in enumerate(batch)]


def arrow_type(kind: str, *, is_linked: bool) -> Any:
    """The Arrow type of a new column, the same in every batch.

    is_linked (bool): whether links are asked: spans tell then whether they are answers to one, and their attributes.
    """
    import pyarrow as pa

    if kind == "text":
        return pa.string()
    if kind == "names":
        return pa.list_(pa.string())
    if kind == "links":
        return pa.list_(pa.struct([("head", "int64"), ("label", "string"), ("tail", "int64"), ("score", "float64")]))
    span = [("start", "int64"), ("end", "int64"), ("text", "string"), ("label", "string"), ("score", "float64")]
    if is_linked:
        chosen = pa.struct([("option", "string"), ("score", "float64")])
        span += [("answer", "bool"), ("attributes", pa.map_("string", chosen))]
    return pa.list_(pa.struct(span))


def _arrow(batch: Any, columns: Sequence[Column]) -> Any:
    import pyarrow as pa

    is_linked = any(column.kind == "links" for column in columns)
    arrays = [pa.array(_typed(c, is_linked), arrow_type(c.kind, is_linked=is_linked)) for c in columns]
    if isinstance(batch, pa.Table):
        for column, array in zip(columns, arrays):
            batch = batch.append_column(column.name, array)
        return batch
    names = [*batch.schema.names, *(column.name for column in columns)]
    return pa.RecordBatch.from_arrays([*batch.columns, *arrays], names=names)


def _typed(column: Column, is_linked: bool) -> list[Any]:
    """Values with all the fields of their type."""
    if column.kind != "spans" or not is_linked:
        return column.values
    return [
        cell
        and [
            {**span, "answer": span.get("answer", False), "attributes": list(span.get("attributes", {}).items())}
            for span in cell
        ]
        for cell in column.values
    ]


def _objects(values: list[Any]) -> Any:
    """A numpy array of one dimension, whatever the values are."""
    import numpy as np

    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _is(value: Any, package: str, *names: str) -> bool:
    """Whether a value is of a class of a package, which is not imported for that."""
    module = sys.modules.get(package)
    classes = tuple(kind for name in names if isinstance(kind := getattr(module, name, None), type))
    return module is not None and isinstance(value, classes)
