"""An index of an image corpus: lists equal a full sort over decoded images; resumed, incremental, verified."""

import io
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from corpus_audit.embeddings.build.build import build_index, in_order  # noqa: E402
from corpus_audit.embeddings.coactivation.related import related_units  # noqa: E402
from corpus_audit.embeddings.images import model as image_model_module  # noqa: E402
from corpus_audit.embeddings.images.card import ImageCard  # noqa: E402
from corpus_audit.embeddings.images.model import ImageParts, assemble  # noqa: E402
from corpus_audit.embeddings.images.preprocessing import Preprocessing  # noqa: E402
from corpus_audit.embeddings.images.reading import read_maps  # noqa: E402
from corpus_audit.embeddings.images.receptive_fields import receptive_field  # noqa: E402
from corpus_audit.embeddings.index.files import damaged_files  # noqa: E402
from corpus_audit.embeddings.index.reader import open_index  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from corpus_audit.schemas.spec.audit_file import load_audit  # noqa: E402
from corpus_audit.schemas.units import parse_point  # noqa: E402
from tests.embeddings.images.image_models import SmallResNet, seeded  # noqa: E402

MODEL = "corpus_audit.embeddings.images.model:small_parts"
COUNT, BATCH = 46, 8


def small_parts():
    preprocessing = Preprocessing(shortest_edge=36, crop=(32, 32), mean=(0.5,) * 3, std=(0.25,) * 3)
    return ImageParts(seeded(SmallResNet()), preprocessing, "small", tuple("abcde"))


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(image_model_module, "small_parts", small_parts, raising=False)


def picture(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(30, 60, 2)
    coarse = rng.integers(0, 256, (height // 5 + 1, width // 5 + 1, 3))
    return np.kron(coarse, np.ones((5, 5, 1)))[:height, :width].astype(np.uint8)


def png(pixels):
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def write_shard(folder, name, numbers):
    rows = [
        {
            "id": f"image-{i}",
            "kind": "ab"[i % 2],
            "caption": f"picture {i}",
            "image": {"bytes": png(picture(i)), "path": None},
        }
        for i in numbers
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / name, row_group_size=6)


def write_audit(folder, document=None, **embedding):
    embedding = {
        "model": MODEL,
        "units": ["conv.*:*", "logit:*"],
        "k": 5,
        "domain_k": 2,
        "batch_images": BATCH,
    } | embedding
    document = document or {"image": "image", "id": "id", "domain": "kind"}
    audit = {"name": "pictures", "snapshot": {"paths": ["data"]}, "document": document, "embedding": embedding}
    (folder / "audit.yaml").write_text(json.dumps(audit), encoding="utf-8")
    return load_audit(folder / "audit.yaml")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "data").mkdir()
    write_shard(folder / "data", "0.parquet", range(20))
    write_shard(folder / "data", "1.parquet", range(20, COUNT))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_model_module, "small_parts", small_parts, raising=False)
        return folder, build_index(write_audit(folder))


def peaks_of(model, numbers):
    """Peak and position of every unit on images, by plain passes; units in the order of points of the model."""
    rows = []
    for number in numbers:
        inputs = model.preprocess(picture(number))[None].repeat(BATCH, 1, 1, 1)
        with torch.inference_mode():
            maps = read_maps(model, inputs, model.units.points)
        rows.append(
            {
                str(p.point): (v[0].reshape(p.channels, -1).amax(1), v[0].reshape(p.channels, -1).argmax(1))
                for p, v in maps.items()
            }
        )
    return rows


def test_the_index_holds_the_strongest_images_of_every_unit(built):
    folder, result = built
    index, model = open_index(folder / "index"), assemble(small_parts(), "small")
    assert list(damaged_files(index.folder, index.facts)) == []
    assert result.facts.counts["documents"] == COUNT and result.facts.verified["largest"] < 1e-6
    rows = peaks_of(model, range(COUNT))
    for unit in index.units():
        point, channel = str(unit.point), unit.index
        best = sorted(range(COUNT), key=lambda i: -float(rows[i][point][0][channel]))[:5]
        examples = index.lookup(unit, k=5)
        assert [each.value for each in examples] == [float(rows[i][point][0][channel]) for i in best]
        if len({each.value for each in examples}) == 5:
            assert [each.locations[0].id for each in examples] == [f"image-{i}" for i in best]
            assert [each.position for each in examples] == [int(rows[i][point][1][channel]) for i in best]
        (example, *_) = index.lookup(unit, domain="b", k=1)
        of_domain = [float(rows[i][point][0][channel]) for i in range(1, COUNT, 2)]
        assert example.value == max(of_domain) and example.locations[0].domain == "b"
    rates = {rate.domain: rate for rate in index.domain_rates("conv.stem:1")}
    assert {name: rate.tokens for name, rate in rates.items()} == {"a": COUNT // 2, "b": COUNT // 2}


def test_the_index_tells_receptive_fields_without_the_model(built):
    folder, _ = built
    card, model = ImageCard.from_json(open_index(folder / "index").facts.model), assemble(small_parts(), "small")
    assert card.input_size == (32, 32) and card.class_names == tuple("abcde")
    assert card.preprocessing == model.preprocessing and card.digest == model.digest
    for name in ("conv.stem", "conv.blocks.1.shortcut", "logit"):
        point = model.units.of(parse_point(name))
        for position in range(0, point.height * point.width, 5):
            assert card.fields[name].box(position) == receptive_field(model.trace, point, 0, position).box


def test_a_killed_scan_goes_on_and_gives_the_same_index(built, tmp_path):
    folder, result = built
    (tmp_path / "data").symlink_to(folder / "data")
    loaded = write_audit(tmp_path)

    def killed(worker, tasks, at_once):
        worker.run_task(tasks[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(loaded, killed)
    again = build_index(loaded)
    assert again.splits_scanned + again.splits_kept == result.splits_scanned and again.splits_kept == 1
    same = {name: entry for name, entry in again.facts.files.items() if name.endswith((".npy", ".blocks", ".arrow"))}
    assert same == {name: result.facts.files[name] for name in same} and len(same) > 10


def test_only_new_shards_are_scanned(built, tmp_path):
    folder, _ = built
    (tmp_path / "data").mkdir()
    write_shard(tmp_path / "data", "0.parquet", range(20))
    loaded = write_audit(tmp_path)
    first = build_index(loaded)
    write_shard(tmp_path / "data", "1.parquet", range(20, COUNT))
    second = build_index(loaded)
    assert second.splits_kept == first.splits_scanned and second.splits_scanned == 1
    whole = open_index(folder / "index").facts.files
    assert second.facts.files["arrays/top.value.npy"] == whole["arrays/top.value.npy"]


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        ({"heatmaps": True}, "embedding.heatmaps is for language models"),
        ({"dtype": "bfloat16"}, "float32"),
        ({"units": ["conv.absent:*"]}, "no unit matches 'conv.absent"),
        ({"units": ["mlp.*:*"]}, "no unit matches 'mlp"),
        ({"units": ["expert.*:*"]}, "index an image model.s units"),
        ({"model": "absent/model", "units": ["conv.*:*"]}, "no image model"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_is_scanned(built, tmp_path, embedding, message):
    (tmp_path / "data").symlink_to(built[0] / "data")
    with pytest.raises(UsageError, match=message):
        build_index(write_audit(tmp_path, **embedding), in_order)


def test_an_image_model_needs_images(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jsonl").write_text('{"text": "a"}\n')
    audit = {"name": "t", "snapshot": {"paths": ["data"]}, "document": {"text": "text"}, "tokenizer": {"path": "t"}}
    audit["embedding"] = {"model": MODEL, "units": ["conv.*:*"]}
    (tmp_path / "audit.yaml").write_text(json.dumps(audit), encoding="utf-8")
    with pytest.raises(UsageError, match="the corpus is of texts"):
        build_index(load_audit(tmp_path / "audit.yaml"))


def invoke(*arguments):
    from click.testing import CliRunner

    from corpus_audit.runners.cli.main import cli

    return CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)


def test_lookup_shows_images_fields_and_domains_and_draws_a_contact_sheet(built):
    folder, _ = built
    index, sheet = folder / "index", folder / "sheet.png"
    common = ("lookup", "conv.blocks.0.conv2:3", "--index", index, "--k", "3", "--audit", folder / "audit.yaml")
    shown = invoke(*common, "--sheet", sheet)
    assert shown.exit_code == 0, shown.output
    stored = open_index(index).lookup("conv.blocks.0.conv2:3", k=3)
    lines = shown.output.splitlines()
    for example in stored:
        line = next(line for line in lines if f"{example.value:8.3f}  " in line)
        assert example.locations[0].id in line and f"  {example.locations[0].domain}  " in line
    assert "173 units" in shown.output and "read after convolution, native_batch_norm" in shown.output
    listed = json.loads(invoke(*common, "--json").output)
    card = ImageCard.from_json(open_index(index).facts.model)
    for row, example in zip(listed["examples"], stored, strict=True):
        number = int(row["places"][0]["id"].removeprefix("image-"))
        pixels = picture(number)
        assert row["value"] == example.value and row["problem"] is None
        geometry = card.preprocessing.geometry(*pixels.shape[:2])
        assert tuple(row["image_box"]) == geometry.to_image(*row["field"])
    drawn = np.asarray(Image.open(sheet).convert("RGB"))
    left, top, right, bottom = listed["examples"][0]["image_box"]
    crop = picture(int(listed["examples"][0]["places"][0]["id"].removeprefix("image-")))[top:bottom, left:right]
    tile = drawn[34 : 34 + 160, 10 : 10 + 160]
    scale = 160 // max(crop.shape[:2])
    height, width = crop.shape[0] * scale, crop.shape[1] * scale
    y, x = (160 - height) // 2, (160 - width) // 2
    np.testing.assert_array_equal(tile[y : y + height : scale, x : x + width : scale], crop)


def test_lookup_without_the_audit_tells_the_box_of_the_input_and_needs_no_torch(built):
    import subprocess
    import sys

    code = (
        "import sys; from corpus_audit.runners.cli.main import main\n"
        "try:\n    main()\nfinally:\n    assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", code, "lookup", "logit:2", "--index", str(built[0] / "index")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "logit:2 (c)" in done.stdout and "field 0,0 to 32,32 of the input 32 x 32" in done.stdout
    assert "every position reads the whole image: mean in the model" in done.stdout


def test_an_image_that_changed_is_not_shown(built, tmp_path):
    folder, _ = built
    (tmp_path / "data").mkdir()
    write_shard(tmp_path / "data", "0.parquet", range(100, 120))
    (tmp_path / "data" / "1.parquet").write_bytes((folder / "data" / "1.parquet").read_bytes())
    write_audit(tmp_path)
    arguments = (
        "lookup",
        "logit:1",
        "--index",
        folder / "index",
        "--k",
        "30",
        "--audit",
        tmp_path / "audit.yaml",
        "--json",
    )
    rows = json.loads(invoke(*arguments).output)["examples"]
    for row in rows:
        changed = row["places"][0]["shard"] == "0.parquet"
        assert (row["image_box"] is None) == changed and bool(row["problem"]) == changed
    assert {row["places"][0]["shard"] for row in rows} == {"0.parquet", "1.parquet"}


@pytest.mark.parametrize(
    "command",
    [
        "lookup logit:1 --heat",
        "lookup logit:1 --context",
        "explain dog",
        "heads",
        "index export logit:1 out --format parquet",
    ],
)
def test_what_reads_tokens_is_refused(built, tmp_path, monkeypatch, command):
    from click.testing import CliRunner

    from corpus_audit.runners.cli.main import cli

    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(cli, [*command.split(), "--index", str(built[0] / "index")])
    assert isinstance(shown.exception, UsageError) and "language model" in str(shown.exception)


def test_folders_and_archives_of_images_are_indexed_and_shown(tmp_path):
    from tests.pipelines.reading.image_shards import tar

    (tmp_path / "data" / "cats").mkdir(parents=True)
    for i in range(9):
        (tmp_path / "data" / "cats" / f"{i}.png").write_bytes(png(picture(i)))
    members = [(f"k{i}.png", png(picture(i))) for i in range(9, 15)]
    (tmp_path / "data" / "more.tar").write_bytes(tar(members))
    loaded = write_audit(tmp_path, {"image": "image"}, units=["conv.stem:*"], k=15)
    assert build_index(loaded).facts.counts["documents"] == 15
    arguments = ("lookup", "conv.stem:2", "--index", tmp_path / "index", "--k", "15", "--audit", loaded.path, "--json")
    rows = json.loads(invoke(*arguments).output)["examples"]
    assert len(rows) == 15 and all(row["problem"] is None and row["image_box"] for row in rows)
    assert {row["places"][0]["shard"] for row in rows} == {"cats/", "more.tar"}
    nearest = json.loads(invoke("search", "--like", "cats/ row 3", "--index", tmp_path / "index", "--json").output)
    assert nearest["query"] == {"kind": "document", "name": "cats/ row 3"} and len(nearest["examples"]) == 10
    names = {(row["places"][0]["shard"], row["places"][0]["row"]) for row in nearest["examples"]}
    assert ("cats/", 3) not in names and any(shard == "more.tar" for shard, _ in names)


def test_images_that_cannot_be_decoded_are_dead_letters_and_leave_their_neighbours(tmp_path):
    (tmp_path / "data").mkdir()
    good = [{"id": f"g{i}", "kind": "a", "image": {"bytes": png(picture(i)), "path": None}} for i in range(5)]
    bad = [
        {"id": f"b{i}", "kind": "only bad", "image": {"bytes": data, "path": None}}
        for i, data in enumerate((b"", b"no image", png(picture(1))[:-40], None))
    ]
    rows = [good[0], bad[0], good[1], bad[1], bad[2], good[2], good[3], bad[3], good[4]]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / "0.parquet")
    result = build_index(write_audit(tmp_path, units=["conv.stem:*"], k=9))
    counts = result.facts.counts
    assert (counts["documents"], counts["dead_letters"], counts["rows"], counts["windows"]) == (5, 4, 9, 5)
    assert result.facts.domains == ("a",) and open_index(result.folder).array("documents").tolist() == [5]
    listed = open_index(result.folder).lookup("conv.stem:0", k=9)
    assert {example.locations[0].id for example in listed} == {f"g{i}" for i in range(5)}
    assert {example.locations[0].row for example in listed} == {0, 2, 5, 6, 8}


@pytest.mark.parametrize("unit", ["conv.stem:1", "logit:0"])
def test_units_share_images_and_positions_of_maps_of_one_size(built, unit):
    index = open_index(built[0] / "index")
    fields = ImageCard.from_json(index.facts.model).fields

    def map_of(name):
        return len(fields[name.partition(":")[0]].rows), len(fields[name.partition(":")[0]].columns)

    related = {str(each.unit): each for each in related_units(index, unit, 10_000)}
    mine = {(example.window, example.position) for example in index.lookup(unit, k=100)}
    compared = 0
    for name in map(str, index.units()):
        theirs = {(example.window, example.position) for example in index.lookup(name, k=100)}
        shared = len({window for window, _ in mine} & {window for window, _ in theirs})
        assert (name in related) == (shared > 0 and name != unit)
        if name in related:
            alike = map_of(name) == map_of(unit) != (1, 1)
            compared += alike
            assert related[name].windows == shared
            assert related[name].positions == (len(mine & theirs) if alike else None)
    assert (compared > 0) == (unit != "logit:0")
    images = [each.windows for each in related_units(index, unit, 50)]
    assert images == sorted(images, reverse=True)


def test_the_command_speaks_of_images(built):
    where = ["units", "--with", "logit:0", "--index", built[0] / "index", "--k", "4"]
    shown = invoke(*where)
    assert shown.exit_code == 0 and "same image" in shown.output and "same position" in shown.output
    assert "token" not in shown.output and "window" not in shown.output
    assert all(len(line) <= 80 for line in shown.output.splitlines())
    first = json.loads(invoke(*where, "--json").output)["units"][0]
    assert set(first) == {"unit", "images", "positions", "examples"} and first["positions"] is None
