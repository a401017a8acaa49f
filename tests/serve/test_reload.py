"""Models that are replaced on disk while they are served."""

import asyncio
import json
import shutil
import signal
import time

import pytest
from tests.serve.servers import Server

from bistil.errors import BistilError
from bistil.serve.app import Service
from bistil.serve.limits import Limits
from bistil.serve.served import Served

TEXT = "Öğretmen sabahleyin 🙂 taze ekmeği okuyor, 12."


def test_a_replaced_model_is_taken_up(models, tmp_path):
    folder = tmp_path / "tags"
    shutil.copytree(models["pos"], folder)
    with Server(str(folder)) as server:
        assert server.predicted("tags", TEXT)[0]["words"][0]["tag"] in {"NOUN", "PUNCT", "VERB"}
        config = json.loads((folder / "config.json").read_text())
        renamed = {number: f"X{label}" for number, label in config["id2label"].items()}
        changed = {**config, "id2label": renamed, "label2id": {label: int(n) for n, label in renamed.items()}}
        (folder / "config.json").write_text(json.dumps(changed))
        server.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 10
        while time.monotonic() < until and not server.predicted("tags", TEXT)[0]["words"][0]["tag"].startswith(
            "X"
        ):
            time.sleep(0.05)
        assert server.predicted("tags", TEXT)[0]["words"][0]["tag"].startswith("X")
        (folder / "config.json").write_text("{")
        server.process.send_signal(signal.SIGHUP)
        while not any(line["event"] == "not reloaded" for line in server.logged) and time.monotonic() < until + 10:
            time.sleep(0.05)
        assert server.predicted("tags", TEXT)[0]["words"][0]["tag"].startswith("X")


@pytest.mark.parametrize("pairs", [True, False])
def test_pairs_in_place_of_single_texts_ask_for_a_restart(models, tmp_path, pairs):
    """The requests that were described are those of the first model."""
    folder = shutil.copytree(models["classification"], tmp_path / "topics")
    config = json.loads((folder / "config.json").read_text())

    def write(pairs: bool) -> None:
        (folder / "config.json").write_text(json.dumps({**config, "bistil_pairs": pairs}))

    write(pairs)
    served = Served.load(str(folder))
    write(not pairs)
    with pytest.raises(BistilError, match=r"classification of pairs.*Restart"):
        served.reloaded()
    write(pairs)
    assert served.reloaded().pair is pairs


def test_an_unexpected_error_keeps_no_other_model_from_its_reload(models, monkeypatch, caplog):
    service = Service({kind: Served.load(str(models[kind])) for kind in ("pos", "ner")}, Limits())
    before, reloaded = dict(service.models), Served.reloaded

    def broken(served: Served) -> Served:
        if served.name == "pos":
            raise KeyError("hidden_size")
        return reloaded(served)

    monkeypatch.setattr(Served, "reloaded", broken)
    with caplog.at_level("INFO", "bistil.serve"):
        asyncio.run(service.reload())
    assert service.models["pos"] is before["pos"]
    assert service.models["ner"] is not before["ner"]
    assert [(one.getMessage(), one.facts) for one in caplog.records] == [
        ("not reloaded", {"model": "pos", "reason": "KeyError('hidden_size')"}),
        ("reloaded", {"model": "ner"}),
    ]
