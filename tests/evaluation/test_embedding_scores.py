"""Scores of sentence embeddings, against sentence-transformers, scikit-learn, scipy and worked examples."""

import json

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, ndcg_score
from sklearn.neighbors import KNeighborsClassifier

from bistil.evaluation.embeddings import Bitext, Neighbours, Retrieval, Similarity
from bistil.evaluation.itemscores import ItemScore, difference, mean_score, rank_correlation
from bistil.evaluation.nearest import found_first, ranked, unit, voted
from bistil.evaluation.significance import compare


@pytest.fixture(scope="module")
def model(tiny_teacher):
    """A model of sentence-transformers, of random weights."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    words = Transformer(str(tiny_teacher))
    prompts = {"query": "query: ", "document": "passage: "}
    return SentenceTransformer(
        modules=[words, Pooling(words.get_embedding_dimension())], prompts=prompts, device="cpu"
    )


class Given:
    """A model that knows its vectors, and notes which prompts it was asked for."""

    def __init__(self, prompts, **vectors):
        self.prompts, self.vectors, self.asked = prompts, vectors, []

    def encode(self, texts, *, prompt_name):
        self.asked.append(prompt_name)
        return np.array([self.vectors[text] for text in texts])


def vectors(seed, count, dimensions=8):
    return unit(np.random.default_rng(seed).normal(size=(count, dimensions)))


@pytest.mark.slow  # importing it takes seconds
def test_translations_as_sentence_transformers_counts_them(model, tiny_lines):
    from sentence_transformers.evaluation import TranslationEvaluator

    ones, others = (tiny_lines[code][:60] for code in ("en", "tr"))
    ones = [f"{one} {other}" for one, other in zip(ones, others, strict=True)]  # so that some are found
    # its accuracies are of bare texts
    bare = Given({}, **dict(zip([*ones, *others], model.encode([*ones, *others]), strict=True)))
    found = {name: float(score) for name, score in Bitext(ones, others).scores(bare).items()}
    theirs = TranslationEvaluator(ones, others)(model)
    assert 1 / 60 < theirs["mean_accuracy"] < 1
    assert found == pytest.approx({name: 100 * value for name, value in theirs.items()})


def test_the_first_of_equal_vectors_is_the_nearest():
    one = np.array([[1, 0], [0, 1], [0, 1]], dtype=np.float32)
    assert found_first(one, one).tolist() == [1, 1, 0]
    assert found_first(one[:2], one[[0, 2]]).tolist() == [1, 1]


def test_blocks_of_rows_do_not_matter(monkeypatch):
    ones, others = vectors(0, 50), vectors(1, 50)
    near = ones @ others.T
    monkeypatch.setattr("bistil.evaluation.nearest._ROWS", 7)
    assert found_first(ones, others).tolist() == (near.argmax(1) == np.arange(50)).tolist()


@pytest.mark.slow  # importing it takes seconds
def test_similarity_as_sentence_transformers_counts_it(model, tiny_lines):
    from sentence_transformers.evaluation import EmbeddingSimilarityEvaluator

    ones, others = tiny_lines["en"][:80], tiny_lines["en"][80:160]
    gold = [len(set(a.split()) & set(b.split())) for a, b in zip(ones, others, strict=True)]  # many are equal
    bare = Given({}, **dict(zip([*ones, *others], model.encode([*ones, *others]), strict=True)))
    found = Similarity(ones, others, gold).scores(bare)["spearman"]
    theirs = EmbeddingSimilarityEvaluator(ones, others, gold, main_similarity="cosine")(model)
    assert float(found) == pytest.approx(100 * theirs["spearman_cosine"], abs=1e-3)


def test_rank_correlation_of_resamples_is_that_of_scipy():
    chance = np.random.default_rng(0)
    gold = chance.integers(0, 6, 200)
    values = np.round(gold + chance.normal(size=200), 1)  # ties on both sides
    weights = chance.multinomial(200, [1 / 200] * 200, size=20).astype(float)
    found = rank_correlation(gold, values).weighted(weights)
    for row, own in zip(weights, found, strict=True):
        drawn = np.repeat(np.arange(200), row.astype(int))
        assert own == pytest.approx(100 * stats.spearmanr(gold[drawn], values[drawn]).statistic)
    assert float(rank_correlation(gold, np.ones(200))) == 0


def test_the_interval_of_a_difference_of_correlations_is_that_of_scipy():
    chance = np.random.default_rng(1)
    gold = chance.integers(0, 6, 150)
    ours, theirs = gold + chance.normal(0, 2, 150), gold + chance.normal(0, 4, 150)

    def difference(places):
        return 100 * (
            stats.spearmanr(gold[places], ours[places]).statistic
            - stats.spearmanr(gold[places], theirs[places]).statistic
        )

    expected = stats.bootstrap(
        (np.arange(150),), difference, n_resamples=2000, method="percentile", vectorized=False, rng=chance
    ).confidence_interval
    found = rank_correlation(gold, ours).minus(rank_correlation(gold, theirs))
    assert found.difference == pytest.approx(difference(np.arange(150)))
    assert found.difference_low == pytest.approx(expected.low, abs=1.5)
    assert found.difference_high == pytest.approx(expected.high, abs=1.5)


def test_differences_of_means_are_those_of_tasks():
    chance = np.random.default_rng(2)
    ours, theirs = (chance.integers(0, 2, 100) for _ in range(2))
    pairs = [[[(float(value), 1.0) for value in side]] for side in (ours, theirs)]
    assert mean_score(ours).minus(mean_score(theirs)) == compare(*pairs)


@pytest.mark.slow  # importing it takes seconds
def test_retrieval_as_sentence_transformers_counts_it(model, tiny_lines):
    from sentence_transformers.evaluation import InformationRetrievalEvaluator

    questions, passages = tiny_lines["en"][:30], tiny_lines["en"][30:]
    right = [
        {number for number, passage in enumerate(passages) if set(passage.split()) & set(question.split()[:2])}
        | {index}
        for index, question in enumerate(questions)
    ]
    found = Retrieval(questions, passages, right).scores(model)
    theirs = InformationRetrievalEvaluator(
        {str(number): text for number, text in enumerate(questions)},
        {str(number): text for number, text in enumerate(passages)},
        {str(number): {str(one) for one in own} for number, own in enumerate(right)},
        ndcg_at_k=[10],
        map_at_k=[len(passages)],
    )(model)
    assert float(found["ndcg@10"]) == pytest.approx(100 * theirs["cosine_ndcg@10"])
    assert float(found["map"]) == pytest.approx(100 * theirs[f"cosine_map@{len(passages)}"])


def test_each_question_is_ranked_as_scikit_learn_does():
    questions, passages, chance = vectors(0, 20), vectors(1, 40), np.random.default_rng(2)
    right = [set(chance.choice(40, size=chance.integers(1, 15), replace=False).tolist()) for _ in range(20)]
    gains, precisions = ranked(questions, passages, right)
    for number, own in enumerate(right):
        labels, near = np.isin(np.arange(40), list(own)), questions[number] @ passages.T
        assert gains[number] == pytest.approx(ndcg_score([labels], [near], k=10))
        assert precisions[number] == pytest.approx(average_precision_score(labels, near))


def test_of_equally_near_passages_the_first_comes_first():
    question, passages = np.array([[1, 0]], dtype=np.float32), np.array([[0, 1], [1, 0], [1, 0]], dtype=np.float32)
    gains, precisions = ranked(question, passages, [{2}])
    assert (gains[0], precisions[0]) == (pytest.approx(1 / np.log2(3)), 0.5)
    gains, precisions = ranked(question, passages, [{0, 1}])  # first and third
    assert gains[0] == pytest.approx((1 + 1 / 2) / (1 + 1 / np.log2(3)))
    assert precisions[0] == pytest.approx((1 + 2 / 3) / 2)


def test_neighbours_vote_as_those_of_scikit_learn():
    train, test = vectors(0, 200, 3), vectors(1, 100, 3)
    labels = np.random.default_rng(2).choice(["a", "b", "c"], 200)
    test[0] = train[7]  # at no distance
    theirs = KNeighborsClassifier(metric="cosine", weights="distance").fit(train.astype(float), labels)
    found = voted(train, labels.tolist(), test)
    assert found == theirs.predict(test.astype(float)).tolist()
    assert found[0] == labels[7]


def test_of_labels_with_equal_votes_the_first_in_the_alphabet():
    train = np.array([[1, 1], [1, -1]], dtype=np.float32)
    assert voted(unit(train), ["b", "a"], np.array([[1, 0]], dtype=np.float32)) == ["a"]


@pytest.mark.parametrize(
    ("prompts", "alike", "asked", "searched"),
    [
        ({}, None, None, None),
        ({"query": "Find: "}, None, "query", None),
        ({"query": "", "document": ""}, None, "query", "document"),
        ({"query": "query: ", "passage": "passage: "}, "query", "query", "passage"),
    ],
)
def test_which_prompt_a_text_gets(prompts, alike, asked, searched):
    model = Given(prompts, a=[1, 0], b=[0, 1])
    tests = [Bitext(["a"], ["b"]), Similarity(["a"], ["b"], [1]), Neighbours(["a"], ["x"], ["b"], ["x"])]
    for test in tests:
        test.scores(model)
    assert model.asked == [alike] * 6
    Retrieval(["a"], ["b"], [{0}]).scores(model)
    assert model.asked[6:] == [asked, searched]


def test_a_vector_of_no_length_is_near_to_nothing():
    assert np.isfinite(unit(np.zeros((2, 3)))).all()


def test_several_seeds_count_as_their_mean():
    chance = np.random.default_rng(3)
    ours, theirs = chance.integers(0, 2, (2, 100)), chance.integers(0, 2, 100)
    pairs = [[[(float(value), 1.0) for value in seed] for seed in side] for side in (ours, [theirs])]
    found = difference([mean_score(seed) for seed in ours], [mean_score(theirs)])
    assert found.difference == pytest.approx(100 * (ours.mean() - theirs.mean()))
    assert vars(found) == pytest.approx(vars(compare(*pairs)))


@pytest.mark.parametrize(
    "score", [mean_score(np.array([1, 0, 1])), rank_correlation(np.arange(3), np.ones(3) / 3)]
)
def test_a_score_that_was_written_down_is_the_same(score):
    again = ItemScore.of(json.loads(json.dumps(score.plain())))
    weights = np.array([[1.0, 2.0, 0.0], [1.0, 1.0, 1.0]])
    assert (again.weighted(weights) == score.weighted(weights)).all()
