"""`bistil serve` as a client sees it."""

import json
import signal
import socket
import threading
import time
from dataclasses import asdict

import pytest
from tests.serve.servers import KINDS, Server

import bistil

TEXT = "Öğretmen sabahleyin 🙂 taze ekmeği okuyor, 12."
QUESTION = {"question": "Kim okuyor?", "context": TEXT}


def given(kind: str) -> object:
    return QUESTION if kind == "qa" else TEXT


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_the_runtime(server, models, kind):
    expected = asdict(bistil.load(models[kind])(given(kind)))
    (found,) = server.predicted(kind, given(kind))
    assert _rounded(found) == _rounded(expected)


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(own) for own in value]
    return round(value, 5) if isinstance(value, float) else value


def test_words_and_pairs_are_taken_as_rows(server):
    (found,) = server.predicted("pos", {"tokens": ["Kedi", "uyudu", "."]})
    assert [word["text"] for word in found["words"]] == ["Kedi", "uyudu", "."]
    (found,) = server.predicted("classification", {"text": "Kedi uyudu.", "text_pair": "Uyudu."})
    assert found["text_pair"] == "Uyudu."
    assert [one["words"] for one in server.predicted("pos", "", " ")] == [[], []]


def test_models_and_states(server):
    assert server.asked("GET", "/health") == (200, {"status": "ok"})
    assert server.asked("GET", "/ready") == (200, {"status": "ok"})
    for address in ("/health", "/ready", "/", "/backend.js"):
        assert server.asked("HEAD", address)[0] == 200, address
    described = server.asked("GET", "/openapi.json")[1]["paths"]
    assert {method for one in described.values() for method in one} == {"get", "post"}
    status, found = server.asked("GET", "/models")
    assert status == 200
    assert [one["name"] for one in found["models"]] == list(KINDS)
    tags = found["models"][0]
    assert tags["task"] == "pos"
    assert tags["engine"] == "int8"
    assert tags["labels"] == ["NOUN", "PUNCT", "VERB"]
    for one in found["models"]:
        server.predicted(one["name"], *[example["input"] for example in one["examples"]])


def test_the_page_is_there_and_asks_no_other_host(server):
    status, page = server.asked("GET", "/")
    assert status == 200
    assert "<html" in page
    assert server.headers["content-security-policy"].startswith("default-src 'self'")
    status, script = server.asked("GET", "/backend.js")
    assert status == 200
    assert "export" in script


def counted(server: Server, line: str) -> float:
    _, text = server.asked("GET", "/metrics")
    return next((float(one.split()[-1]) for one in text.splitlines() if one.startswith(line)), 0.0)


def test_metrics_count_what_was_asked(server):
    good, bad = (f'bistil_requests_total{{model="pos",status="{status}"}}' for status in (200, 422))
    texts = 'bistil_texts_total{model="pos"}'
    before = [counted(server, line) for line in (good, bad, texts)]
    server.predicted("pos", TEXT, TEXT)
    server.asked("POST", "/predict/pos", {"inputs": [1]})
    assert [counted(server, line) for line in (good, bad, texts)] == [before[0] + 1, before[1] + 1, before[2] + 2]
    assert counted(server, "bistil_waiting_texts") == 0


def test_a_client_that_hangs_up_is_no_fault_of_the_server(server):
    gone, fault = (f'bistil_requests_total{{model="pos",status="{status}"}}' for status in (499, 500))
    before = counted(server, gone)
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(
            b"POST /predict/pos HTTP/1.1\r\nHost: a\r\n"
            b"Content-Type: application/json\r\nContent-Length: 90\r\n\r\n{"
        )
        time.sleep(0.2)
    until = time.monotonic() + 10
    while counted(server, gone) == before and time.monotonic() < until:
        time.sleep(0.05)
    assert (counted(server, gone), counted(server, fault)) == (before + 1, 0)
    assert 499 in [line.get("status") for line in server.logged]


def test_the_log_is_json_and_holds_no_text(server):
    secret = "gizlikelime"
    server.predicted("pos", secret)
    server.asked("POST", "/predict/pos", {"inputs": [{secret: secret}]})
    server.asked("POST", f"/predict/{secret}", {})
    time.sleep(0.2)
    assert {line["event"] for line in server.logged} >= {"started", "request"}
    assert secret not in json.dumps(server.logged)
    (last,) = [line for line in server.logged if line["event"] == "request"][-1:]
    assert last.keys() >= {"time", "level", "model", "status", "texts", "milliseconds"}


BAD = [
    (b"{", 400),
    (b"", 422),
    (b"[]", 422),
    (b'{"inputs": []}', 422),
    (b'{"inputs": "a text"}', 422),
    (b'{"inputs": [null]}', 422),
    (b'{"inputs": [1e999]}', 422),
    (b'{"inputs": ["a"], "other": 1}', 422),
    (b'{"inputs": ["\\ud800"]}', 422),
    (b'{"inputs": ["a \xff"]}', 400),
    (b'{"inputs": [{"tokens": ["a", "b c"]}]}', 200),
    (b'{"inputs": [{"tokens": ["a", 1]}]}', 422),
    (b'{"inputs": [{"tokens": ["' + b"a" * 12_000 + b'", "' + b"a" * 12_000 + b'"]}]}', 422),
    (b'{"inputs": ["' + b"a" * 100_000 + b'"]}', 422),
    (b'{"inputs": [' + b'"a",' * 256 + b'"a"]}', 422),
    (b'{"inputs": ["' + b"a" * 10_000_000 + b'"]}', 413),
    (b"[" * 100_000, 400),
    (b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
    (b'{"inputs": [' + b"9" * 10_000 + b"]}", 400),
]


@pytest.mark.parametrize(("body", "status"), BAD, ids=[repr(body[:30]) for body, _ in BAD])
def test_bad_bodies_are_one_sentence(server, body, status):
    found, said = server.asked("POST", "/predict/pos", body)
    assert found == status, said
    if status != 200:
        assert set(said) == {"detail"}
        assert isinstance(said["detail"], str)
        assert len(said["detail"]) < 400
    server.predicted("pos", TEXT)


def test_wrong_addresses_and_methods(server):
    assert server.asked("POST", "/predict/other", {"inputs": ["a"]})[0] in (404, 405)
    assert server.asked("GET", "/predict/pos")[0] == 405
    assert server.asked("GET", "/nothing")[0] == 404
    assert server.asked("GET", "/../../etc/passwd")[0] == 404
    assert server.asked("GET", "/%2e%2e/app.py")[0] == 404


@pytest.mark.parametrize("given", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_another_content_type_is_told_the_right_one(server, given):
    body = json.dumps({"inputs": ["a"]}).encode()
    status, said = server.asked("POST", "/predict/pos", body, {"Content-Type": given})
    assert status == 422
    assert said["detail"].startswith(f"The body came with {given or 'no Content-Type'}. ")
    assert said["detail"].endswith("Send the header Content-Type: application/json.")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"inputs": ["a \xff"]}', "The body is not JSON: byte 15 is not utf-8."),
        (b"[" * 100_000, "The body is not JSON that can be read: it is nested too deeply."),
        (
            b'{"inputs": [' + b"9" * 10_000 + b"]}",
            "The body is not JSON that can be read: a number has too many digits.",
        ),
    ],
    ids=["no UTF-8", "deep", "digits"],
)
def test_why_a_body_cannot_be_read_is_said(server, body, reason):
    assert server.asked("POST", "/predict/pos", body) == (400, {"detail": reason})


def test_one_bad_input_does_not_spoil_the_others(server):
    """Requests that go through the model together are answered each for itself."""
    answers: dict[int, int] = {}

    def ask(number: int) -> None:
        item = {"tokens": [""]} if number % 4 == 0 else TEXT
        answers[number], _ = server.asked("POST", "/predict/pos", {"inputs": [item]})

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert {number: status for number, status in answers.items() if number % 4} == {
        number: 200 for number in range(24) if number % 4
    }
    assert len({status for number, status in answers.items() if number % 4 == 0}) == 1


def test_several_models_under_load_answer_as_they_do_alone(server):
    alone = {kind: _rounded(server.predicted(kind, given(kind))) for kind in KINDS}
    wrong: list[object] = []

    def ask(number: int) -> None:
        for turn in range(20):
            kind, texts = KINDS[(number + turn) % len(KINDS)], 1 + (number * turn) % 16
            status, said = server.asked("POST", f"/predict/{kind}", {"inputs": [given(kind)] * texts})
            if status != 200 or [one.keys() for one in said["results"]] != [alone[kind][0].keys()] * texts:
                wrong.append((kind, texts, status, said))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert wrong == []
    assert {kind: _rounded(server.predicted(kind, given(kind))) for kind in KINDS} == alone


@pytest.mark.parametrize(
    ("inputs", "place"),
    [
        ([1], "inputs.0: Input should be a valid string."),
        (["a", {"text": "a", "text_pair": "b"}], "inputs.1: Input should be a valid string."),
        (
            [{"text": "a", "text_pair": "a" * 20_001}],
            "inputs.0.text_pair: String should have at most 20000 characters.",
        ),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(server, inputs, place):
    assert server.asked("POST", "/predict/classification", {"inputs": inputs}) == (422, {"detail": place})


def test_a_token_is_asked_for(models):
    with Server(str(models["pos"]), BISTIL_TOKEN="geheim") as server:
        body = {"inputs": [TEXT]}
        missing, wrong = "Give the server's token: Authorization: Bearer …", "That is not the server's token."
        for given, said in ((None, missing), ("Bearer other", wrong), ("Basic geheim", missing)):
            header = {} if given is None else {"Authorization": given}
            assert server.asked("POST", "/predict/pos", body, header) == (401, {"detail": said})
            assert server.headers["www-authenticate"] == "Bearer"
        assert server.asked("POST", "/predict/pos", body, {"Authorization": "Bearer geheim"})[0] == 200
        for path, status in {
            "/models": 401,
            "/metrics": 401,
            "/openapi.json": 401,
            "/health": 200,
            "/": 200,
        }.items():
            assert server.asked("GET", path)[0] == status, path
        allowed = server.asked("GET", "/openapi.json", None, {"Authorization": "Bearer geheim"})
        assert "/predict/pos" in allowed[1]["paths"]


@pytest.mark.parametrize("token", ["", " ", " geheim", "geheim\n", "şifre"])
def test_a_token_that_no_client_can_send_is_refused(models, token, monkeypatch, capsys):
    from bistil.cli import main

    arguments = ["serve", str(models["pos"]), "--host", "256.0.0.1"]  # at which no server stays
    monkeypatch.setenv("BISTIL_TOKEN", token)
    assert main(arguments) == 2
    assert "unset BISTIL_TOKEN" in capsys.readouterr().err
    monkeypatch.delenv("BISTIL_TOKEN")
    assert main([*arguments, "--token", token]) == 2
    assert "unset BISTIL_TOKEN" in capsys.readouterr().err
    assert main([*arguments, "--token", "two words"]) == 2
    assert "--host" in capsys.readouterr().err


def test_too_many_texts_are_told_to_come_again(models):
    with Server(str(models["pos"]), "--max-waiting", "8", "--timeout", "20") as server:
        statuses: list[int] = []

        def ask() -> None:
            statuses.append(server.asked("POST", "/predict/pos", {"inputs": [TEXT * 20] * 8})[0])

        threads = [threading.Thread(target=ask) for _ in range(40)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert set(statuses) == {200, 503}
        server.predicted("pos", TEXT)


@pytest.mark.slow
def test_slow_clients_are_given_up(models):
    with Server(str(models["pos"]), "--timeout", "1") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(
                b"POST /predict/pos HTTP/1.1\r\nHost: a\r\n"
                b"Content-Type: application/json\r\nContent-Length: 90\r\n\r\n{"
            )
            slow.settimeout(10)
            assert b" 408 " in slow.recv(1000)
        halves = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
        for number, one in enumerate(halves):
            one.sendall(b"POST /pre" if number % 2 else b"")
        server.predicted("pos", TEXT)
        for one in halves:
            one.settimeout(20)
            assert one.recv(1) == b""  # closed by the server
            one.close()


def test_accepted_requests_are_answered_before_it_stops(models):
    with Server(str(models["parsing"])) as server:
        statuses: list[int] = []

        def ask() -> None:
            statuses.append(server.asked("POST", "/predict/parsing", {"inputs": [TEXT * 10] * 64})[0])

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for one in threads:
            one.start()
        while sum(counted(server, f"bistil_{name}") for name in ("waiting_texts ", "texts_total")) < 8 * 64:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        for one in threads:
            one.join()
        assert server.process.wait(20) == 0
        assert statuses == [200] * 8


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere"),
        (["a b={pos}"], "NAME=FOLDER"),
        (["{pos}", "{pos}"], "Two models are called pos"),
        (["{pos}", "--host", "256.0.0.1"], "--host"),
    ],
)
def test_wrong_arguments_are_one_sentence(models, arguments, said, capsys):
    from bistil.cli import main

    assert main(["serve", *(one.format(pos=models["pos"]) for one in arguments)]) == 2
    assert said in capsys.readouterr().err


def test_a_port_in_use_is_one_sentence(models, capsys):
    from bistil.cli import main

    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", str(models["pos"]), "--port", str(taken.getsockname()[1])]) == 2
    assert "--port" in capsys.readouterr().err


@pytest.mark.slow
def test_a_thousand_connections_at_once(models):
    """Each is answered, or told to come again; the next request is answered."""
    body = json.dumps({"inputs": [TEXT]}).encode()
    head = (
        f"POST /predict/pos HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    with Server(str(models["pos"]), "--max-waiting", "200") as server:
        opened = []
        for _ in range(1_000):
            opened.append(socket.create_connection(("127.0.0.1", server.port), timeout=60))
        for one in opened:
            one.sendall(head.encode() + b"\r\n\r\n" + body)
        statuses = [one.recv(12)[9:12] for one in opened]
        for one in opened:
            one.close()
        assert set(statuses) <= {b"200", b"503"}
        assert statuses.count(b"200") >= 200
        server.predicted("pos", TEXT)
