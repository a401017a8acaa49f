import json
import random

import pytest

from bistil.corpora.strict import parse_json, whole
from bistil.errors import BistilError


def test_valid_json_is_read_as_json_reads_it():
    chance = random.Random(0)

    def value(depth: int):
        if depth == 0:
            return chance.choice([None, True, 1, -2.5, "ç", "\\ud83d", "😀", '"\\', ""])
        return chance.choice(
            [[value(depth - 1) for _ in range(3)], {name: value(depth - 1) for name in ("a", "\\u", "😀")}]
        )

    for _ in range(50):
        text = json.dumps(value(3), ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, 1]))
        assert parse_json(text, "x") == json.loads(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": ', r"x\.json is not JSON: Expecting value"),
        ('{\n"a":\n}', r"x\.json, line 3 is not JSON"),
        ('{"a": "\\u12"}', r"x\.json is not JSON: Invalid \\uXXXX escape"),
        (
            '{"a": ' + "7" * 5000 + "}",
            r"x\.json cannot be read as JSON: it has a number of thousands of digits\. Correct it",
        ),
        ("[" * 200 + "]" * 200, r"x\.json is nested more than 100 levels"),
        ('{"a":' * 100_000, r"x\.json is nested more than 100 levels"),
        ('{"a": 1, "b": 2, "a": 3}', r"x\.json .* the name 'a' twice"),
        ('{"a": "😀\\ud83d\\ude00 \\ud83d"}', r"x\.json: \\ud83d is half of a character"),
        ('{\n"a": "\\\\ud83d",\n"b": "\\uDE00"}', r"x\.json, line 3: \\uDE00 is half of a character"),
        ('{"a": "\ud83d"}', r"x\.json: \\ud83d is half of a character"),
    ],
)
def test_what_is_refused_is_named_with_its_place(text, message):
    with pytest.raises(BistilError, match=message):
        parse_json(text, "x.json")


def test_strings_are_whole():
    assert whole("çay 😀", "a line") == "çay 😀"
    with pytest.raises(BistilError, match=r"a line: \\udc80 is half of a character"):
        whole("çay \udc80", "a line")
