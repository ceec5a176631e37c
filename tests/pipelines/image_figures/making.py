"""Published tables of albums of images, counted in two blocks and merged as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from corpus_audit.pipelines.image_figures.tables import image_tables
from corpus_audit.pipelines.image_measures.registry import ALWAYS
from corpus_audit.pipelines.image_measures.thumbnails import Thumbnails
from corpus_audit.pipelines.measures.base import Block, merge_files
from corpus_audit.pipelines.storage.partials import PartialReader, write_partial
from corpus_audit.schemas.tables.image_tables import IMAGE_TABLES


def tables_of(folder: Path, blocks: Sequence[Block], sampled: bool = False) -> dict[str, pa.Table]:
    """All tables of the images of some blocks."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for measure in (*ALWAYS, Thumbnails()):
        sources = []
        for number, block in enumerate(blocks):
            sources.append(folder / f"{measure.name}-{number}")
            write_partial(sources[-1], measure.count(block))
        merge_files(measure, sources, folder / measure.name)
        files[measure.name] = folder / measure.name
    clustered = blocks[0].clusters is not None
    tables = image_tables(
        lambda measure, table: PartialReader(files[measure]), clustered=clustered, thumbnails=True, sampled=sampled
    )
    return {name: pa.concat_tables([IMAGE_TABLES[name].empty_table(), *pieces]) for name, pieces in tables.items()}
