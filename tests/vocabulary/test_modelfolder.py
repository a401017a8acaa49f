"""A saved folder keeps the model and its tokenizer whole, in transformers 4.57 as well as here."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast

from bistil.models.folder import save_model
from bistil.models.students import make_student
from bistil.runtime.positions import most_tokens
from bistil.vocabulary import trim_vocabulary
from loading import outputs, tokenizer_facts

# Each type of model with a tokenizer such as its models have.
PAIRS = {
    "bert": ("bert", "mbert", {}),
    "E5": ("bert", "xlm_roberta", {}),
    "roberta": ("roberta", "roberta", {}),
    "xlm-roberta": ("xlm-roberta", "xlm_roberta", {}),
    "deberta": ("deberta-v2", "mdeberta", {}),
    "distilbert": ("distilbert", "mbert", {}),
    "modernbert": ("modernbert", "modernbert", {"global_rope_theta": 2e4, "local_rope_theta": 5e2}),
    "mmbert": ("modernbert", "mmbert", {"global_attn_every_n_layers": 2}),
    "eurobert": ("eurobert", "eurobert", {}),
}
WITHOUT_TYPES = ("distilbert", "modernbert", "eurobert")  # of tokens
HEADS = ("AutoModelForMaskedLM", "AutoModelForSequenceClassification", "AutoModelForTokenClassification")


@pytest.fixture(scope="session")
def roberta(sample):
    """Byte-level BPE that puts a space before the text, padding second."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    mask = AddedToken("<mask>", lstrip=True, special=True)
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", mask],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", mask_token=mask, **names
    )


@pytest.fixture
def made(layouts, roberta, tiny_encoder):
    """A function that makes a tiny model of a pair and the pair's tokenizer."""
    tokenizers = layouts | {"roberta": roberta}

    def make(pair, head="AutoModel"):
        family, layout, changes = PAIRS[pair]
        tokenizer = tokenizers[layout]
        sizes = {"vocab_size": len(tokenizer) + 7, "pad_token_id": tokenizer.pad_token_id}
        return tiny_encoder(family, getattr(transformers, head), **sizes, **changes), tokenizer

    return make


def kept(tokenizer, model):
    """What a folder has of a tokenizer: all but inputs that the model does not take."""
    facts = tokenizer_facts(tokenizer)
    if model.config.model_type in WITHOUT_TYPES:
        facts["inputs"] = ["input_ids", "attention_mask"]
    return facts


@pytest.mark.parametrize("pair", PAIRS)
def test_what_is_saved_is_loaded(pair, made, tmp_path):
    model, tokenizer = made(pair)
    tokenizer("a call leaves its truncation behind", truncation=True, max_length=3, padding="max_length")
    save_model(model, tokenizer, tmp_path)
    loaded, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    weights = model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in loaded.state_dict().items())
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer_facts(again) == kept(tokenizer, model)
    assert again.model_max_length == most_tokens(model.config) < 100  # tokenizers without a limit say 1e30
    assert torch.equal(outputs(loaded, again), outputs(model, tokenizer))

    saved = json.loads((tmp_path / "tokenizer.json").read_text())
    assert saved["truncation"] is saved["padding"] is None
    assert (
        json.loads((tmp_path / "tokenizer_config.json").read_text())["tokenizer_class"]
        == "PreTrainedTokenizerFast"
    )
    special = json.loads((tmp_path / "special_tokens_map.json").read_text())
    assert {name: token["content"] for name, token in special.items()} == tokenizer.special_tokens_map


def test_what_a_tokenizer_was_told_is_kept(made, tmp_path):
    """Sides, names of special tokens and further ones, as a teacher's own folder keeps them."""
    model, tokenizer = made("deberta")
    folder = tmp_path / "teacher"
    tokenizer.save_pretrained(folder)
    told = {"padding_side": "left", "truncation_side": "left", "extra_special_tokens": ["<user>"]}
    teacher = AutoTokenizer.from_pretrained(folder, **told, model_max_length=12, split_special_tokens=True)
    save_model(model, teacher, tmp_path / "saved")
    saved = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert tokenizer_facts(saved) == tokenizer_facts(teacher)
    assert saved.padding_side == saved.truncation_side == "left"
    assert saved.extra_special_tokens == ["<user>"]
    assert saved.split_special_tokens
    assert saved.model_max_length == 12  # less than the model takes


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_files_have_the_mode_that_the_umask_gives(umask, made, tmp_path):
    before = os.umask(umask)
    try:
        save_model(*made("bert"), tmp_path / "saved")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "saved").iterdir()}
    assert modes == dict.fromkeys(modes, 0o666 & ~umask)
    assert {"model.safetensors", "config.json", "tokenizer.json"} < modes.keys()


def test_global_layers_of_a_modernbert_by_number(made, tmp_path):
    def saved(layers):
        student, _ = make_student(teacher, layers)
        save_model(student, tokenizer, tmp_path / str(layers))
        config = json.loads((tmp_path / str(layers) / "config.json").read_text())
        return config["layer_types"], config["global_attn_every_n_layers"]

    teacher, tokenizer = made("modernbert")  # global: 1, 4
    whole, part = "full_attention", "sliding_attention"
    assert saved((1, 2, 3, 4, 5)) == ([whole, part, part, whole, part], 3)
    assert saved((1, 3, 4, 5)) == ([whole, part, whole, part], 2)
    assert saved((1, 5)) == ([whole, part], 2)
    assert saved((1, 2, 4, 5)) == ([whole, part, whole, part], 2)
    assert saved((1, 4, 5)) == ([whole, whole, part], None)


@pytest.fixture(scope="session")
def older(tmp_path_factory) -> Path:
    """A folder with transformers 4.57 and what it pins, to be put before this environment's packages."""
    folder = tmp_path_factory.mktemp("transformers-4.57")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "transformers==4.57.*"]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode and ("Retrying (" in done.stdout + done.stderr or "No module named pip" in done.stderr):
        pytest.skip("transformers 4.57 cannot be fetched: the package index cannot be reached")
    assert not done.returncode, done.stderr
    return folder


@pytest.mark.slow
def test_the_same_in_transformers_4_57(older, made, tiny_lines, tmp_path):
    """Every family: as it comes from trimming, as a student, and under heads."""
    expected, heads, numbers = {}, {}, {}

    def save(name, model, tokenizer, head="AutoModel"):
        folder = str(tmp_path / name)
        save_model(model, tokenizer, Path(folder))
        longest = min(tokenizer.model_max_length, most_tokens(model.config))
        expected[folder] = kept(tokenizer, model) | {"longest": longest}
        heads[folder], numbers[folder] = head, outputs(model, tokenizer)

    for pair in PAIRS:
        corpora = {language: iter(lines) for language, lines in tiny_lines.items()}
        trimmed = trim_vocabulary(*made(pair), corpora, min_count=2)
        save(f"{pair} trimmed", trimmed.model, trimmed.tokenizer)
        save(f"{pair} student", make_student(trimmed.model, (1, 2, 4, 5))[0], trimmed.tokenizer)
        for head in HEADS:
            save(f"{pair} {head}", *made(pair, head), head)
    save("refused", make_student(made("modernbert")[0], (1, 4, 5))[0], made("modernbert")[1])

    job = {"models": list(heads.items()), "outputs": str(tmp_path / "outputs.safetensors")}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("loading.py"))],
        input=json.dumps(job),
        env=os.environ | {"PYTHONPATH": str(older), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr
    found, computed = json.loads(done.stdout), load_file(job["outputs"])
    assert found.pop("version").startswith("4.57.")
    errors = {Path(folder).name: facts.pop("error") for folder, facts in found.items()}
    assert found == expected
    for folder, there in computed.items():
        torch.testing.assert_close(there, numbers[folder], rtol=0, atol=1e-5, msg=lambda m, f=folder: f"{f}: {m}")

    # What 4.57 does not know it refuses, and computes nothing else instead.
    refused = {name for name, error in errors.items() if error}
    assert refused == {"refused", *(name for name in errors if name.startswith("eurobert"))}
    assert "NoneType" in errors["refused"]
    assert "`eurobert`" in errors["eurobert trimmed"]
    assert len(computed) == len(found) - len(refused)
