"""What models cost: counted against formulas, and measured in ways that can be checked."""

import json
import math

import pytest
import torch
from scipy import stats
from transformers import AutoModel, AutoModelForTokenClassification, AutoTokenizer
from typer.testing import CliRunner

import bistil
from bistil.cli import app, main
from bistil.evaluation.efficiency import Candidate, measure, ratio
from bistil.evaluation.energy import Energy
from bistil.evaluation.memory import peak_memory
from bistil.models.families import FAMILIES, layers
from bistil.models.flops import forward_flops
from bistil.runtime.pooling import Pooling
from bistil.tasks import PartOfSpeech
from bistil.tasks.vectors import Embedding

TASK = PartOfSpeech(("ADJ", "NOUN", "VERB"))


@pytest.fixture(scope="module")
def folders(tiny_teacher, tiny_tokenizer, tmp_path_factory):
    """Taggers of 4 layers and of 2, saved, and a file for them."""
    root = tmp_path_factory.mktemp("models")
    model = TASK.new_model(tiny_teacher)
    for name in ("deep", "shallow"):
        model.save_pretrained(root / name)
        tiny_tokenizer.save_pretrained(root / name)
        model.bert.encoder.layer = model.bert.encoder.layer[:2]
        model.config.num_hidden_layers = 2
    row = "{}\t{}\t_\tNOUN\t_\t_\t{}\t{}\t_\t_\n"
    sentence = row.format(1, "öğretmen", 0, "root") + row.format(2, "kitabı", 1, "obj") + "\n"
    (root / "words.conllu").write_text(sentence * 30, encoding="utf-8")
    return root


def test_counts_and_measures_by_name(folders, tiny_teacher):
    examples = TASK.read(folders / "words.conllu")
    candidates = {
        "encoder": Candidate(tiny_teacher, bare=True),
        "deep": Candidate(folders / "deep"),
        "shallow": Candidate(folders / "shallow"),
    }
    costs = measure(candidates, TASK, examples)
    assert list(costs) == list(candidates)
    for name in ("deep", "shallow"):
        model = AutoModelForTokenClassification.from_pretrained(folders / name)
        cost = costs[name]
        assert cost["parameters"] == sum(value.numel() for value in model.parameters())
        assert cost["embedding_parameters"] == model.config.vocab_size * 32
        files = [path for path in (folders / name).iterdir() if path.suffix in (".safetensors", ".json")]
        assert cost["disk_bytes"] == sum(path.stat().st_size for path in files)
        tokenizer = AutoTokenizer.from_pretrained(folders / name)
        tokens = len(tokenizer(["öğretmen", "kitabı"], is_split_into_words=True)["input_ids"])
        assert cost["tokens_per_text"] == tokens
        head = 2 * 32 * 3  # a linear layer of three labels
        assert cost["flops_per_token"] == forward_flops(model.bert, tokens) + head
        assert 0 < cost["latency_ms"]["p50"] <= cost["latency_ms"]["p95"]
        assert cost["tokens_per_second"] == cost["throughput"] * tokens
        assert cost["batch"] in (8, 16, 32, 64)
        times, low, high = cost["faster"]
        assert low <= times <= high
        assert cost["engine"] == "torch"
    assert costs["encoder"]["faster"] == [1, 1, 1]
    assert costs["encoder"]["parameters"] == costs["deep"]["parameters"]
    assert (costs["deep"]["layers"], costs["shallow"]["layers"]) == (4, 2)
    json.dumps(costs)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_is_counted(family, tiny_encoder, tiny_tokenizer, tmp_path):
    """DeBERTa's relative positions, a parameter, are the input of a LayerNorm."""
    model = tiny_encoder(family, vocab_size=len(tiny_tokenizer))
    model.save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    costs = measure({"encoder": Candidate(tmp_path)}, Embedding(Pooling()), ["öğretmen kitabı okuyor"])["encoder"]
    linear = [one for one in layers(model).modules() if isinstance(one, torch.nn.Linear)]
    products = 2 * sum(one.weight.numel() for one in linear)  # and a little more for attention
    assert products < costs["flops_per_token"] < 2 * products


def test_sentence_embedding_models_are_measured_without_a_head(tiny_teacher):
    texts = ["öğretmen kitabı okuyor", "komşum"] * 20
    costs = measure({"encoder": Candidate(tiny_teacher)}, Embedding(Pooling()), texts)["encoder"]
    model = AutoModel.from_pretrained(tiny_teacher, add_pooling_layer=False)
    tokenizer = AutoTokenizer.from_pretrained(tiny_teacher)
    assert costs["parameters"] == model.num_parameters()
    lengths = [len(ids) for ids in tokenizer(texts[:2])["input_ids"]]
    assert costs["tokens_per_text"] == sum(lengths) / 2
    operations = sum(length * forward_flops(model, length) for length in lengths)
    assert costs["flops_per_token"] == pytest.approx(operations / sum(lengths))
    assert costs["throughput"] > 0


@pytest.mark.slow
def test_memory_of_an_encoder_is_measured_in_a_process_of_its_own(tiny_teacher):
    batches = [{"input_ids": torch.full((1, 2), 5), "attention_mask": torch.ones((1, 2), dtype=torch.int64)}]
    own = peak_memory(tiny_teacher, "torch", Embedding(Pooling()), batches, bare=False)
    assert own == pytest.approx(peak_memory(tiny_teacher, "torch", TASK, batches, bare=True), rel=0.2)


def test_ratio_is_that_of_logarithms():
    values, base = [2.0, 2.2, 1.8, 2.5], [1.0, 1.1, 0.8, 1.2]
    logs = [math.log(one / other) for one, other in zip(values, base, strict=True)]
    interval = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    expected = [math.exp(sum(logs) / 4), math.exp(interval.low), math.exp(interval.high)]
    assert ratio(values, base) == pytest.approx(expected)


@pytest.mark.slow
def test_memory_is_that_of_the_work_done(folders, exported, tiny_teacher):
    """A hundred times the attention of a long input shows."""
    short, long = (
        [{"input_ids": torch.full(shape, 5), "attention_mask": torch.ones(shape, dtype=torch.int64)}]
        for shape in ((1, 2), (4096, 64))
    )
    peaks = [peak_memory(folders / "deep", "torch", TASK, batches, bare=False) for batches in (short, long)]
    assert peak_memory(tiny_teacher, "torch", TASK, short, bare=True) == pytest.approx(peaks[0], rel=0.2)
    states = 4096 * 64 * 64 * 4  # of one feed-forward alone
    assert peaks[1] - peaks[0] > states
    engine = [peak_memory(exported[1], "int8", TASK, batches, bare=False) for batches in (short, long)]
    assert engine[1] - engine[0] > states
    assert engine[0] < 0.5 * peaks[0]  # without torch


def test_energy_is_what_the_counters_moved(tmp_path):
    assert Energy(tmp_path).joules() is None
    for number, start in enumerate((100, 999_000)):
        zone = tmp_path / f"intel-rapl:{number}"
        zone.mkdir()
        (zone / "max_energy_range_uj").write_text("999999\n")
        (zone / "energy_uj").write_text(f"{start}\n")
    (tmp_path / "intel-rapl:0:0").mkdir()  # a part of a package, which is counted already
    energy = Energy(tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("500100\n")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("9000\n")  # went round: 10,000 on
    assert energy.joules() == pytest.approx(0.51)


@pytest.fixture(scope="module")
def exported(folders):
    """The tagger of 4 layers with ONNX files, one with an int8 file and no weights."""
    made = bistil.export(folders / "deep", folders / "exported", progress=False).output_dir
    alone = folders / "alone"
    (alone / "onnx").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model_quantized.onnx"):
        (alone / name).write_bytes((made / name).read_bytes())
    return made, alone


def test_an_engine_costs_the_files_that_it_needs(folders, exported):
    made, alone = exported
    examples = TASK.read(folders / "words.conllu")
    candidates = {engine: Candidate(made, engine) for engine in ("torch", "onnx", "int8")}
    candidates |= {"alone": Candidate(alone, "int8"), "counted": Candidate(alone, "int8", weights=made)}
    costs = measure(candidates, TASK, examples)
    assert [cost["engine"] for cost in costs.values()] == ["torch", "onnx", "int8", "int8", "int8"]
    files = {path.relative_to(alone).as_posix(): path.stat().st_size for path in alone.rglob("*.*")}
    assert costs["alone"]["disk_bytes"] == sum(files.values()) == costs["int8"]["disk_bytes"]
    beside = sum(files.values()) - files["onnx/model_quantized.onnx"]
    assert costs["onnx"]["disk_bytes"] == (made / "onnx/model.onnx").stat().st_size + beside
    plain = measure({"deep": Candidate(folders / "deep")}, TASK, examples)["deep"]
    grown = (made / "config.json").stat().st_size - (folders / "deep/config.json").stat().st_size
    assert costs["torch"]["disk_bytes"] == plain["disk_bytes"] + grown  # not by export.json, nor ONNX files
    for name in ("torch", "onnx", "int8", "counted"):
        for key in ("parameters", "layers", "flops_per_token", "tokens_per_text"):
            assert costs[name][key] == plain[key]
    assert "parameters" not in costs["alone"]
    assert costs["alone"]["tokens_per_text"] == plain["tokens_per_text"]


def rows(shown):
    """The first words of the rows of both tables."""
    return [line.split("  ")[0] for line in shown.splitlines() if line.startswith("/")]


def test_bench_takes_engines(folders, exported):
    made, alone = map(str, exported)
    words, deep = str(folders / "words.conllu"), str(folders / "deep")
    shown = CliRunner().invoke(app, ["bench", deep, made, alone, words]).stdout
    found = [f"{deep}, torch", *(f"{made}, {engine}" for engine in ("torch", "onnx", "int8")), f"{alone}, int8"]
    assert rows(shown) == 2 * found
    command = ["bench", made, words, "--engine", "int8", "--engine", "torch", "--json"]
    costs = json.loads(CliRunner().invoke(app, command).stdout)["models"]
    assert list(costs) == [f"{made}, int8", f"{made}, torch"]
    assert costs[f"{made}, int8"]["faster"] == [1, 1, 1]


def test_bench_takes_models_with_other_labels_in_any_order(folders, tiny_teacher, tiny_tokenizer, tmp_path):
    model = PartOfSpeech(("ADJ", "ADP", "ADV", "NOUN", "VERB")).new_model(tiny_teacher)
    with torch.no_grad():
        model.classifier.bias[4] += 99
    for part in (model, tiny_tokenizer):
        part.save_pretrained(tmp_path / "more")
    paths = [str(folders / "shallow"), str(tmp_path / "more"), str(folders / "words.conllu")]
    assert list(json.loads(CliRunner().invoke(app, ["bench", *paths, "--json"]).stdout)["models"]) == [
        f"{path}, torch" for path in paths[:2]
    ]


def test_bench_compares_with_the_first(folders):
    paths = [str(folders / name) for name in ("deep", "shallow", "words.conllu")]
    found = json.loads(CliRunner().invoke(app, ["bench", *paths, "--json"]).stdout)
    assert list(found["models"]) == [f"{path}, torch" for path in paths[:2]]
    assert found["models"][f"{paths[1]}, torch"]["layers"] == 2


@pytest.mark.parametrize(
    ("engines", "words"),
    [
        (["int8"], r"has no onnx/model_quantized.onnx. Write it with: bistil export"),
        (["onxx"], "There is no engine 'onxx'"),
        (["torch", "torch"], "An engine is named twice: torch, torch"),
    ],
)
def test_bad_engines(folders, engines, words, capsys):
    asked = [part for engine in engines for part in ("--engine", engine)]
    assert main(["bench", str(folders / "deep"), str(folders / "words.conllu"), *asked]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["words.conllu"], "Put the file last"),
        (["deep", "shallow"], "Put the file last"),
        (["deep", "deep", "words.conllu"], "named twice"),
        (["none", "words.conllu"], "not a model folder"),
    ],
)
def test_bad_input(folders, names, words, capsys):
    assert main(["bench", *(str(folders / name) for name in names)]) == 2
    assert words in capsys.readouterr().err
