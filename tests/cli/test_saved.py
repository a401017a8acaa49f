import json

import pytest

from bistil.cli.saved import load
from bistil.errors import BistilError
from bistil.tasks import Classification


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 2**31},
        {"add_cross_attention": "_"},
        {"bistil_task": []},
        {"vocab_size": -1},
    ],
)
def test_a_configuration_that_lies(changes, tiny_teacher, tiny_tokenizer, tmp_path):
    Classification(("a", "b")).new_model(tiny_teacher).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(BistilError):
        load(tmp_path)


@pytest.mark.parametrize("changes", [{"architectures": 3}, {"architectures": [None]}, {"id2label": [1]}])
def test_a_configuration_of_others_that_says_no_task(changes, tmp_path):
    config = {"architectures": ["BertModel"], "id2label": {"0": 3}}
    (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(BistilError, match="has no task head"):
        load(tmp_path)
