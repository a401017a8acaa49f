"""Tokenizers of every kind, trained on the spot, laid out as those of the models that people use."""

import json

import pytest
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

NAMES = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


@pytest.fixture(scope="session")
def sample(tiny_lines, request) -> list[str]:
    """Synthetic lines, and real ones where the real data is there."""
    lines = [line for language in tiny_lines.values() for line in language[:100]]
    try:
        folder = request.getfixturevalue("realdata")
    except pytest.skip.Exception:
        return lines
    for name in ("en", "tr", "eu"):
        with (folder / "text" / f"{name}.txt").open(encoding="utf-8") as file:
            lines += [line.strip() for line, _ in zip(file, range(200), strict=False)]
    return lines


def framed(tokenizer, first="[CLS]", last="[SEP]"):
    return processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B:1 {last}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (first, last)],
    )


def specification(tokenizer):
    return json.loads(tokenizer.to_str())


def mbert(sample):
    """WordPiece; the special tokens lie inside the vocabulary, with unused ones before them."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", *(f"[unused{number}]" for number in range(1, 10)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=900, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(sample, trainer)
    raw = specification(tokenizer)
    raw["added_tokens"] = [token for token in raw["added_tokens"] if "unused" not in token["content"]]
    tokenizer = Tokenizer.from_str(json.dumps(raw))
    tokenizer.post_processor = framed(tokenizer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_input_names=["input_ids", "token_type_ids", "attention_mask"], **NAMES
    )


def roberta(sample):
    """Byte-level BPE, framed by a processor of its own; special tokens at both ends of the vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample, trainer)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_input_names=["input_ids", "attention_mask"],
    )


def mdeberta(sample):
    """Unigram; the mask lies beyond the vocabulary, and more added tokens behind it."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Replace(Regex(r"\s{2,}|[\n\r\t]"), " "), normalizers.NFC(), normalizers.Strip(left=False)]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    trainer = trainers.UnigramTrainer(
        vocab_size=900, special_tokens=special, unk_token="[UNK]", show_progress=False
    )
    tokenizer.train_from_iterator(sample, trainer)
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["[MASK]"])
    tokenizer.add_tokens([AddedToken("<user>", normalized=False), AddedToken("query:", single_word=True)])
    tokenizer.post_processor = framed(tokenizer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **NAMES)


def mmbert(sample):
    """BPE as Gemma has it: byte fallback, no special handling of words, and every way to make a piece a merge."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trained.train_from_iterator(sample, trainers.BpeTrainer(vocab_size=900, show_progress=False))
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<unused0>", "\n\n", "▁▁", "<table>", *BYTES]
    pieces = sorted(trained.get_vocab(), key=trained.get_vocab().get)
    # Single characters last, as in a vocabulary made by SentencePiece.
    pieces = [piece for piece in pieces if len(piece) > 1] + [piece for piece in pieces if len(piece) == 1]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys([*special, *pieces]))}
    merges = [
        (piece[:at], piece[at:])
        for piece in pieces
        for at in range(1, len(piece))
        if piece[:at] in vocabulary and piece[at:] in vocabulary
    ]
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = trained.normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(special[:5])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in special[5:9]])
    tokenizer.post_processor = framed(tokenizer, "<bos>", "<eos>")
    names = {name: token.strip("[]").lower() for name, token in NAMES.items()}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{name: f"<{token}>" for name, token in names.items() if token not in ("cls", "sep")},
        bos_token="<bos>",
        eos_token="<eos>",
    )


def modernbert(sample):
    """Byte-level BPE; added tokens at the start of the vocabulary, at its end and beyond it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=["|||IP_ADDRESS|||", "<|padding|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample, trainer)
    tokenizer.add_tokens([AddedToken(" " * number, normalized=True) for number in (4, 3, 2)])
    tokenizer.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[PAD]", AddedToken("[MASK]", lstrip=True)])
    tokenizer.add_tokens([AddedToken("[unused0]", normalized=False)])
    tokenizer.post_processor = framed(tokenizer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=True, **NAMES)


def eurobert(sample):
    """Byte-level BPE as Llama 3 has it: words of the vocabulary are taken whole, and nothing is unknown."""
    tokenizer = Tokenizer(models.BPE())
    words = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(sample, trainer)
    raw = specification(tokenizer)
    raw["model"]["ignore_merges"] = True
    # Words that no merge leads to.
    for word in ("ĠquÃ©bec", "zzyzx"):
        raw["model"]["vocab"][word] = len(raw["model"]["vocab"])
    tokenizer = Tokenizer.from_str(json.dumps(raw))
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|mask|>", "<|reserved|>"])
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), framed(tokenizer, "<|begin_of_text|>", "<|end_of_text|>")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>",
        pad_token="<|end_of_text|>",
        mask_token="<|mask|>",
        model_input_names=["input_ids", "attention_mask"],
    )


@pytest.fixture(scope="session")
def layouts(sample, tiny_tokenizer) -> dict[str, PreTrainedTokenizerFast]:
    made = {make.__name__: make(sample) for make in (mbert, roberta, mdeberta, mmbert, modernbert, eurobert)}
    return {"xlm_roberta": tiny_tokenizer, **made}
