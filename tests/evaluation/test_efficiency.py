"""What models cost: counted against formulas, and measured in ways that can be checked."""

import json
import math

import pytest
import torch
from scipy import stats
from transformers import AutoModelForTokenClassification, AutoTokenizer
from typer.testing import CliRunner

from bistil.cli import app, main
from bistil.evaluation.efficiency import Candidate, measure, ratio
from bistil.evaluation.energy import Energy
from bistil.evaluation.memory import peak_memory
from bistil.exporting import graph
from bistil.models.flops import forward_flops
from bistil.tasks import PartOfSpeech

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
        assert "onnx" not in cost
    assert costs["encoder"]["faster"] == [1, 1, 1]
    assert costs["encoder"]["parameters"] == costs["deep"]["parameters"]
    assert (costs["deep"]["layers"], costs["shallow"]["layers"]) == (4, 2)
    json.dumps(costs)


def test_ratio_is_that_of_logarithms():
    values, base = [2.0, 2.2, 1.8, 2.5], [1.0, 1.1, 0.8, 1.2]
    logs = [math.log(one / other) for one, other in zip(values, base, strict=True)]
    interval = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    expected = [math.exp(sum(logs) / 4), math.exp(interval.low), math.exp(interval.high)]
    assert ratio(values, base) == pytest.approx(expected)


@pytest.mark.slow
def test_memory_is_that_of_the_work_done(folders, tiny_teacher):
    """A hundred times the attention of a long input shows."""
    short = [{"input_ids": torch.full((1, 2), 5)}]
    long = [{"input_ids": torch.full((4096, 64), 5)}]
    peaks = [peak_memory(folders / "deep", TASK, batches, bare=False) for batches in (short, long)]
    assert peak_memory(tiny_teacher, TASK, short, bare=True) == pytest.approx(peaks[0], rel=0.2)
    states = 4096 * 64 * 64 * 4  # of one feed-forward alone
    assert peaks[1] - peaks[0] > states


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


def test_bench_without_onnx_says_how_to_get_it(folders, monkeypatch):
    monkeypatch.setattr(graph, "_PACKAGES", ("no_such_package",))
    paths = [str(folders / name) for name in ("deep", "shallow", "words.conllu")]
    shown = CliRunner().invoke(app, ["bench", *paths]).stdout
    for path in paths[:2]:
        assert sum(line.startswith(f"{path} ") for line in shown.splitlines()) == 2
    assert "Not measured: ONNX needs no_such_package. Install: pip install no_such_package." in shown


def test_bench_goes_on_without_a_model_that_has_no_onnx_form(folders, monkeypatch):
    def fail(*_, **__):
        raise torch.onnx.OnnxExporterError("an operator is unknown\nand so on")

    monkeypatch.setattr(torch.onnx, "export", fail)
    paths = [str(folders / name) for name in ("deep", "words.conllu")]
    shown = CliRunner().invoke(app, ["bench", *paths]).stdout
    assert sum(line.startswith(f"{paths[0]} ") for line in shown.splitlines()) == 2
    reason = "torch cannot export BertForTokenClassification to ONNX: an operator is unknown"
    assert f"Not measured: ONNX of {paths[0]}. {reason}" in shown


def test_bench_compares_with_the_first(folders):
    paths = [str(folders / name) for name in ("deep", "shallow", "words.conllu")]
    found = json.loads(CliRunner().invoke(app, ["bench", *paths, "--json"]).stdout)
    assert list(found["models"]) == paths[:2]
    assert found["models"][paths[1]]["layers"] == 2
    assert found["models"][paths[1]]["onnx"]["throughput"] > 0


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
