"""A server under load: `python -m benchmarks.serving TEXTS MODEL... [--minutes N]`.

TEXTS is a file with a text a line, each MODEL a task model with an int8 file, the first one for single texts. The
server has a process of its own, and so have the clients, which send requests of 1 to 16 inputs on loopback.

Measured with the first model: what the runtime alone does with the same texts in batches; the server's saturation,
64 clients sending as fast as they are answered; p50 and p99 at 50 % and 90 % of that, requests sent by the clock,
so that a late answer does not delay the next request. Then the same clients against the obvious alternative,
FastAPI around `transformers.pipeline` with the same student in PyTorch, at as many threads.

With ``--minutes``: as long a load at 70 % of the saturation, of requests to all models in turn, and the server's
memory meanwhile. Both are kept in ``results/serving.json``.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

import bistil
from benchmarks.realdata import ROOT
from benchmarks.results import described
from bistil.files import read_json, write_json
from bistil.runtime.threads import available

RESULT = ROOT / "results/serving.json"
PORT, CONNECTIONS, SIZES, SECONDS = 8471, 64, (1, 1, 1, 2, 4, 16), 20.0
Requests = list[tuple[int, bytes]]  # each with the number of its inputs
ALTERNATIVE = """
import sys
import torch
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline
import uvicorn

torch.set_num_threads(int(sys.argv[3]))
model = pipeline("text-classification", sys.argv[1])
app = FastAPI()

class Inputs(BaseModel):
    inputs: list[str]

@app.post("/predict/model")
def predict(body: Inputs):
    return {"results": model(body.inputs, truncation=True)}

@app.get("/ready")
def ready():
    return {}

uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False)
"""


def main() -> None:
    """A server's speed, or its endurance."""
    parser = argparse.ArgumentParser()
    parser.add_argument("texts", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--minutes", type=int)
    given = parser.parse_args()
    texts = given.texts.read_text(encoding="utf-8").splitlines()[:2_000]
    kept = read_json(RESULT) if RESULT.exists() else {"command": "python -m benchmarks.serving TEXTS MODEL..."}
    if given.minutes:
        kept["long"] = described(_long(given.models, texts, given.minutes))
    else:
        kept["speed"] = described(_speed(given.models[0], texts))
    write_json(RESULT, kept)
    print(json.dumps(kept, indent=1))


def _speed(folder: str, texts: list[str]) -> dict[str, Any]:
    """Ours beside the runtime alone, and the alternative."""
    alone, full = [], []
    with _server(_serve(f"model={folder}"), PORT):
        requests = _requests(PORT, texts)
        for _ in range(3):
            alone.append(_apart(_rate, folder, texts))
            full.append(_apart(_clients, PORT, requests, None, SECONDS))
        saturation = {key: median(one[key] for one in full) for key in full[0]}
        rate = saturation["requests_a_second"]
        at = {f"{share:.0%}": _apart(_clients, PORT, requests, share * rate, SECONDS) for share in (0.5, 0.9)}
    with _server([sys.executable, "-c", ALTERNATIVE, folder, str(PORT), str(available())], PORT):
        fast = _apart(_clients, PORT, requests, None, SECONDS)
        half = _apart(_clients, PORT, requests, 0.5 * fast["requests_a_second"], SECONDS)
    return {
        "runtime_alone_texts_a_second": median(alone),
        "saturation": saturation,
        "share_of_runtime": saturation["texts_a_second"] / median(alone),
        "at": at,
        "pipeline": {"saturation": fast, "at 50%": half},
    }


def _long(models: list[str], texts: list[str], minutes: int) -> dict[str, Any]:
    """What clients of all models saw in so many minutes, and the server's memory in the first and last of them."""
    with _server(_serve(*models), PORT) as process, multiprocessing.get_context("spawn").Pool(1) as pool:
        requests = _requests(PORT, texts)
        rate = 0.7 * pool.apply(_clients, (PORT, requests, None, SECONDS))["requests_a_second"]
        clients = pool.apply_async(_clients, (PORT, requests, rate, 60.0 * minutes))
        memory = []
        while not clients.ready():
            clients.wait(5.0)
            memory.append(process.memory_info().rss / 1e6)
        found = clients.get()
    edge = max(1, min(60, len(memory) // 3))  # of five minutes
    ends = [float(np.mean(part)) for part in (memory[:edge], memory[-edge:])]
    return {"minutes": minutes, "models": len(models), **found, "memory_mb": ends}


def _serve(*models: str) -> list[str]:
    return [sys.executable, "-m", "bistil", "serve", *models, "--port", str(PORT)]


def _apart(measure: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, arguments)


def _rate(folder: str, texts: list[str]) -> float:
    """Texts a second that the runtime labels, all at once."""
    model = bistil.load(folder)
    model(texts[:256], batch_size=256)
    started = time.perf_counter()
    model(texts, batch_size=256)
    return len(texts) / (time.perf_counter() - started)


@contextmanager
def _server(command: list[str], port: int) -> Iterator[psutil.Process]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _until_ready(port)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def _until_ready(port: int) -> None:
    for _ in range(600):
        try:
            if _got(port, "/ready")[0] == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"Nothing answers at port {port}.")


def _got(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def _requests(port: int, texts: list[str]) -> Requests:
    """Requests to all models in turn, with inputs that look like the model's examples."""
    chance = random.Random(0)
    models = json.loads(_got(port, "/models")[1])["models"]

    def like(example: Any) -> Any:
        if isinstance(example, str):
            return chance.choice(texts)
        *first, last = example  # a passage is last
        return {**{name: chance.choice(texts) for name in first}, last: " ".join(chance.sample(texts, 5))}

    def request(model: Mapping[str, Any]) -> tuple[int, bytes]:
        inputs = [like(chance.choice(model["examples"])["input"]) for _ in range(chance.choice(SIZES))]
        body = json.dumps({"inputs": inputs}).encode()
        head = f"POST /predict/{model['name']} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        return len(inputs), f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    return [request(models[number % len(models)]) for number in range(500)]


def _clients(port: int, requests: Requests, rate: float | None, seconds: float) -> dict[str, float]:
    """What clients see; ``rate`` in requests a second, None: as fast as they are answered."""
    return asyncio.run(_load(port, requests, rate, seconds))


async def _load(port: int, requests: Requests, rate: float | None, seconds: float) -> dict[str, float]:
    chance = random.Random(0)
    took: list[float] = []
    labelled, failed = 0, 0
    started, used = time.perf_counter(), time.process_time()
    waiting: asyncio.Queue[float] = asyncio.Queue()

    async def clock() -> None:
        at = started
        while rate and at < started + seconds:
            at += chance.expovariate(rate)
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            waiting.put_nowait(at)

    async def client(due: Callable[[], Any]) -> None:
        nonlocal labelled, failed
        streams, last = None, started
        while time.perf_counter() < started + seconds:
            try:
                came = await asyncio.wait_for(due(), max(0.01, started + seconds - time.perf_counter()))
            except TimeoutError:
                break
            if streams and time.perf_counter() - last > 10:  # servers close what is idle for long
                streams[1].close()
                streams = None
            reader, writer = streams = streams or await asyncio.open_connection("127.0.0.1", port)
            count, request = chance.choice(requests)
            writer.write(request)
            status = await _status(reader)
            last = time.perf_counter()
            took.append(last - came)
            labelled += count if status == 200 else 0
            failed += status != 200
        if streams:
            streams[1].close()

    async def now() -> float:
        return time.perf_counter()

    others = CONNECTIONS if rate is None else 4 * CONNECTIONS
    await asyncio.gather(clock(), *(client(waiting.get if rate else now) for _ in range(others)))
    spent = time.perf_counter() - started
    return {
        "requests_a_second": len(took) / spent,
        "texts_a_second": labelled / spent,
        "failed": failed,
        "cores_of_clients": (time.process_time() - used) / spent,
        "p50_ms": 1000 * float(np.quantile(took, 0.5)),
        "p99_ms": 1000 * float(np.quantile(took, 0.99)),
    }


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return int(head[9:12])


if __name__ == "__main__":
    main()
