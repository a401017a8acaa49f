"""Tiny models and texts that are made on the spot, for tests and for `python -m tests.faults`."""

import json
import random
from pathlib import Path
from typing import Any

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


def lines() -> dict[str, list[str]]:
    """Two hundred synthetic lines in each of "en" and "tr"."""
    chance = random.Random(0)
    made: dict[str, list[str]] = {}
    for language, columns in WORDS.items():
        subjects, verbs, objects, times = (column.split("|") for column in columns)
        made[language] = []
        for number in range(200):
            subject, verb = chance.choice(subjects), chance.choice(verbs)
            thing, time = chance.choice(objects), chance.choice(times)
            order = (subject, verb, thing, time) if language == "en" else (subject, time, thing, verb)
            text = " ".join(order)
            made[language].append(f"{text[0].upper()}{text[1:]}, {number}.")
    return made


def tokenizer(lines: dict[str, list[str]]) -> Any:
    """A Unigram tokenizer shaped as XLM-R's: <s> 0, <pad> 1, </s> 2, <unk> 3, <mask> last."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    def built(model: Any) -> Any:
        made = Tokenizer(model)
        made.normalizer = normalizers.NFKC()
        made.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
        )
        return made

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trained = built(models.Unigram())
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    trained.train_from_iterator([line for own in lines.values() for line in own], trainer)
    pairs = json.loads(trained.to_str())["model"]["vocab"]
    # the trainer leaves pieces of one score in another order each time
    pieces = sorted(pairs[len(special) :], key=lambda pair: (-round(pair[1], 3), pair[0]))
    vocabulary = [tuple(pair) for pair in (*pairs[: len(special)], *pieces)]
    made = built(models.Unigram([*vocabulary, ("<mask>", 0.0)], unk_id=3))
    made.add_special_tokens([*special, "<mask>"])
    made.decoder = decoders.Metaspace()
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
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


def teacher(folder: Path, tokenizer: Any) -> Path:
    """A folder with a random 4-layer BERT without pooler, five embedding rows more than tokens."""
    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=len(tokenizer) + 5,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.2,  # so that every layer matters
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(config, add_pooling_layer=False)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def experiment(folder: Path, texts: dict[str, list[str]], teacher: Path) -> dict[str, Any]:
    """Texts and a task (does the sentence name food or an object?) in a folder, and a recipe for them."""
    for language, lines in texts.items():
        (folder / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
        food = ("bread", "apples") if language == "en" else ("ekmeği", "elmaları")
        rows = [{"text": line, "label": "food" if any(f in line for f in food) else "object"} for line in lines]
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        (folder / f"task.{language}.jsonl").write_text(text, encoding="utf-8")
    return {
        "name": "tiny",
        "teacher": str(teacher),
        "source": {"language": "en", "text": str(folder / "en.txt")},
        "target": {"language": "tr", "text": str(folder / "tr.txt")},
        "distill": {"tokens": 2048, "sequence_length": 16, "batch_size": 8},
        "tasks": [
            {
                "kind": "classification",
                "name": "food",
                "train": str(folder / "task.en.jsonl"),
                "test": {"tr": str(folder / "task.tr.jsonl"), "en": str(folder / "task.en.jsonl")},
                "epochs": [1, 1],
                "batch_size": 32,
                "min_steps": 0,
            }
        ],
        "seeds": [0, 1],
        "out": str(folder / "out"),
    }


def matrix(folder: Path, texts: dict[str, list[str]], teacher: Path) -> dict[str, Any]:
    """The same for two students and two targets, Turkish and "Azerbaijani", Turkish the other way round."""
    recipe = experiment(folder, texts, teacher)
    for name in ("tr.txt", "task.tr.jsonl"):
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        if name.endswith(".jsonl"):
            rows = [json.loads(line) for line in lines]
            lines = [json.dumps(row | {"text": " ".join(reversed(row["text"].split()))}) for row in rows]
        else:
            lines = [" ".join(reversed(line.split())) for line in lines]
        (folder / name.replace("tr", "az")).write_text("\n".join(lines), encoding="utf-8")
    (task,) = recipe["tasks"]
    return {
        **{key: recipe[key] for key in ("name", "teacher", "source", "distill")},
        "languages": {code: str(folder / f"{code}.txt") for code in ("tr", "az")},
        "students": {"half": {"layer_reduction": 2}, "quarter": {"layer_reduction": 4}},
        "tasks": [{**task, "test": str(folder / "task.{language}.jsonl")}],
        "out": str(folder / "fleet"),
    }
