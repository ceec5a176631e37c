"""An index read, and computed again, by the words of `embeddings/index/FORMAT.md` alone.

Nothing of the package is used but the index that it made: hashes, windows, lists, samples, histograms and sums are
computed here from the documents and from `transformers`.
"""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.slow

MASK = 2**64 - 1
WINDOW_HISTOGRAM, GROUPS, BINS = 16, 16, 17


def blake(*parts):
    return hashlib.blake2b(b"".join(parts), digest_size=16).digest()


def mix(h):
    h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    h = (h ^ (h >> 27)) * 0x94D049BB133111EB & MASK
    return h ^ (h >> 31)


def context(ids):
    h = 0x9E3779B97F4A7C15
    for number in ids[-8:]:
        h = mix(h ^ (number + 1))
    return h


def histogram_bin(value):
    magnitude = abs(value)
    if magnitude < 2.0**-8:
        return 32
    e = int(np.floor(np.log2(magnitude)))
    code = min(2 * (e + 8) + (magnitude >= 1.5 * 2.0**e), 31) if e < 8 else 31
    return 33 + code if value > 0 else 31 - code


def sample_bin(value):
    return 0 if value < 2.0**-8 else min(int(np.floor(np.log2(value))) + 9, 16)


def unpacked(folder, name, entry, starts):
    """A packed array: blocks of 256 units, each the byte planes of its numbers, the units along their last axis."""
    data, kind = (folder / "arrays" / f"{name}.blocks").read_bytes(), np.dtype(entry["dtype"])
    assert starts[0] == 0 and starts[-1] == len(data)
    axis = 2 if name in ("fired", "total") else 0
    others = [size for at, size in enumerate(entry["shape"]) if at != axis]
    blocks = []
    for number, begin in enumerate(range(0, entry["shape"][axis], 256)):
        units = min(256, entry["shape"][axis] - begin)
        size = int(np.prod(others)) * units
        frame = data[int(starts[number]) : int(starts[number + 1])]
        planes = pa.decompress(frame, size * kind.itemsize, codec="zstd", asbytes=True)
        each = np.frombuffer(planes, np.uint8).reshape(kind.itemsize, size)
        blocks.append(each.T.copy().view(kind).reshape(*others, units))
    return np.moveaxis(np.concatenate(blocks, axis=-1), -1, axis)


class Window:
    """A window as the page makes it, with the activations of all units at its tokens."""

    def __init__(self, document, number, ids, counted):
        self.document, self.number, self.ids, self.counted = document, number, ids, counted


@pytest.fixture(scope="module")
def world(encoder_indexes):
    """The folder of an index, its index.json, its arrays, and its windows in their order."""
    from tokenizers import Tokenizer

    folder = encoder_indexes[0].folder
    base = folder.parents[1]
    facts = json.loads((folder / "index.json").read_text())
    arrays = {path.stem: np.load(path) for path in (folder / "arrays").glob("*.npy")}
    arrays |= {name: unpacked(folder, name, entry, arrays[f"{name}.starts"]) for name, entry in facts["packed"].items()}
    card = facts["model"]
    plan = [facts["window"], 0, card["causal"], card["prefix"], card["suffix"], card["special"], card["tokenizer"]]
    assert hashlib.sha256(json.dumps(plan).encode()).hexdigest() == facts["windows"] and not card["causal"]
    tokenizer = Tokenizer.from_file(str(base / "model" / "tokenizer.json"))
    assert hashlib.sha256(tokenizer.to_str().encode()).hexdigest() == card["tokenizer"]
    stride = facts["window"] - len(card["prefix"]) - len(card["suffix"])
    windows = []
    documents = []
    for line in (base / "rows.jsonl").read_text().splitlines():
        row = json.loads(line)
        name = row["id"].encode()
        key = blake(len(name).to_bytes(8, "big"), name, row["text"].encode())
        documents.append((row["kind"], key))
        tokens = tokenizer.encode(row["text"], add_special_tokens=False).ids
        for number, begin in enumerate(range(0, len(tokens), stride)):
            own = tokens[begin : begin + stride]
            ids = [*card["prefix"], *own, *card["suffix"]]
            around = [False] * len(card["prefix"])
            window = Window((row["kind"], key), number, ids, [*around, *(t not in card["special"] for t in own), False])
            window.id = blake(key, bytes.fromhex(facts["windows"]), number.to_bytes(8, "big"))
            window.name = int.from_bytes(window.id[:8], "big")
            windows.append(window)
    windows.sort(key=lambda window: window.name)
    read_activations(base / "model", np.load(base / "probe.npy"), windows)
    return folder, facts, arrays, windows, documents


def read_activations(folder, probe, windows):
    """Of mlp.1, resid.2, head.0 and dir.probe, in the order of the index: highest and lowest's, [T, R]."""
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    layers, seen = model.encoder.layer, {}
    layers[1].intermediate.dense.register_forward_hook(lambda m, given, out: seen.update(before=out))
    layers[1].output.dense.register_forward_pre_hook(lambda m, given: seen.update(neurons=given[0]))
    layers[0].attention.output.dense.register_forward_pre_hook(lambda m, given: seen.update(heads=given[0]))
    weight = layers[0].attention.output.dense.weight.detach().numpy().reshape(32, 4, 8)
    for window in windows:
        with torch.inference_mode():
            streams = model(input_ids=torch.tensor([window.ids]), output_hidden_states=True).hidden_states
        heads = np.einsum("lhs,dhs->lhd", seen["heads"][0].numpy().reshape(-1, 4, 8), weight)
        parts = {
            "mlp.1": seen["neurons"][0].numpy(),
            "resid.2": streams[3][0].numpy(),
            "head.0": np.linalg.norm(heads, axis=-1),
            "dir.probe": streams[2][0].numpy() @ probe.T,
        }
        window.parts, window.stream = parts, streams[3][0].numpy()
        window.lowest_parts = parts | {"mlp.1": seen["before"][0].numpy()}


def of_points(facts, window, lowest=False):
    parts = window.lowest_parts if lowest else window.parts
    return np.concatenate([parts[point] for point, _ in facts["points"]], axis=1)


def test_files_and_windows(world):
    folder, facts, arrays, windows, documents = world
    assert facts["format"] == "corpus-audit/activation-index/4"
    for name, entry in facts["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == entry["sha256"]
    table = pa.ipc.open_file(str(folder / "windows.arrow")).read_all().to_pydict()
    assert table["window"] == [window.name for window in windows] and table["id"] == [window.id for window in windows]
    assert table["document"] == [window.document[1] for window in windows]
    assert table["number"] == [window.number for window in windows]
    assert table["tokens"] == [window.ids for window in windows]
    assert table["counted"] == [window.counted for window in windows]
    stored = pa.ipc.open_file(str(folder / "documents.arrow")).read_all().to_pydict()
    assert sorted(zip(stored["domain"], stored["document"], strict=True)) == sorted(documents)
    assert [arrays["documents"][d] for d in range(2)] == [
        sum(kind == domain for kind, _ in documents) for domain in facts["domains"]
    ]
    assert len(arrays["indices"]) == sum(size for _, size in facts["points"])


def test_sums_and_histograms(world):
    _, facts, arrays, windows, _ = world
    units = len(arrays["indices"])
    tokens, fired = np.zeros((2, GROUPS), int), np.zeros((2, GROUPS, units), int)
    total, histogram = np.zeros((2, GROUPS, units)), np.zeros((units, 65), int)
    for window in windows:
        d, group = facts["domains"].index(window.document[0]), window.document[1][-1] % GROUPS
        values = of_points(facts, window)[np.array(window.counted)]
        tokens[d, group] += len(values)
        fired[d, group] += (values > 0).sum(axis=0)
        total[d, group] += values.sum(axis=0)
        if window.name % WINDOW_HISTOGRAM == 0:
            for row in range(units):
                np.add.at(histogram[row], [histogram_bin(float(value)) for value in values[:, row]], 1)
    assert (arrays["tokens"] == tokens).all() and tokens.sum() == facts["counts"]["tokens"]
    # A value within rounding of an edge may be on its other side.
    assert np.abs(arrays["fired"].astype(int) - fired).sum() <= 2
    assert np.abs(arrays["histogram"].astype(int) - histogram).sum() <= 4 and histogram.sum() > 0
    np.testing.assert_allclose(arrays["total"], total, rtol=1e-4, atol=1e-3)


def listed(windows, values, row, k, wanted):
    """The first k examples over distinct contexts: (value, row of the window, position)."""
    examples = []
    for number, window in enumerate(windows):
        if wanted(window):
            column = np.where(window.counted, values[number][:, row], -np.inf)
            at = int(column.argmax())
            examples.append((-column[at], window.name, number, at, context(window.ids[1 : at + 1])))
    best, seen = [], set()
    for value, _, number, at, of_tokens in sorted(examples):
        if of_tokens not in seen and len(best) < k:
            seen.add(of_tokens)
            best.append((-value, number, at))
    return best


def check(arrays, name, at, expected, sign=1):
    value, row, position = (arrays[f"{name}.{part}"][at] for part in ("value", "row", "position"))
    filled = len(expected)
    np.testing.assert_allclose(value[:filled], [sign * each[0] for each in expected], rtol=0, atol=2e-5)
    assert row[:filled].tolist() == [each[1] for each in expected]
    assert position[:filled].tolist() == [each[2] for each in expected]


@pytest.mark.parametrize("row", [0, 7, 40, 48, 79, 80, 83, 84])
def test_lists_and_samples(world, row):
    _, facts, arrays, windows, _ = world
    values = [of_points(facts, window) for window in windows]
    check(arrays, "top", row, listed(windows, values, row, facts["sizes"]["k"], lambda window: True))
    for d, domain in enumerate(facts["domains"]):
        own = listed(windows, values, row, facts["sizes"]["domain_k"], lambda w, name=domain: w.document[0] == name)
        check(arrays, "domain", (d, row), own)
    lowest = [-of_points(facts, window, lowest=True) for window in windows]
    check(arrays, "minima", row, listed(windows, lowest, row, facts["sizes"]["minima"], lambda window: True))
    by_bin = {}
    for number, window in enumerate(windows):
        column = np.where(window.counted, values[number][:, row], -np.inf)
        at = int(column.argmax())
        order = mix(window.name ^ mix(row + 1))
        by_bin.setdefault(sample_bin(float(column[at])), []).append((order, float(column[at]), number, at))
    for number in range(BINS):
        kept = [each[1:] for each in sorted(by_bin.get(number, []))[: facts["sizes"]["samples"]]]
        check(arrays, "samples", (row, number), kept)
        assert (arrays["samples.row"][row, number][len(kept) :] == len(windows)).all()


def test_vectors(world):
    _, facts, arrays, windows, _ = world
    assert arrays["vector.window"].tolist() == [window.name for window in windows] and facts["vectors"]["block"] == 2
    for at, window in enumerate(windows):
        stream = window.stream[np.array(window.counted)].astype(np.float64)
        mean, norms = stream.mean(axis=0), np.linalg.norm(stream, axis=1)
        np.testing.assert_allclose(arrays["vector.mean"][at], mean / np.linalg.norm(mean), rtol=0, atol=1e-5)
        np.testing.assert_allclose(arrays["vector.norm"][at], [np.linalg.norm(mean), norms.max()], rtol=1e-5)
        loudest = window.stream[arrays["vector.position"][at]].astype(np.float64)  # of nearly equal lengths any may be
        assert window.counted[arrays["vector.position"][at]] and np.linalg.norm(loudest) >= norms.max() * (1 - 1e-5)
        peak = loudest / np.linalg.norm(loudest)
        np.testing.assert_allclose(arrays["vector.peak"][at], peak, rtol=0, atol=1e-5)
    assert len(windows) < 4096 and not any(name.endswith(".codes") for name in arrays)
