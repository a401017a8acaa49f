import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants, snapshot_download
from huggingface_hub.utils import filter_repo_objects
from tests.standin import served
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    PreTrainedTokenizerFast,
)

from bistil.errors import BistilError
from bistil.models.families import FAMILIES
from bistil.models.teachers import Origin, fingerprint, load, locate, origin, read_config

SIZES = {
    "vocab_size": 7,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 16,
}


def save_tokenizer(folder: Path) -> None:
    words = {word: index for index, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", "ev", "su", "<mask>"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", mask_token="<mask>")
    fast.save_pretrained(folder)


@pytest.fixture
def teacher(tmp_path) -> Path:
    folder = tmp_path / "teacher"
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig(**SIZES)).half().save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def test_local_folder_is_loaded_as_a_bare_float32_encoder_in_eval_mode(teacher):
    assert locate(str(teacher)) == teacher
    model, tokenizer = load(teacher)
    assert type(model).__name__ == "BertModel"
    assert model.pooler is None
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert tokenizer("ev su göl", add_special_tokens=False)["input_ids"] == [4, 5, 3]
    assert tokenizer.mask_token_id == 6
    whole = BertForMaskedLM.from_pretrained(teacher, dtype=torch.float32).eval()
    ids = torch.tensor([[0, 4, 5, 2]])
    assert torch.equal(model(ids).last_hidden_state, whole.bert(ids).last_hidden_state)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_loaded(teacher, family, tiny_encoder):
    saved = tiny_encoder(family)
    saved.save_pretrained(teacher)
    model, _ = load(teacher)
    assert model.config.model_type == family == read_config(teacher).model_type
    assert getattr(model, "pooler", None) is None
    ids = torch.tensor([[5, 4, 5, 2]])
    assert torch.equal(model(ids).last_hidden_state, saved(ids).last_hidden_state)


@pytest.mark.parametrize("name", ["bundled:multilingual-e5-smal", "bundled:e5", "bundled:xyz"])
def test_unknown_bundled_name_gets_the_nearest_right_one(name):
    with pytest.raises(BistilError, match=f"'{name}'.*mean bundled:multilingual-e5-small"):
        locate(name)


@pytest.mark.parametrize("name", ["./teachers/mine", "/teachers/mine", "~/teachers/mine", "my/teachers/mine"])
def test_missing_folder_is_no_hub_id(name, monkeypatch):
    monkeypatch.setattr("bistil.models.sources.snapshot_download", None)
    with pytest.raises(BistilError, match=f"no teacher folder {name}"):
        locate(name)


def test_folder_without_config(teacher):
    (teacher / "config.json").unlink()
    with pytest.raises(BistilError, match=r"has no config\.json"):
        locate(str(teacher))


def test_pickled_weights_alone_are_refused(teacher):
    (teacher / "model.safetensors").rename(teacher / "pytorch_model.bin")
    with pytest.raises(BistilError, match="no safetensors weights"):
        locate(str(teacher))
    with pytest.raises(BistilError, match="not a whole transformers folder"):
        load(teacher)


def test_other_model_type_is_refused(teacher):
    (teacher / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(BistilError, match=r"type 'gpt2'\. Choose one of type bert, roberta, xlm-roberta"):
        load(teacher)


def test_remote_code_is_not_run(teacher):
    config = json.loads((teacher / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "code.Mine", "AutoModel": "code.Mine"}}
    (teacher / "config.json").write_text(json.dumps(config))
    (teacher / "code.py").write_text("import pathlib; pathlib.Path(__file__).with_name('ran').touch()")
    with pytest.raises(BistilError):
        load(teacher)
    assert not (teacher / "ran").exists()


@pytest.mark.parametrize("left", [[], ["sentencepiece.bpe.model"]])
def test_tokenizer_without_a_fast_form(teacher, left):
    for file in teacher.glob("tokenizer*"):
        file.unlink()
    for name in left:
        (teacher / name).write_bytes(b"pieces")
    with pytest.raises(BistilError, match=r"no tokenizer .* in its fast form"):
        load(teacher)


def test_missing_tensor_is_not_made_up_at_random(teacher):
    config = json.loads((teacher / "config.json").read_text())
    (teacher / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(BistilError, match=r"lack 16 tensors of the encoder, encoder\.layer\.2\."):
        load(teacher)


def test_hub_is_asked_for_safe_files_only(teacher, monkeypatch):
    def fake(name, *, allow_patterns, ignore_patterns):
        unsafe = ["pytorch_model.bin", "onnx/model.safetensors", "modeling.py", "tf_model.h5"]
        unsafe += ["onnx/model.onnx", "onnx/model_quantized.onnx"]  # safe, but half a gigabyte that nobody reads
        unsafe += ["tokenizer.py", "tokenizer.pkl", "tokenization_mine.py", "vocab.pkl", "sentencepiece.py"]
        repository = [*unsafe, *(path.name for path in teacher.iterdir())]
        chosen = set(
            filter_repo_objects(repository, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns)
        )
        assert chosen == {path.name for path in teacher.iterdir()} - {"generation_config.json"}
        return str(teacher)

    monkeypatch.setattr("bistil.models.sources.snapshot_download", fake)
    assert locate("someone/some-model") == teacher


@pytest.mark.parametrize(
    ("card", "license"),
    [
        ("---\nlicense: apache-2.0\n---\n# A model", "apache-2.0"),
        ("---\nlanguage: en\n---\n", None),
        ("---\nlicense: [mit\n---\n", None),
        ("---\n- license\n---\n", None),
        ("---\nlicense: [mit, gpl-3.0]\n---\n", None),
        ("no metadata", None),
        (b"\xff\xfe", None),
        (None, None),
    ],
)
def test_the_licence_of_a_teacher_is_that_of_its_card(teacher, card, license, monkeypatch):
    if card is not None:
        (teacher / "README.md").write_bytes(card if isinstance(card, bytes) else card.encode())
    assert origin(str(teacher), teacher) == Origin(None, license)
    assert origin("someone/some-model", teacher) == Origin("someone/some-model", license)
    assert "README.md" not in fingerprint(teacher)


def test_the_bundled_teacher_is_known():
    found = origin("bundled:multilingual-e5-small", Path("nowhere"))
    assert found == Origin("intfloat/multilingual-e5-small", "MIT")


def test_hub_without_network(tmp_path, monkeypatch):
    def offline(name, **options):
        return snapshot_download(name, cache_dir=tmp_path, local_files_only=True, **options)

    monkeypatch.setattr("bistil.models.sources.snapshot_download", offline)
    with pytest.raises(BistilError, match=r"Could not fetch the teacher someone/some-model.*bundled:"):
        locate("someone/some-model")


@pytest.mark.parametrize(
    ("private", "token", "offline", "cache", "said"),
    [
        (
            True,
            None,
            False,
            "hub",
            r"may read is named 'me/tagger'.* if it is private, run `hf auth login` or set HF_",
        ),
        (False, "hf_wrong", False, "hub", r"^The hub does not accept the access token\. Run `hf auth login`, or"),
        (False, None, True, "hub", r"^HF_HUB_OFFLINE forbids the hub, and me/tagger is not .* Unset it"),
        (False, None, False, "file/hub", r"the files of me/tagger cannot be kept in .*file/hub\. .* with HF_HOME"),
        (
            False,
            None,
            False,
            "hub",
            r"^me/tagger on the hub has no config\.json, so it is no model\. Give a folder",
        ),
    ],
)
def test_what_the_hub_refuses_has_its_own_cure(private, token, offline, cache, said, tmp_path, monkeypatch):
    """Against a stand-in of the hub."""
    (tmp_path / "file").write_text("")
    with served() as hub:
        hub.repos["me/tagger"] = {"main": {"README.md": b"# A tagger"}}
        hub.private |= {"me/tagger"} if private else set()
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / cache))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        if token is None:
            monkeypatch.delenv("HF_TOKEN", raising=False)
        else:
            monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(BistilError, match=said):
            locate("me/tagger")


def test_a_full_disk_is_said_of_the_hubs_files(monkeypatch):
    def full(name, **options):
        raise OSError(28, "No space left on device", "/mnt/hub/blobs/1")

    monkeypatch.setattr("bistil.models.sources.snapshot_download", full)
    with pytest.raises(BistilError, match=r"^No space left on the disk: the files of me/tagger cannot .* HF_HOME"):
        locate("me/tagger")


@pytest.mark.parametrize("name", ["file", "./file", "file.json"])
def test_a_file_is_no_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("")
    with pytest.raises(BistilError, match=rf"^{name} is a file, and no teacher folder\. Give a folder"):
        locate(name)


def test_the_home_of_nobody_is_no_folder():
    with pytest.raises(BistilError, match="no teacher folder ~nosuch/m"):
        locate("~nosuch/m")


def test_malformed_hub_id():
    with pytest.raises(BistilError, match="neither a folder nor a hub id"):
        locate("some model!")
