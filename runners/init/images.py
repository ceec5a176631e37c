"""Propose a first ``audit.yaml`` for images: in tar archives, in folders, or in a column of Parquet or Arrow IPC."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.pipelines.images.containers import format_of, name_of_other_format
from corpus_audit.pipelines.reading.archives.image_folder import FILE_NAME, metadata_rows
from corpus_audit.pipelines.reading.archives.samples import ANY_IMAGE, KEY, key_and_ending
from corpus_audit.pipelines.reading.archives.tar import open_members
from corpus_audit.pipelines.reading.archives.tar_members import MemberKind
from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.reading.files.folder_archive import IMAGE_ENDINGS, folder_members, is_image_name
from corpus_audit.pipelines.reading.snapshot.listing import Listing
from corpus_audit.runners.init.choices import choose_domain, id_column, named_like, url_column
from corpus_audit.runners.init.samples import ROWS, Column, Row, SnapshotSample, flat_row, sample_snapshot
from corpus_audit.runners.init.text_column import column_table
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat
from corpus_audit.schemas.yaml.yaml_tree import yaml_scalar

CAPTION_NAMES = ("caption", "txt", "text", "alt", "alt_text", "description", "prompt", "sentence", "title")
"""Usual names of the column of captions, the most usual first."""

_LISTED = 12
_PROBED = 8  # values of a column of bytes that are looked at


def image_column(shards: Sequence[Shard]) -> str | None:
    """The column of images of a corpus; None for one of texts.

    Folders are listed for their images; of archives and columnar shards the first is looked at: for a member that is an
    image by its ending, and for a column of bytes, or of structs with bytes, that begin as images do.
    """
    if any(shard.format.is_archive for shard in shards):
        return ANY_IMAGE if all(shard.format.is_archive for shard in shards) and _holds_images(shards[0]) else None
    for shard in shards[:1]:
        try:
            batch = _first_batch(shard)
        except (OSError, pa.ArrowException, EOFError):
            return None
        if batch is None:
            return None
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
                column = column.field(column.type.get_field_index("bytes"))
            if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
                values = [value for value in column.to_pylist() if value][:_PROBED]
                if values and all(_begins_like_an_image(value) for value in values):
                    return str(name)
    return None


def image_sample(shards: Sequence[Shard], image: str) -> SnapshotSample:
    """Rows of some shards, by column, without the images."""
    sample = sample_snapshot(list(shards), sample_rows)
    for name in list(sample.columns):
        if name == image or name.startswith(f"{image}."):
            del sample.columns[name]
    return sample


def document_lines_of_images(
    sample: SnapshotSample, image: str, shards: list[Shard], captions: Column | None
) -> list[str]:
    """The columns that hold images, captions, id and domain, with the reasons for each."""
    used = {captions.name} if captions else set()
    identity = next((sample.columns[name] for name in (KEY, FILE_NAME) if name in sample.columns), None)
    identity = identity or id_column(sample, captions or Column(""))
    used |= {identity.name} if identity else set()
    url = url_column(sample, used)
    domain = choose_domain(sample, used, url, shards)
    listed = ", ".join(_one_line(value) for value, _ in domain.values.most_common(_LISTED))
    lines = [
        "document:",
        "  # Columns in the sample, beside the images:",
        *(f"  # {line}" for line in column_table(sample)),
        "  # In archives and folders image is the one image of a sample; or name an ending, such as jpg."
        if any(shard.format.is_archive for shard in shards)
        else "  # The images are bytes in this column.",
        f"  image: {yaml_scalar(image)}",
    ]
    if captions is None:
        lines += [
            "  # No column holds captions. With captions, they are audited as text, and need a tokenizer.",
            "  #text: caption",
        ]
    else:
        lines += ["  # The captions; an image without one is counted as such.", f"  text: {yaml_scalar(captions.name)}"]
    lines.append(f"  id: {yaml_scalar(identity.name)}" if identity else "  #id: id")
    return [
        *lines,
        f"  # The category whose shares are reported and compared; {domain.why}: {listed}.",
        f"  domain: {domain.yaml}",
        "",
        "# Limits, with their defaults: an image beyond one of them is a dead letter.",
        "#images: {max_pixels: 100000000, max_bytes: 67108864, max_frames: 1000}",
        "",
    ]


def optional_lines_of_images(captions: Column | None) -> list[str]:
    """Other sections, commented out, with values to start from."""
    unit = "tokens of captions, or documents" if captions else "documents"
    return [
        f"# The mixture that you intend, by domain; its unit is {unit}.",
        "#mixture:",
        "#  unit: documents",
        "#  weights: {a: 1, b: 1}",
        "",
        "# A finished run to compare with: a run directory, or an output folder, whose newest run is used.",
        "#baseline:",
        "#  - {run: runs, label: last run}",
        "",
        "# Rows to keep; the rows that a clause drops are counted under its name.",
        "#filter:",
        "#  - {name: licensed, column: license, op: not_null}",
        "",
        "# Rows that may be lost, at most, before there is no verdict.",
        "#limits: {dead_letter_share: 0.0001, shard_dead_letter_share: 0.1}",
        "",
        "# The folder of the run directories.",
        "#output: runs",
        "",
    ]


def captions_of(sample: SnapshotSample, given: str | None) -> Column | None:
    """The column of captions: the given one, or one with a usual name; None where there is none.

    Raises:
        UsageError: there is no column of the given name.
    """
    if given is not None:
        if given not in sample.columns:
            raise UsageError(f"no sampled row has the column {given!r}; the columns are {', '.join(sample.columns)}")
        return sample.columns[given]
    texts = [column for column in sample.columns.values() if column.texts]
    return next(iter(named_like(texts, CAPTION_NAMES)), None)


def is_corpus_of_images(texts: Listing | None, images: Listing | None) -> str | None:
    """The column of images, if what was found is a corpus of images; None if it is one of texts.

    Args:
        texts, images: what is listed as a corpus of either kind; None where that has no shard.
    """
    if images is None:
        return None
    if texts is None or {shard.path for shard in texts.shards} <= {shard.path for shard in images.shards}:
        return image_column(images.shards)
    return None


def sample_rows(shard: Shard) -> Iterator[Row] | None:
    """Rows of an archive or a folder, without images; None for other shards, which `sample_snapshot` reads itself."""
    if not shard.format.is_archive:
        return None
    readers: dict[bool, Callable[[Shard], Iterator[Row]]] = {True: _folder_rows, False: _tar_rows}
    return islice(readers[shard.format is ShardFormat.IMAGE_FOLDER](shard), ROWS)


def _folder_rows(shard: Shard) -> Iterator[Row]:
    members = folder_members(shard.path)
    columns = metadata_rows(shard, members)
    for member in members:
        if is_image_name(member.name):
            yield flat_row(columns.get(member.name, {}) | {FILE_NAME: member.name})


def _tar_rows(shard: Shard) -> Iterator[Row]:
    key: str | None = None
    columns: dict[str, Any] = {}
    with open_members(shard) as members:
        for member, content in members:
            divided = key_and_ending(member.name)
            if divided is None or member.kind is not MemberKind.FILE:
                continue
            if divided[0] != key:
                if key is not None:
                    yield flat_row(columns)
                key, columns = divided[0], {KEY: divided[0].encode(errors="replace").decode()}
            columns |= _columns(divided[1], content.remaining, content.read)
        if key is not None:
            yield flat_row(columns)


def _columns(ending: str, size: int, read: Callable[[], bytes]) -> dict[str, Any]:
    if ending not in ("json", "txt", "cls") or size > 2**20 or ending in IMAGE_ENDINGS:
        return {}
    data = read()
    if ending != "json":
        return {ending: data.decode(errors="replace")}
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _holds_images(shard: Shard) -> bool:
    """Whether an archive has an image among its first members; folders are listed for their images."""
    if shard.format is ShardFormat.IMAGE_FOLDER:
        return True
    try:
        with open_members(shard) as members:
            return any(is_image_name(member.name) for member, _ in islice(members, ROWS))
    except (OSError, pa.ArrowException, ShardError):
        return False


def _first_batch(shard: Shard) -> pa.RecordBatch | None:
    with filesystems.open_arrow(shard.path) as file:
        if shard.format is ShardFormat.PARQUET:
            with pq.ParquetFile(file) as parquet:
                return next(parquet.iter_batches(batch_size=_PROBED), None)
        if file.read(6) == b"ARROW1":
            reader = pa.ipc.open_file(file)
            return reader.get_batch(0).slice(0, _PROBED) if reader.num_record_batches else None
        file.seek(0)
        return next((batch.slice(0, _PROBED) for batch in pa.ipc.open_stream(file)), None)


def _begins_like_an_image(value: bytes) -> bool:
    view = memoryview(value)
    return format_of(view) is not None or name_of_other_format(view) is not None


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)[:120]
