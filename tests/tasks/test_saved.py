import json
import shutil

import pytest

from bistil.errors import BistilError
from bistil.models.teachers import load as load_encoder
from bistil.models.teachers import load_as_saved
from bistil.tasks import Classification
from bistil.tasks.saved import load


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


def test_a_teacher_without_a_name_for_its_architecture(tiny_teacher, tmp_path):
    """Found by fuzzing."""
    shutil.copytree(tiny_teacher, tmp_path / "t")
    config = json.loads((tmp_path / "t" / "config.json").read_text())
    (tmp_path / "t" / "config.json").write_text(json.dumps({**config, "architectures": [None]}))
    with pytest.raises(BistilError, match=r"config\.json names None as its architecture"):
        load_as_saved(tmp_path / "t")


def test_a_teacher_of_a_billion_layers(tiny_teacher, tmp_path):
    shutil.copytree(tiny_teacher, tmp_path / "t")
    config = json.loads((tmp_path / "t" / "config.json").read_text())
    (tmp_path / "t" / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 10**9}))
    for read in (load_encoder, load_as_saved):
        with pytest.raises(BistilError, match="says 1,000,000,000 layers"):
            read(tmp_path / "t")
