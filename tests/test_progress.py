import io

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
        "Distilling: 290 of 1,200 tokens · 24% · 1 min 34 s left · loss 0.5",
        "Distilling: 590 of 1,200 tokens · 49% · 1 min 02 s left · loss 0.5",
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
