"""Exported tokenizers give the ids that transformers gives, whatever tokenizer_config.json changes."""

import json

import pytest
import torch
from tokenizers import BertWordPieceTokenizer
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

import bistil
from bistil.errors import BistilError
from bistil.runtime.tokenizer import backend

TEXTS = ["The Teacher READS fresh Bread.", "Café 漢字  İzmir", ""]


@pytest.fixture(scope="module")
def pieces():
    made = BertWordPieceTokenizer(lowercase=False, strip_accents=False)
    lines = ["The Teacher READS fresh Bread.", "Café İzmir the teacher reads fresh bread cafe izmir"]
    made.train_from_iterator(lines, vocab_size=200, min_frequency=1, show_progress=False)
    return made


@pytest.fixture
def folder(pieces, tmp_path):
    """A classifier that somebody else made: weights and config.json."""
    out, size = tmp_path / "classifier", pieces.get_vocab_size()
    labels = {0: "a", 1: "b", 2: "c"}
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=size, **small, max_position_embeddings=64, initializer_range=0.5, id2label=labels
    )
    BertForSequenceClassification(config).save_pretrained(out)
    return out


def write(folder, pieces, *, vocabulary_alone=False, **settings):
    if vocabulary_alone:
        ids = pieces.get_vocab()
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in sorted(ids, key=ids.get)))
    else:
        pieces.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "BertTokenizer", "model_max_length": 64, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_whole(folder, pieces, **settings):
    """A file that says all that the settings do."""
    write(folder, pieces, do_lower_case=False, strip_accents=False, **settings)
    AutoTokenizer.from_pretrained(folder).backend_tokenizer.save(str(folder / "tokenizer.json"))


@pytest.mark.parametrize(
    "settings", [{"do_lower_case": True}, {"do_lower_case": False, "strip_accents": True}, {}]
)
def test_settings_beside_the_file_count(folder, pieces, tmp_path, settings):
    write(folder, pieces, **settings)
    reference = AutoTokenizer.from_pretrained(folder)
    assert reference(TEXTS).input_ids != [backend(folder).encode(text).ids for text in TEXTS]
    with pytest.raises(BistilError, match=r"is not bistil's to change. Say with output_dir"):
        bistil.export(folder, progress=False)
    out = bistil.export(folder, tmp_path / "out", progress=False).output_dir
    assert [backend(out).encode(text).ids for text in TEXTS] == reference(TEXTS).input_ids
    assert AutoTokenizer.from_pretrained(out)(TEXTS).input_ids == reference(TEXTS).input_ids
    found, wanted = bistil.load(out, engine="onnx")(TEXTS[:2]), bistil.load(folder, engine="torch")(TEXTS[:2])
    for one, other in zip(found, wanted, strict=True):
        assert one.label == other.label
        assert one.probability == pytest.approx(other.probability, abs=1e-4)


def test_a_vocabulary_alone_is_enough(folder, pieces):
    write(folder, pieces, vocabulary_alone=True, do_lower_case=False)
    wanted = bistil.load(folder)(TEXTS[0])
    bistil.export(folder, progress=False)
    assert (folder / "tokenizer.json").is_file()
    assert bistil.load(folder, engine="onnx")(TEXTS[0]).probability == pytest.approx(wanted.probability, abs=1e-4)


def test_a_file_that_says_all_is_copied_as_it_is(folder, pieces, tmp_path):
    write_whole(folder, pieces)
    out = bistil.export(folder, tmp_path / "out", progress=False).output_dir
    assert (out / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()


def test_a_text_longer_than_the_positions_is_cut_to_them(folder, pieces):
    write_whole(folder, pieces, model_max_length=512)
    text = "the teacher reads " * 60
    wanted = bistil.load(folder, engine="torch")(text)
    bistil.export(folder, progress=False)
    assert bistil.load(folder, engine="onnx")(text).probability == pytest.approx(wanted.probability, abs=1e-4)


def test_weights_that_were_trained_on_after_the_export_are_seen(folder, pieces):
    write_whole(folder, pieces)
    bistil.export(folder, progress=False)
    bistil.load(folder)
    model = BertForSequenceClassification.from_pretrained(folder)
    model.classifier.weight.data += 0.1
    model.save_pretrained(folder)
    with pytest.raises(BistilError, match="was exported from other weights than those beside it"):
        bistil.load(folder)
    assert bistil.load(folder, engine="torch")(TEXTS[0]).label in "abc"
    for path in folder.glob("*.safetensors"):
        path.unlink()
    assert bistil.load(folder)(TEXTS[0]).label in "abc"  # ONNX files need no weights beside them


def test_what_bistil_wrote_for_another_purpose_stays(folder, pieces, tmp_path):
    write_whole(folder, pieces)
    first = bistil.export(folder, tmp_path / "first", progress=False).output_dir
    (first / "export.json").rename(tmp_path / "export.json")
    marker = first / ".bistil.json"
    known = json.loads(marker.read_text())
    known["files"].pop("export.json")
    marker.write_text(json.dumps(known))  # as the folder of a run, or a page, is
    with pytest.raises(BistilError, match="holds what bistil wrote there, and no earlier export"):
        bistil.export(folder, first, progress=False)
    assert (first / "model.safetensors").is_file()
