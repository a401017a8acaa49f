import io
import re

import pytest

from bistil.progress import Progress, duration


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_at_start_every_30_seconds_and_end(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock)
    progress.say("hello [red]")
    with progress.stage("Distilling", total=1200, unit="tokens") as stage:
        for _ in range(70):
            clock.now += 1
            stage.note("loss 0.5")
            stage.advance(10)
    progress.reused("Counting")
    assert stream.getvalue().splitlines() == [
        "hello [red]",
        "Distilling …",
        # the note comes before the 30th advance: 290 tokens in 30 s, 910 to go
        "Distilling: 24% · 1 min 34 s left · 290 of 1,200 tokens · loss 0.5",
        "Distilling: 49% · 1 min 02 s left · 590 of 1,200 tokens · loss 0.5",
        "Distilling: done in 1 min 10 s · loss 0.5",
        "Counting: reused",
    ]
    assert "\x1b" not in stream.getvalue()


def test_resumed_stage_does_not_count_the_old_part_in_the_rate():
    clock = Clock()
    with Progress(io.StringIO(), clock).stage("x", total=1000, done=900) as stage:
        assert stage.left is None
        clock.now += 10
        stage.advance(50)
        assert stage.left == 10


def test_without_a_total_there_is_no_time_left():
    clock = Clock()
    with Progress(io.StringIO(), clock).stage("x", unit="lines") as stage:
        clock.now += 10
        stage.advance(5)
        assert stage.status() == "5 lines"


def test_a_stage_that_fails_is_not_done():
    stream = io.StringIO()
    with pytest.raises(ValueError), Progress(stream).stage("x"):  # noqa: PT011
        raise ValueError
    assert stream.getvalue() == "x …\n"


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_narrow_terminal_shows_name_share_and_time_left(monkeypatch, columns):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    stream, clock = Terminal(), Clock()
    progress = Progress(stream, clock)
    with progress.stage("General distillation", total=160_000, unit="tokens") as stage:
        clock.now += 10
        stage.reach(40_000, "loss en 0.0084, tr 0.0092 · 26% of the matrix rate")
        progress._bars.refresh()
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", stream.getvalue())]
    (shown,) = {line for line in lines if "25%" in line}
    assert re.search(r"General distillation (━.* )?25% · 30 s left", shown)
    assert ("━" in shown) == (columns == 120)
    assert len(shown) <= columns


def test_terminal_shows_bars_and_leaves_plain_result_lines(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    progress = Progress(stream)
    with progress.stage("Outer [a]", total=10, unit="steps") as outer:
        with progress.stage("Inner", total=2) as inner:
            inner.advance()
        outer.advance(5)
        outer.note("loss 1")
    assert "\x1b[" in stream.getvalue()
    assert "Inner: done in 0 s" in stream.getvalue()
    assert "Outer [a]: done in 0 s · loss 1" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (-1, "0 s"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
