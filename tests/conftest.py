"""Tiny models and texts made on the spot; the real data folder where it exists."""

import json
import os
import random
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tiny models are compared with references that stay on the CPU; CUDA_VISIBLE_DEVICES=0 tries them on a card.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

ROOT = Path(__file__).parents[1]

# Subject, verb, place and time words of a synthetic English and a synthetic Turkish.
WORDS = {
    "en": (
        "the teacher|a student|my neighbour|the old doctor|our children|the farmers|her sister|the engineer",
        "reads|builds|sees|forgets|carries|paints|measures|sells",
        "the small house|seven books|a wooden boat|fresh bread|the long letter|green apples|an old clock",
        "in the morning|near the river|every week|before winter|at the market|after school",
    ),
    "tr": (
        "öğretmen|bir öğrenci|komşum|yaşlı doktor|çocuklarımız|çiftçiler|kız kardeşi|mühendis",
        "okuyor|yapıyor|görüyor|unutuyor|taşıyor|boyuyor|ölçüyor|satıyor",
        "küçük evi|yedi kitabı|tahta bir kayığı|taze ekmeği|uzun mektubu|yeşil elmaları|eski saati",
        "sabahleyin|ırmağın yanında|her hafta|kıştan önce|pazarda|okuldan sonra",
    ),
}


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny tensors are slower on two threads, and much slower beside another process."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _no_process_for_memory() -> Iterator[None]:
    """Every run would start one for every model; what they measure has a test of its own."""
    from bistil import efficiency

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(efficiency, "peak_memory", lambda *_, **__: 300_000_000)
        yield


@pytest.fixture(scope="session")
def realdata() -> Path:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["bistil-dev"]
    folder = ROOT / (os.environ.get("BISTIL_REALDATA") or settings["realdata"])
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set BISTIL_REALDATA to the folder that holds ud/ and text/")
    return folder


@pytest.fixture(scope="session")
def tiny_lines() -> dict[str, list[str]]:
    """Two hundred synthetic lines in each of "en" and "tr"."""
    chance = random.Random(0)
    lines: dict[str, list[str]] = {}
    for language, columns in WORDS.items():
        subjects, verbs, objects, times = (column.split("|") for column in columns)
        lines[language] = []
        for number in range(200):
            subject, verb = chance.choice(subjects), chance.choice(verbs)
            thing, time = chance.choice(objects), chance.choice(times)
            order = (subject, verb, thing, time) if language == "en" else (subject, time, thing, verb)
            text = " ".join(order)
            lines[language].append(f"{text[0].upper()}{text[1:]}, {number}.")
    return lines


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_lines):
    """A Unigram tokenizer shaped as XLM-R's: <s> 0, <pad> 1, </s> 2, <unk> 3, <mask> last."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    def built(model):
        tokenizer = Tokenizer(model)
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
        )
        return tokenizer

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trained = built(models.Unigram())
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    trained.train_from_iterator([line for lines in tiny_lines.values() for line in lines], trainer)
    pairs = json.loads(trained.to_str())["model"]["vocab"]
    # the trainer leaves pieces of one score in another order each time
    pieces = sorted(pairs[len(special) :], key=lambda pair: (-round(pair[1], 3), pair[0]))
    vocabulary = [tuple(pair) for pair in (*pairs[: len(special)], *pieces)]
    tokenizer = built(models.Unigram([*vocabulary, ("<mask>", 0.0)], unk_id=3))
    tokenizer.add_special_tokens([*special, "<mask>"])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=128,
        model_input_names=["input_ids", "attention_mask"],
    )


@pytest.fixture(scope="session")
def tiny_teacher(tiny_tokenizer, tmp_path_factory) -> Path:
    """A folder with a random 4-layer BERT without pooler, five embedding rows more than tokens."""
    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=len(tiny_tokenizer) + 5,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.2,  # so that every layer matters
        pad_token_id=tiny_tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(config, add_pooling_layer=False)
    folder = tmp_path_factory.mktemp("tiny") / "teacher"
    model.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoder():
    """A function that makes a random encoder of a family: 5 layers, width 16, 4 heads, 60 tokens, 0 is padding."""
    import torch
    from transformers import AutoConfig, AutoModel

    sizes = {
        "vocab_size": 60,
        "hidden_size": 16,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "intermediate_size": 24,
        "max_position_embeddings": 64,
        "initializer_range": 0.3,  # so that every layer matters
        "pad_token_id": 0,
    }
    own = {
        "deberta-v2": {
            "relative_attention": True,
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "conv_kernel_size": 3,
        },
        "distilbert": {"hidden_dim": 24, "seq_classif_dropout": 0.2},
        "modernbert": {"local_attention": 4, "mlp_dropout": 0.1, "attention_dropout": 0.1},
        "eurobert": {"num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2, "mask_token_id": 3},
    }

    def make(model_type: str, kind=AutoModel, **changes):
        config = AutoConfig.for_model(model_type, **sizes | own.get(model_type, {}) | changes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = kind.from_config(config)
            for name, value in model.named_parameters():
                if value.dim() == 1:  # norms and biases start as ones and zeros, which hides what is not copied
                    torch.nn.init.normal_(
                        value, 1.0 if "norm" in name.lower() and "bias" not in name else 0.0, 0.3
                    )
        return model.eval()

    return make


@pytest.fixture
def recipe_file(tiny_teacher, tiny_lines, tmp_path) -> Path:
    for language, lines in tiny_lines.items():
        (tmp_path / f"{language}.txt").write_text("\n".join(lines))
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"""
name: tiny
teacher: {tiny_teacher}
source: {{language: en, text: {tmp_path}/en.txt}}
target: {{language: tr, text: {tmp_path}/tr.txt}}
distil: {{tokens: 20480, block: 16, batch: 8}}
out: {tmp_path}/out
"""
    )
    return path


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, tiny_lines, tiny_teacher):
    """Texts and a task (does the sentence name food or an object?) in a folder, and a recipe for them."""
    folder = tmp_path_factory.mktemp("experiment")
    for language, lines in tiny_lines.items():
        (folder / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
        food = ("bread", "apples") if language == "en" else ("ekmeği", "elmaları")
        rows = [{"text": line, "label": "food" if any(f in line for f in food) else "object"} for line in lines]
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        (folder / f"task.{language}.jsonl").write_text(text, encoding="utf-8")
    return {
        "name": "tiny",
        "teacher": str(tiny_teacher),
        "source": {"language": "en", "text": str(folder / "en.txt")},
        "target": {"language": "tr", "text": str(folder / "tr.txt")},
        "distil": {"tokens": 2048, "block": 16, "batch": 8},
        "tasks": [
            {
                "kind": "classification",
                "name": "food",
                "train": str(folder / "task.en.jsonl"),
                "test": {"tr": str(folder / "task.tr.jsonl"), "en": str(folder / "task.en.jsonl")},
                "epochs": [1, 1],
                "batch": 32,
                "min_steps": 0,
            }
        ],
        "seeds": [0, 1],
        "out": str(folder / "out"),
    }
