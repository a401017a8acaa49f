"""Random numbers from counters: against published values, counting, and a permutation that is built."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bistil.corpora.draws import key, shuffled, uniform, words


def test_words_are_those_that_are_published_for_splitmix64():
    """The first five of seed 1234567, as Rosetta Code lists them."""
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert words(np.uint64(1234567), np.arange(5, dtype=np.uint64)).tolist() == published


def test_keys_differ_by_seed_and_purpose():
    keys = [key(seed, *purpose) for seed in range(20) for purpose in ((), (1,), (2,), (2, 0), (2, 1))]
    assert len({int(one) for one in keys}) >= 80  # SeedSequence takes a missing word for a zero
    assert key(0, 1) == key(0, 1)


def test_uniform_numbers_fill_the_interval_evenly():
    numbers = uniform(key(0), np.arange(100_000, dtype=np.uint64))
    assert (numbers >= 0).all()
    assert (numbers < 1).all()
    counts = np.histogram(numbers, 20, (0, 1))[0]
    assert ((counts - 5000) ** 2 / 5000).sum() < 43.8  # chi-squared with 19 degrees of freedom, p = 0.001


@given(count=st.integers(1, 3000), seed=st.integers(0, 100))
def test_shuffled_positions_are_a_permutation(count, seed):
    assert sorted(shuffled(np.arange(count), count, key(seed)).tolist()) == list(range(count))


def test_shuffled_large_corpora_one_by_one_or_together():
    positions = np.random.default_rng(0).integers(0, 10**11, 500)
    together = shuffled(positions, 10**11, key(3))
    assert ((together >= 0) & (together < 10**11)).all()
    assert [shuffled(positions[i : i + 1], 10**11, key(3))[0] for i in range(500)] == together.tolist()


@pytest.mark.parametrize("count", [7, 100])
def test_every_place_is_equally_likely(count):
    keys = words(key(0), np.arange(100_000, dtype=np.uint64))
    for position in (0, count - 1):
        places = shuffled(np.full(len(keys), position), count, keys)
        shares = np.bincount(places, minlength=count) * count / len(keys)
        assert shares == pytest.approx(1, abs=0.15)


def test_neighbours_do_not_stay_neighbours():
    places = shuffled(np.arange(10_000), 10_000, key(0))
    assert np.corrcoef(places[:-1], places[1:])[0, 1] == pytest.approx(0, abs=0.05)
    assert (np.abs(np.diff(places)) == 1).mean() < 0.001
