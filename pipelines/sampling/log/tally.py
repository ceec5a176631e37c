"""Adds up a sampler's log: by window of steps and domain while it streams, by document in partitions of ids.

Rows with ids are kept as records of 32 bytes in 128 partitions by the hash of the id, in memory up to 256 MiB and else
in temporary files; a partition is then sorted on its own. So memory is about 100 bytes for every 128th row (0.8 GB for
10^9 rows) and the sums of windows by domains; disk is 32 bytes a row in the folder for temporary files, and 12 bytes a
document of the corpus where ids have to be looked up.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpus_audit.pipelines.sampling.log.reader import SamplerLogReader, id_keys
from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.errors import UsageError

PARTITIONS = 128  # by the leading 7 bits of the key: draws and documents of equal keys meet in one partition
MEMORY_BYTES = 256 * 2**20
"""Records of partitions in memory; beyond it they are written to files."""

TOP_DOCUMENTS = 100
"""Documents drawn most often that are listed."""

CELLS = 1 << 22
"""Windows times domains at most; with more domains there are fewer windows."""

MOST_UNKNOWN = 10  # domains that are named; a log of another corpus may have millions

RECORD = np.dtype([("key", "<u8"), ("tokens", "<i8"), ("loss", "<f8"), ("domain", "<i4"), ("window", "<i4")])
"""A drawn document; ``domain`` is -1 where it must be looked up."""

_MEMBER = np.dtype([("key", "<u8"), ("domain", "<i4")])


@dataclass(slots=True)
class LogTotals:
    """Sums over W windows and G + 1 domains, the last of which is unknown to the run; [W, G + 1] unless said.

    Attributes:
        documents, tokens: drawn, int64.
        squares: sum of squared tokens of the drawn documents, n^2.
        loss: sum of n times the loss; loss_tokens: sum of n, both over draws with a loss.
        loss_squares: by window sums of n^2, n^2 l and n^2 l^2 over draws with a loss l, [3, W].
    """

    documents: Integers
    tokens: Integers
    squares: Floats
    loss: Floats
    loss_tokens: Floats
    loss_squares: Floats

    @classmethod
    def empty(cls, windows: int, domains: int) -> LogTotals:
        """The totals of a log without rows."""
        shape = (windows, domains + 1)
        documents, tokens = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        return cls(documents, tokens, np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros((3, windows)))

    def add(self, window: Integers, domain: Integers, tokens: Integers, loss: Floats | None) -> None:
        """Add drawn documents, arrays [N]; a loss that is NaN counts as missing."""
        windows, domains = self.documents.shape
        cell = window * domains + domain
        size = self.documents.size
        amount = tokens.astype(np.float64)
        np.add.at(self.tokens.ravel(), cell, tokens)
        self.documents += np.bincount(cell, minlength=size).reshape(windows, domains)
        self.squares += np.bincount(cell, weights=amount**2, minlength=size).reshape(windows, domains)
        if loss is None:
            return
        stated = np.isfinite(loss)
        cells, n, value, w = cell[stated], amount[stated], loss[stated], window[stated]
        self.loss += np.bincount(cells, weights=n * value, minlength=size).reshape(windows, domains)
        self.loss_tokens += np.bincount(cells, weights=n, minlength=size).reshape(windows, domains)
        for row, power in enumerate((n**2, n**2 * value, n**2 * value**2)):
            self.loss_squares[row] += np.bincount(w, weights=power, minlength=windows)


@dataclass(slots=True)
class Repeats:
    """How often documents were drawn, by domain; [G + 1].

    Attributes:
        distinct: documents that were drawn, int64; draws: how often in all, int64.
        squares: sum over documents of draws^2, float64.
        most: most draws of a document, int64.
        top: by key, (draws, tokens, domain) of the documents drawn most often.
    """

    distinct: Integers
    squares: Floats
    most: Integers
    draws: Integers
    top: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    @classmethod
    def empty(cls, domains: int) -> Repeats:
        """The repeats of a log without rows."""
        sizes = domains + 1
        return cls(np.zeros(sizes, np.int64), np.zeros(sizes), np.zeros(sizes, np.int64), np.zeros(sizes, np.int64))

    def add(self, key: npt.NDArray[np.uint64], domain: Integers, tokens: Integers) -> None:
        """Add a partition: all draws of its documents."""
        if not len(key):
            return
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        draws = np.diff(starts, append=len(key))
        document_domain = domain[order][starts]
        sums = np.add.reduceat(tokens[order], starts)
        size = len(self.distinct)
        self.distinct += np.bincount(document_domain, minlength=size)
        self.squares += np.bincount(document_domain, weights=draws.astype(np.float64) ** 2, minlength=size)
        np.add.at(self.draws, document_domain, draws)
        np.maximum.at(self.most, document_domain, draws)
        for i in np.lexsort((ordered[starts], -draws))[:TOP_DOCUMENTS]:
            self.top[int(ordered[starts[i]])] = (int(draws[i]), int(sums[i]), int(document_domain[i]))
        self.top = dict(sorted(self.top.items(), key=lambda item: (-item[1][0], item[0]))[:TOP_DOCUMENTS])


@dataclass(frozen=True, slots=True)
class Tally:
    """A log, added up.

    Attributes:
        edges: first step of every window and one past the last, int64 [W + 1].
        totals: sums by window and domain.
        repeats: how often documents were drawn; None if the log has no ids.
        ids: the ids of the documents in ``repeats.top``, by key.
        unknown_domains: some domains of the log that the run lacks.
    """

    edges: Integers
    totals: LogTotals
    repeats: Repeats | None
    ids: dict[int, str]
    unknown_domains: list[str]


def read_log(run: RunDirectory, log: SamplerLogReader, windows: int, names: list[str]) -> Tally:
    """Add up a log by window of steps, by domain and by document.

    Args:
        run: the run whose table ``per_document`` names the domain of an id, if the log does not.
        log: the log.
        windows: windows of equally many steps; fewer if there are fewer steps, or more than `CELLS` cells.
        names: the domains, G.

    Raises:
        UsageError: the log does not fit its spec, or ids cannot be looked up.
    """
    members = None if log.has_domain else _members_file(run, log)
    low, high = log.step_range()
    number = max(1, min(windows, high - low + 1, CELLS // (len(names) + 1)))
    # Window w begins at the first step s with (s - low) * number >= w * steps.
    edges = low - (-np.arange(number + 1) * (high - low + 1)) // number
    totals = LogTotals.empty(number, len(names))
    unknown_domains: dict[str, None] = {}
    with tempfile.TemporaryDirectory(prefix="corpus-audit-log-") as scratch:
        folder = Path(scratch)
        drawn = Partitions(folder / "log", RECORD)
        for rows in log.rows():
            window = np.searchsorted(edges, rows.step, side="right") - 1
            domain = np.full(len(window), -1, np.int64)
            if rows.domain is not None:
                domain = _codes(rows.domain, names, unknown_domains)
                totals.add(window, domain, rows.tokens, rows.loss)
            if rows.document is not None:
                records = np.empty(len(window), RECORD)
                records["key"], records["tokens"] = id_keys(rows.document), rows.tokens
                records["domain"], records["window"] = domain, window
                records["loss"] = np.nan if rows.loss is None else rows.loss
                drawn.add(records)
        repeats = Repeats.empty(len(names)) if log.has_document else None
        if repeats is not None:
            corpus = _members(members, names, folder) if members is not None else None
            for part in range(PARTITIONS):
                records = drawn.pop(part)
                domain = records["domain"].astype(np.int64)
                if corpus is not None:
                    domain = _joined(records["key"], corpus.pop(part), len(names))
                    loss = records["loss"] if log.has_loss else None
                    totals.add(records["window"].astype(np.int64), domain, records["tokens"], loss)
                repeats.add(records["key"], domain, records["tokens"])
    ids = _ids_of(log, set(repeats.top)) if repeats is not None else {}
    return Tally(edges, totals, repeats, ids, list(unknown_domains))


def _codes(domain: pa.Array, names: list[str], unknown_domains: dict[str, None]) -> Integers:
    codes = pc.index_in(domain, value_set=pa.array(names, pa.string()))
    if codes.null_count:
        for name in pc.unique(domain.filter(pc.is_null(codes))).to_pylist()[:MOST_UNKNOWN]:
            if len(unknown_domains) < MOST_UNKNOWN:
                unknown_domains[name] = None
        codes = pc.fill_null(codes, len(names))
    return np.asarray(codes.to_numpy(zero_copy_only=False), dtype=np.int64)


def _members_file(run: RunDirectory, log: SamplerLogReader) -> Path:
    path = run.folder / "tables" / "per_document.parquet"
    if not path.is_file():
        raise UsageError(
            f"sampler log {log.path}: it has no column {log.spec.domain!r}, and the run has no table per_document "
            "in which ids could be looked up; run the audit with --per-document"
        )
    return path


def _members(path: Path, names: list[str], folder: Path) -> Partitions:
    """Ids of the corpus with their domains, from table ``per_document``, partitioned by hash."""
    partitions = Partitions(folder / "corpus", _MEMBER)
    with pq.ParquetFile(path) as parquet:
        for batch in parquet.iter_batches(columns=["id", "domain"]):
            if batch.column(0).null_count:
                raise UsageError(f"{path}: documents without an id cannot be looked up; set document.id in the audit")
            records = np.empty(len(batch), _MEMBER)
            records["key"] = id_keys(batch.column(0))
            records["domain"] = _codes(batch.column(1).cast(pa.string()), names, {})
            partitions.add(records)
    return partitions


def _joined(key: npt.NDArray[np.uint64], corpus: npt.NDArray[np.void], domains: int) -> Integers:
    """The domain of every key, int64; ``domains`` (the unknown one) for keys that are not in the corpus."""
    ordered = corpus[np.argsort(corpus["key"], kind="stable")]
    if not len(ordered):
        return np.full(len(key), domains, np.int64)
    row = np.minimum(np.searchsorted(ordered["key"], key), len(ordered) - 1)
    return np.where(ordered["key"][row] == key, ordered["domain"][row], domains).astype(np.int64)


def _ids_of(log: SamplerLogReader, keys: set[int]) -> dict[int, str]:
    """Ids of a few keys, read from the log again until all are found; frequent documents are found early."""
    id_of_key: dict[int, str] = {}
    wanted_keys = np.array(sorted(keys), np.uint64)
    for ids in log.ids():
        batch_keys = id_keys(ids)
        for i in np.flatnonzero(np.isin(batch_keys, wanted_keys)):
            id_of_key.setdefault(int(batch_keys[i]), ids[i].as_py())
        if len(id_of_key) == len(keys):
            break
    return id_of_key


class Partitions:
    """Records partitioned by the hash of their id, in memory or, beyond `MEMORY_BYTES`, in files of a folder."""

    def __init__(self, folder: Path, dtype: np.dtype[np.void]) -> None:
        self._folder = folder
        self._dtype = dtype
        self._in_memory: list[list[npt.NDArray[np.void]]] = [[] for _ in range(PARTITIONS)]
        self._bytes = 0

    def add(self, records: npt.NDArray[np.void]) -> None:
        """Add records to their partitions."""
        part = (records["key"] >> np.uint64(57)).astype(np.int64)
        order = np.argsort(part, kind="stable")
        edges = np.searchsorted(part[order], np.arange(PARTITIONS + 1))
        ordered = records[order]
        for number in range(PARTITIONS):
            if edges[number + 1] > edges[number]:
                self._in_memory[number].append(ordered[edges[number] : edges[number + 1]].copy())
        self._bytes += records.nbytes
        if self._bytes > MEMORY_BYTES:
            self._spill()

    def pop(self, number: int) -> npt.NDArray[np.void]:
        """Remove a partition and return its records."""
        path = self._folder / f"{number}"
        parts = [np.fromfile(path, self._dtype)] if path.exists() else []
        path.unlink(missing_ok=True)
        parts += self._in_memory[number]
        self._in_memory[number] = []
        return np.concatenate(parts) if parts else np.empty(0, self._dtype)

    def _spill(self) -> None:
        self._folder.mkdir(exist_ok=True)
        for number, parts in enumerate(self._in_memory):
            with (self._folder / f"{number}").open("ab") as file:
                for part in parts:
                    part.tofile(file)
            parts.clear()
        self._bytes = 0
