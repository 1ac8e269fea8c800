"""Raw rows out of tables: CSV, TSV and Parquet."""

import csv
from collections.abc import Iterator

from mmtune.data.lines import lines
from mmtune.data.raw import DataFile, Raw, RawRow
from mmtune.data.reasons import Reason
from mmtune.errors import DataError
from mmtune.types import Dropped

_PARQUET_ROWS = 256


def table_rows(file: DataFile, source: str, max_bytes: int) -> Iterator[Raw]:
    """CSV with quotes, or TSV without any (as its IANA registration has it); names come first."""
    csv.field_size_limit(max(csv.field_size_limit(), max_bytes))
    unfit: list[Dropped] = []
    feed = _table_lines(file, source, max_bytes, unfit)
    if file.kind == ".tsv":
        reader = csv.reader(feed, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(feed, strict=True)
    header = _header(reader, file)
    end = False
    while not end:
        first_line = reader.line_num + 1
        try:
            cells = next(reader)
            row = _table_row(header, cells, f"{file.label}:{first_line}", source)
        except StopIteration:
            end, row = True, None
        except csv.Error as error:
            detail = f"{error} (lines {first_line} to {reader.line_num})"
            row = Dropped(source, f"{file.label}:{first_line}", "broken_csv", detail)
        yield from unfit
        unfit.clear()
        if row is not None:
            yield row


def _header(reader: Iterator[list[str]], file: DataFile) -> list[str]:
    try:
        header = next((cells for cells in reader if cells), [])
    except csv.Error as error:
        raise DataError(f"{file.label}: the line of column names is broken ({error}).") from None
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{file.label}: two columns are called {twice[0]!r}. Rename one.")
    return header


def _table_row(header: list[str], cells: list[str], where: str, source: str) -> Raw | None:
    if not cells:
        return None
    if len(cells) != len(header):
        detail = f"{len(cells)} cells under {len(header)} column names"
        return Dropped(source, where, "wrong_columns", detail)
    return RawRow(where, dict(zip(header, cells, strict=True)))


def _table_lines(
    file: DataFile, source: str, max_bytes: int, unfit: list[Dropped]
) -> Iterator[str]:
    """Lines for the csv module; one that is too long goes to `unfit` and is fed as blank."""
    for line in lines(file.path, max_bytes=max_bytes):
        if line.whole:
            yield line.data.decode("utf-8", errors="surrogateescape") + "\n"
        else:
            reason: Reason = "too_long_line"
            where = f"{file.label}:{line.number}"
            unfit.append(Dropped(source, where, reason, "longer than the limit"))
            yield "\n"


def parquet_rows(file: DataFile, source: str, max_bytes: int) -> Iterator[Raw]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(file.path) as parquet:
            for batch in parquet.iter_batches(batch_size=_PARQUET_ROWS):
                for index in range(batch.num_rows):
                    number += 1
                    where = f"{file.label}#{number}"
                    try:
                        yield RawRow(where, batch.slice(index, 1).to_pylist()[0])
                    except UnicodeDecodeError as error:
                        yield Dropped(source, where, "invalid_unicode", str(error))
    except (ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{file.label}: not a readable Parquet file ({reason}).") from error
