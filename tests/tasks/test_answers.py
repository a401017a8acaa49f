import re
import string

import pytest

from bistil.tasks.answers import exact_match, token_f1, tokens


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        (None, "The  Cat's “hat”, an A!", ["cats", "“hat”"]),  # ASCII punctuation only
        ("en", "The  Cat's “hat”, an A!", ["cats", "hat"]),
        ("eng", "The cat", ["cat"]),
        (None, "der Hund", ["der", "hund"]),
        ("de", "Der »Hund« des Mannes", ["hund", "mannes"]),
        ("de-AT", "eine Dame", ["dame"]),  # but not "Dame" without its "da"
        ("vi", "Những cái bàn của tôi là gì?", ["bàn", "tôi", "gì"]),
        ("es", "Las casas, unos años", ["casas", "años"]),
        ("tr", "Bir an, the İstanbul", ["bir", "an", "the", "i̇stanbul"]),  # "an" is a moment
        (None, "Bir an", ["bir"]),
        ("hi", "यह घर है।", ["यह", "घर", "है"]),
        ("ar", "البيت الكبير", ["بيت", "كبير"]),
        ("zh", "北京2008年，Bird Nest。", ["北", "京", "2008", "年", "bird", "nest"]),
        ("zh_TW", "《紅樓夢》", ["紅", "樓", "夢"]),
        (None, "北京2008年", ["北京2008年"]),
        ("xx", "", []),
    ],
)
def test_tokens_worked_by_hand(language, text, expected):
    assert tokens(text, language) == expected


@pytest.mark.parametrize(
    ("language", "answer", "gold", "f1", "exact"),
    [
        ("en", "the black cat", ("cat",), 2 / 3, 0),
        ("en", "The cat.", ("dog", "cat"), 1, 1),
        ("en", "a cat cat", ("cat dog",), 1 / 2, 0),  # the second "cat" has no fellow
        ("en", "seven", ("7",), 0, 0),
        # IŞIK lower-cases to "işik" by Unicode's rules, to "ışık" by Turkish ones: the script calls it wrong
        ("tr", "IŞIK", ("ışık",), 0, 0),
        ("tr", "İstanbul'da", ("istanbulda",), 0, 0),
        ("tr", "İstanbul şehri", ("İstanbul",), 2 / 3, 0),
        ("de", "der Rhein", ("Rhein",), 1, 1),
        (None, "der Rhein", ("Rhein",), 2 / 3, 0),
        ("vi", "của Hà Nội", ("Hà Nội", "Huế"), 1, 1),
        # four characters each, three of them common
        ("zh", "在北京市。", ("北京城市",), 2 * 3 / (4 + 4), 0),
        ("zh", "北京，", ("北 京",), 1, 1),
        (None, "", ("",), 1, 1),
        (None, "", ("Denver",), 0, 0),
        (None, "Denver", ("",), 0, 0),
        (None, "", ("the", "Denver"), 0, 0),  # of "the" nothing is left, so it does not count
        (None, "the", ("A",), 1, 1),
    ],
)
def test_scores_worked_by_hand(language, answer, gold, f1, exact):
    assert token_f1(answer, gold, language) == pytest.approx(f1)
    assert exact_match(answer, gold, language) == exact


@pytest.mark.realdata
def test_random_answers_agree_with_scikit_learns_f1_of_counted_words(realdata):
    """Token F1 as a multiset problem: each repetition of a word is a label of its own."""
    import json
    import random

    from sklearn.metrics import f1_score

    chance = random.Random(0)
    data = json.loads((realdata / "qa" / "xquad.de.json").read_text(encoding="utf-8"))["data"]
    for article in data:
        context = article["paragraphs"][0]["context"]
        cuts = [sorted(chance.sample(range(len(context)), 2)) for _ in range(2)]
        one, other = (context[start:end][:200] for start, end in cuts)
        bags = []
        for text in (one, other):
            kept = text.lower().translate(str.maketrans("", "", string.punctuation))
            words = [word for word in re.split(r"\s+", kept) if word not in ("", "a", "an", "the")]
            bags.append({(word, words[:number].count(word)) for number, word in enumerate(words)})
        every = sorted(bags[0] | bags[1])
        expected = f1_score([word in bags[1] for word in every], [word in bags[0] for word in every])
        assert token_f1(one, (other,)) == pytest.approx(expected)
