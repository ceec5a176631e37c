"""Units of every causal and masked model of `transformers` that builds small, against plain hooks, as a table."""

from __future__ import annotations

from collections import Counter

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from corpus_audit.embeddings.models.hooks import Taps  # noqa: E402
from corpus_audit.embeddings.models.model_folder import ModelParts  # noqa: E402
from corpus_audit.embeddings.models.models import assemble  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from corpus_audit.schemas.units import Kind, UnitPattern  # noqa: E402
from tests.embeddings import architectures  # noqa: E402
from tests.embeddings.architecture_reference import DOWN, OUT, ROUTER, Reference, close, head_norms, heads_of  # noqa: E402

ROWS, LENGTH = 4, 9
KINDS = (Kind.MLP, Kind.RESID, Kind.HEAD, Kind.EXPERT, Kind.LOGIT)
EXACT, UNCHECKED, WRONG, SILENT = "exact", "not checked", "WRONG", "SILENT"


def load(module):
    config = module.config.get_text_config()
    heads = int(getattr(config, "num_attention_heads", 0) or 0)
    parts = ModelParts(module, architectures.word_tokenizer(), "00", heads, 2**31)
    return assemble(parts, "small", "cpu", with_head=True, count=getattr(config, "num_hidden_layers", None))


def readings(model, ids):
    """What the product reads of all units, by point: [B, L, units], and which experts were chosen."""
    taps = Taps(model, ())
    patterns = tuple(UnitPattern(str(point)) for point in taps.widths)
    if not patterns:
        return {}, {}
    taps = Taps(model, patterns)
    values, fired = {}, {}
    starts = {row: point for point, row in taps.selection.first_rows().items()}

    def sink(activations):
        assert activations.values.shape[:2] == tuple(ids.shape), activations.values.shape
        if activations.highest:
            values[starts[activations.row]] = activations.values.float().clone()
            fired[starts[activations.row]] = activations.fired

    with taps.hooked():
        taps.run(ids, sink)
    assert set(values) == set(taps.widths)
    assert all(values[point].shape[-1] == width for point, width in taps.widths.items())
    return values, fired


def verdict(reference, model, point, values, fired):
    """How what was read of one text, [L, units], compares with the reference."""
    blocks, width = len(model.blocks), values.shape[-1]
    match point.kind:
        case Kind.LOGIT:
            return EXACT if close(values, reference.output.logits[0]) else WRONG
        case Kind.RESID:
            if point.block < blocks - 1:
                return EXACT if close(values, reference.residuals(blocks)[point.block]) else WRONG
            return EXACT if reference.is_last(values) else WRONG
        case Kind.MLP:
            given = reference.inputs(DOWN, point.block, width, LENGTH)
            if not given:
                return UNCHECKED
            return EXACT if any(close(values, each) for _, each in given) else WRONG
        case Kind.HEAD:
            heads = heads_of(reference.module, point.block)
            given = [each for each in reference.inputs(OUT, point.block, -1, LENGTH) if each[1].shape[-1] % heads == 0]
            if not given:
                return UNCHECKED
            return EXACT if any(close(values, head_norms(*each, heads)) for each in given) else WRONG
        case Kind.EXPERT:
            given = [
                (each @ part.weight.T.float()) + (getattr(part, "bias", None) if part_has_bias(part) else 0)
                for part, each in reference.inputs(ROUTER, point.block, -1, LENGTH)
                if part.weight.dim() == 2
            ]
            per_token = fired.sum(dim=-1)
            if not given:
                return UNCHECKED
            same = any(close(values, each) for each in given) and bool((per_token == per_token[0]).all())
            return EXACT if same and 0 < int(per_token[0]) <= width else WRONG


def part_has_bias(part):
    return isinstance(getattr(part, "bias", None), torch.Tensor)


def compare(module):
    """By kind, in how many blocks its units are exact, or why they are not offered; and whether the model is causal."""
    model = load(module)
    torch.manual_seed(7)
    ids = torch.randint(20, architectures.VOCABULARY, (ROWS, LENGTH))
    values, fired = readings(model, ids)
    verdicts = {kind: Counter() for kind in KINDS}
    references = [Reference(module, ids[row]) for row in range(2)]
    for point, of_point in values.items():
        results = set()
        for row, reference in enumerate(references):
            chosen = None if fired[point] is None else fired[point][row]
            results.add(verdict(reference, model, point, of_point[row], chosen))
        verdicts[point.kind][next((each for each in (WRONG, UNCHECKED) if each in results), EXACT)] += 1
    for kind in (Kind.MLP, Kind.RESID, Kind.HEAD):
        reasons = {block for each in model.not_offered if each.kind is kind for block in each.blocks}
        offered = {point.block for point in values if point.kind is kind}
        verdicts[kind][SILENT] += len(set(range(len(model.blocks))) - reasons - offered)
    routed = {b for each in model.not_offered if "routed experts" in each.reason for b in each.blocks}
    routed -= {b for each in model.not_offered if each.kind is Kind.EXPERT for b in each.blocks}
    verdicts[Kind.EXPERT][SILENT] += len(routed - {point.block for point in values if point.kind is Kind.EXPERT})
    if "logit" not in {str(point) for point in values}:
        verdicts[Kind.LOGIT][SILENT] += not any(each.kind is Kind.LOGIT for each in model.not_offered)
    other = ids.clone()
    other[:, -1] = (other[:, -1] + 3) % architectures.VOCABULARY
    with torch.inference_mode():
        pair = [module(input_ids=each, output_hidden_states=True).logits for each in (ids, other)]
    causal = close(pair[0][:, 0], pair[1][:, 0])
    return model, verdicts, causal == model.card.causal


def row(name, model, verdicts):
    cells = []
    for kind in KINDS:
        counted = [f"{count} {each}" for each, count in verdicts[kind].items() if count]
        reasons = [
            f"{len(each.blocks) or 1} not offered: {each.reason}" for each in model.not_offered if each.kind is kind
        ]
        cells.append(f"{kind}: {', '.join(counted + reasons) or 'none'}")
    return f"{name:40} {'; '.join(cells)}"


@pytest.mark.slow
def test_units_of_every_architecture(capsys):
    """A block's units of a kind are those of plain hooks, or the record says why they are not offered."""
    totals = {kind: Counter() for kind in KINDS}
    lines, failed, refused, unbuilt, not_causal = [], [], [], [], []
    for type_name, head in architectures.names():
        name = f"{type_name} {head}"
        try:
            module = architectures.build(type_name, head)
        except Exception as error:  # any error of transformers' own: this one does not build small
            unbuilt.append(f"{name}: {type(error).__name__}")
            continue
        if module.config.is_encoder_decoder:
            refused.append(f"{name}: an encoder-decoder")
            continue
        try:
            model, verdicts, is_right = compare(module)
        except UsageError as error:
            refused.append(f"{name}: {error}")
            continue
        lines.append(row(name, model, verdicts))
        for kind in KINDS:
            totals[kind] += verdicts[kind]
            totals[kind]["not offered"] += sum(
                len(each.blocks) or 1 for each in model.not_offered if each.kind is kind and each.exists
            )
        if any(verdicts[kind][bad] for kind in KINDS for bad in (WRONG, SILENT)):
            failed.append(lines[-1])
        if not is_right:
            not_causal.append(name)
    with capsys.disabled():
        print()
        print("\n".join(lines))
        print(f"{len(lines)} models; refused: {'; '.join(refused) or 'none'}")
        print(f"not built small ({len(unbuilt)}): {'; '.join(unbuilt)}")
        for kind in KINDS:
            print(f"{kind:7} {dict(totals[kind])}")
    assert not failed, "\n".join(failed)
    assert not not_causal, not_causal
    assert len(lines) >= 170
    for kind in KINDS:
        assert totals[kind][EXACT] > 20 * totals[kind][UNCHECKED], (kind, totals[kind])
