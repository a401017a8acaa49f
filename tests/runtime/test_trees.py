from itertools import product

import networkx
import numpy as np
import pytest

from bistil.runtime.trees import best_tree, is_tree


def reaches_root(heads, word):
    """By walking: word after word up to the root, and no further than there are words."""
    for _ in heads:
        word = heads[word - 1]
        if word == 0:
            return True
    return False


def all_trees(words):
    for heads in product(range(words + 1), repeat=words):
        if heads.count(0) == 1 and all(reaches_root(heads, word) for word in range(1, words + 1)):
            yield heads


def total(scores, heads):
    return sum(scores[word, head] for word, head in enumerate(heads))


@pytest.mark.parametrize(("words", "trees"), [(1, 1), (2, 2), (3, 9), (4, 64), (5, 625)])
def test_there_are_as_many_trees_as_cayley_says(words, trees):
    assert len(list(all_trees(words))) == trees  # n^(n-1) rooted trees on n words
    every = product(range(words + 1), repeat=words)
    assert sum(is_tree(heads) for heads in every) == trees


@pytest.mark.parametrize("words", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["any", "root", "ties", "bfloat"])
def test_best_of_all_trees(words, kind):
    generator = np.random.default_rng([words, len(kind)])
    trees = list(all_trees(words))
    for _ in range(60 if words < 5 else 25):
        scores = generator.normal(size=(words, words + 1))
        if kind == "root":  # every word would hang on the root
            scores[:, 0] += 3
        if kind == "ties":
            scores = scores.round()
        if kind == "bfloat":
            scores = (scores * 1e6).astype(np.float32)
        before = scores.copy()
        heads = best_tree(scores)
        assert tuple(heads) in trees
        assert total(scores, heads) == pytest.approx(
            max(total(scores, tree) for tree in trees), rel=1e-12, abs=1e-9
        )
        assert np.array_equal(scores, before)


@pytest.mark.parametrize("words", [8, 15, 30])
def test_longer_sentences_agree_with_networkx(words):
    """One run of networkx for each word that could hang on the root; of the longest, for the word found alone."""
    generator = np.random.default_rng(words)
    scores = generator.normal(size=(words, words + 1))
    best = -np.inf
    for root in range(1, words + 1) if words < 30 else [int(best_tree(scores).argmin()) + 1]:
        graph = networkx.DiGraph()
        graph.add_edge(0, root, weight=scores[root - 1, 0])
        for word, head in product(range(1, words + 1), repeat=2):
            if word not in (head, root):
                graph.add_edge(head, word, weight=scores[word - 1, head])
        tree = networkx.maximum_spanning_arborescence(graph, attr="weight")
        best = max(best, sum(scores[word - 1, head] for head, word in tree.edges))
    heads = best_tree(scores)
    assert is_tree(heads)
    assert total(scores, heads) == pytest.approx(best)


def test_the_whole_tree_counts_and_not_the_word_that_likes_the_root_best():
    assert best_tree(np.array([[5, 0, 9], [4, 6, 0]])).tolist() == [2, 0]  # 9 + 4 against 5 + 6


def test_huge_scores_do_not_hide_small_ones():
    """A large constant against second roots would round away that the second word is the better root."""
    scores = np.array([[1.0, 0.0, 0.0], [1.0 + 1e-9, 0.0, 0.0]])
    scores[:, 0] += 1e5
    assert best_tree(scores).tolist() == [2, 0]


def test_own_heads_are_not_read_and_other_numbers_refused():
    assert best_tree(np.array([[0.0, 50.0, 1.0], [3.0, 0.0, 50.0]])).tolist() == [2, 0]
    assert best_tree(np.zeros((0, 1))).tolist() == []
    with pytest.raises(ValueError, match="finite"):
        best_tree(np.array([[0.0, 0.0, -np.inf], [0.0, 0.0, 0.0]]))


@pytest.mark.parametrize(("heads", "tree"), [([2, 3, 2], False), ([1], False), ([0, 0], False), ([2, 0, 2], True)])
def test_trees_and_others(heads, tree):
    assert is_tree(heads) is tree


def test_long_sentences_of_cycles_alone():
    """Every two words are each other's best heads, and every two pairs, and so on: as many merges as can be."""
    words = 256
    numbers = np.arange(words)
    scores = np.concatenate([np.zeros((words, 1)), -((numbers[:, None] ^ numbers) * 1.0)], 1)
    heads = best_tree(scores)
    assert is_tree(heads)
    # one edge joins two halves of 2, 4, 8, … words, at the lowest cost, 1, 2, 4, …
    joins = sum(words // (2 * half) * half for half in (1 << step for step in range(8)))
    assert total(scores, heads) == -joins
