import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bistil.vocabulary.count import count_tokens
from bistil.vocabulary.trim import closure, special_ids, trim_tokenizer

# Letters with and without marks, other scripts, format characters, bytes of several lengths, and what
# the layouts use as marks of their own.
CHARACTERS = st.one_of(st.sampled_from("abeiknrst ▁#Ġéüñ́日本ا­‍<>[]|\n\t"), st.characters(codec="utf-8"))
TEXT = st.text(CHARACTERS, max_size=30)
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def encoded(tokenizer, text):
    return tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids


def trimmed_at_random(tokenizer, lines, chance):
    """A trimmed tokenizer with the closure of the lines and of whatever else it keeps."""
    kept = set(chance.sample(range(len(tokenizer)), chance.randint(0, len(tokenizer))))
    kept |= special_ids(tokenizer)
    kept |= closure(tokenizer, count_tokens(tokenizer, lines))(kept)
    ids = np.array(sorted(kept))
    return trim_tokenizer(tokenizer, ids), ids


@FEW
@given(
    chance=st.randoms(use_true_random=False), corpus=st.lists(TEXT, max_size=4), others=st.lists(TEXT, max_size=4)
)
def test_trimming_at_random(tokenizer, sample, chance, corpus, others):
    corpus += chance.sample(sample, 10)
    others += chance.sample(sample, 10)
    trimmed, ids = trimmed_at_random(tokenizer, corpus, chance)
    assert sorted(trimmed.get_vocab().values()) == list(range(len(ids)))
    assert trimmed.convert_ids_to_tokens(range(len(ids))) == tokenizer.convert_ids_to_tokens(ids.tolist())
    kept = set(ids.tolist())
    for text in (*corpus, *others):
        old, new = encoded(tokenizer, text), encoded(trimmed, text)
        if kept.issuperset(old):
            assert ids[new].tolist() == old
    for text in corpus:
        old, new = encoded(tokenizer, text), encoded(trimmed, text)
        if tokenizer.unk_token is None:
            assert trimmed.decode(new) == tokenizer.decode(old)
        else:
            assert new.count(trimmed.unk_token_id) <= old.count(tokenizer.unk_token_id)


@FEW
@given(chance=st.randoms(use_true_random=False), texts=st.lists(TEXT, max_size=6))
def test_the_file_says_the_same(tokenizer, sample, tmp_path_factory, chance, texts):
    trimmed, _ = trimmed_at_random(tokenizer, sample[:10], chance)
    folder = tmp_path_factory.mktemp("saved")
    trimmed.save_pretrained(folder)
    loaded = type(trimmed).from_pretrained(folder)
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert loaded.get_vocab() == trimmed.get_vocab() == plain.get_vocab()
    for text in texts:
        ids = trimmed(text).input_ids
        assert loaded(text).input_ids == plain.encode(text).ids == ids
        assert loaded.decode(ids) == trimmed.decode(ids)


@FEW
@given(text=TEXT)
def test_keeping_everything_changes_nothing(tokenizer, text):
    ids = np.arange(len(tokenizer))
    same = trim_tokenizer(tokenizer, ids)
    old, new = tokenizer(text, text_pair=text), same(text, text_pair=text)
    assert old.input_ids == new.input_ids
    assert tokenizer.decode(old.input_ids) == same.decode(new.input_ids)
    assert tokenizer.decode(old.input_ids, skip_special_tokens=True) == same.decode(
        new.input_ids, skip_special_tokens=True
    )
