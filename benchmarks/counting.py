"""How fast tokens are counted: `python -m benchmarks.counting`, numbers in ``results/counting.json``.

Multilingual-E5-small's tokenizer on 20,000 lines of Turkish and English text, all cores: the tokenizers library's
``encode_batch_fast`` alone, our counter, a plain Python loop over the ids (as the reference has it), and
trimbed where that can be imported. They take turns, A B C A B C, fifteen rounds; medians. Reading on while a
chunk is freed, ours can pass 100 %.
"""

import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from statistics import median

from benchmarks.realdata import realdata
from benchmarks.results import save_measurement
from bistil.corpora.encoding import CHUNK_LINES
from bistil.corpora.text import files, lines
from bistil.models import teachers
from bistil.vocabulary.count import count_tokens

try:  # it pins versions that exclude ours, so that it is measured only where somebody has forced it in
    from trimbed.config import CorpusConfig, DatasetSpec
    from trimbed.counting import CorpusCounter
except ImportError:
    CorpusCounter = None

LINES, ROUNDS = 20_000, 15


def main() -> None:
    """Measures, checks that the counts agree, prints and keeps the numbers."""
    _, tokenizer = teachers.load(teachers.locate("bundled:multilingual-e5-small"))
    backend = tokenizer.backend_tokenizer
    sources = (lines(files(realdata() / f"text/{language}.txt")) for language in ("tr", "en"))
    text = list(chain.from_iterable(islice(source, LINES // 2) for source in sources))

    def chunks() -> Iterator[list[str]]:
        return (text[start : start + CHUNK_LINES] for start in range(0, len(text), CHUNK_LINES))

    def alone() -> None:
        for chunk in chunks():
            backend.encode_batch_fast(chunk, add_special_tokens=False)

    def ours() -> list[int]:
        return list(count_tokens(tokenizer, text).tolist())

    def loop() -> list[int]:
        counts = [0] * len(tokenizer)
        for chunk in chunks():
            for ids in tokenizer(chunk, add_special_tokens=False)["input_ids"]:
                for token in ids:
                    counts[token] += 1
        return counts

    def trimbed() -> list[int]:
        # Its counter on one dataset, read from memory in its own batches.
        counter = CorpusCounter(tokenizer, CorpusConfig(datasets=[DatasetSpec(path="memory")]))
        size = counter.config.batch_size
        counter._iter_batches = lambda spec: (text[i : i + size] for i in range(0, len(text), size))
        counts = counter.count().counts
        return [counts[number] for number in range(len(tokenizer))]

    counters: dict[str, Callable[[], list[int] | None]] = {
        "encode_batch_fast": alone,
        "bistil": ours,
        "python loop": loop,
    }
    if CorpusCounter is not None:
        counters["trimbed"] = trimbed
    expected = loop()
    if any(counter() not in (expected, None) for counter in counters.values()):
        raise SystemExit("The counts do not agree.")
    tokens = sum(expected)
    seconds: dict[str, list[float]] = {name: [] for name in counters}
    for _ in range(ROUNDS):
        for name, counter in counters.items():
            started = time.perf_counter()
            counter()
            seconds[name].append(time.perf_counter() - started)
    rates = {name: tokens / median(times) for name, times in seconds.items()}
    share = rates["bistil"] / rates["encode_batch_fast"]
    facts = {
        "lines": len(text),
        "tokens": tokens,
        "tokens_per_second": rates,
        "share_of_encode_batch_fast": share,
        "seconds": seconds,
    }
    save_measurement("counting", "python -m benchmarks.counting", facts)
    for name, rate in rates.items():
        print(f"{name:20} {rate:12,.0f} tokens/s")
    print(f"bistil / encode_batch_fast: {share:.3f}")


if __name__ == "__main__":
    main()
