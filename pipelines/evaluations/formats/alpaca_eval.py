"""Annotations of alpaca_eval: a preference between two models' outputs an instruction."""

from __future__ import annotations

from corpus_audit.pipelines.evaluations.formats.head import Head
from corpus_audit.pipelines.evaluations.records.items import ItemCollector
from corpus_audit.pipelines.evaluations.records.values import field_of, hash_of, number_of, text_of

NAMES = ("alpaca_eval annotations",)


def recognise(head: Head) -> str | None:
    """The format's name, or None."""
    first = head.first[0] if head.kind == "document" and isinstance(head.first, list) and head.first else None
    return (
        NAMES[0] if isinstance(first, dict) and {"instruction", "preference", "generator_2"} <= first.keys() else None
    )


def read(head: Head, name: str, sink: ItemCollector) -> None:
    """Read a file of this format: the score is the preference for the second output, from 0 to 1 (its win rate).

    The file has 1 to 2, where 2 is the second output, 1.5 a draw, and 0 (in older files) a draw as well.
    """
    for row, record in enumerate(head.first, 1):
        sink.row()
        if not isinstance(record, dict) or "instruction" not in record:
            sink.dead(row, "no annotation")
            continue
        preference = number_of(record.get("preference"))
        if preference is None:
            sink.dead(row, "score missing", record.get("preference"))
            continue
        if preference != 0 and not 1 <= preference <= 2:
            sink.dead(row, "preference outside 1 to 2", preference)
            continue
        instruction = text_of(record["instruction"])
        sink.score(
            row,
            "alpaca_eval",
            hash_of(instruction),
            "win_rate",
            0.5 if preference == 0 else preference - 1,
            model=text_of(record.get("generator_2") or ""),
            version=" ".join(
                f"{label} {text_of(record[key])}"
                for label, key in (("against", "generator_1"), ("judged by", "annotator"))
                if record.get(key)
            )
            or None,
            item_id=str(row - 1),
            cluster=field_of(record, sink.cluster_field),
        )
