"""``corpus-audit ledger``: check and show the ledger of signatures."""

from __future__ import annotations

from pathlib import Path

import click

from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.signing import trust_option
from corpus_audit.runners.cli.shared.streams import write_out


@click.command(short_help="Check and show the ledger of signatures.")
@click.argument("output", type=click.Path(path_type=Path), default=Path("runs"))
@click.option("--head", metavar="HEX", help="A head that was published before; the ledger must contain it.")
@trust_option
@json_option
def ledger(output: Path, head: str | None, trust_file: Path, as_json: bool) -> int:
    """Check and show the ledger of OUTPUT (an output folder, a run in it, or an audit.yaml).

    Each entry has the digest of the entry before it, so edits and gaps are detected. A ledger that was cut off at its
    end is only detected with a head that was published elsewhere. The last line printed is the current head.
    """
    from corpus_audit.checks.signoff.ledger import read_ledger
    from corpus_audit.checks.text.safe_text import safe_text
    from corpus_audit.runners.cli.shared.run_paths import resolve_run
    from corpus_audit.schemas.errors import ExitCode, VerificationError
    from corpus_audit.schemas.run.signoff import LEDGER
    from corpus_audit.schemas.run.trust import load_trust

    folder = output if (output / LEDGER).exists() else resolve_run(output).resolve().parent
    names = {}
    if trust_file.is_file():
        names = {_id(key.raw): key.holder for key in load_trust(trust_file).keys}
    try:
        entries = read_ledger(folder / LEDGER)
        if head is not None:
            entries.upto(head)
    except VerificationError as error:
        if as_json:
            emit_json("ledger", {"holds": False, "code": str(error.code), "error": str(error), "exit_code": 7})
        else:
            write_out(f"REFUSED {error.code}: {safe_text(str(error), 1000)}")
        return int(ExitCode.VERIFICATION_FAILED)
    if as_json:
        rows = [entry.model_dump(mode="json", by_alias=True) for entry in entries.entries]
        emit_json("ledger", {"holds": True, "head": entries.head, "entries": rows, "exit_code": 0})
        return int(ExitCode.OK)
    for entry in entries.entries:
        who = names.get(entry.signers[-1], f"key {entry.signers[-1][:16]}…")
        role = "author" if len(entry.signers) == 1 else f"approval {len(entry.signers) - 1}"
        write_out(f"{entry.sequence:>5}  {entry.time}  {safe_text(entry.run, 40)}  {role:11} {safe_text(who, 60)}")
    write_out(f"head {entries.head}")
    return int(ExitCode.OK)


def _id(public: bytes) -> str:
    from corpus_audit.checks.signoff.dsse import key_id

    return key_id(public)
