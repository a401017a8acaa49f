"""A server under load: `python -m benchmarks.serving MODEL FILE [MINUTES]`.

MODEL is a task model with an int8 file, FILE has texts for it, one a line. The server has a process of its own,
and so have the clients, which send requests of 1 to 16 texts over 32 connections on loopback. Measured: what the
runtime alone does with the same texts in batches; the server's saturation, clients sending as fast as they are
answered; p50 and p99 at 50 % and 90 % of that, requests sent by the clock, so that a late answer does not delay
the next request; the server's memory meanwhile. Then the same clients against the obvious alternative, FastAPI
around `transformers.pipeline` with the same student in PyTorch, at as many threads. Kept in
``results/serving.json``.
"""

import asyncio
import json
import multiprocessing
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

import bistil
from benchmarks.results import save_measurement

CONNECTIONS, SIZES, SECONDS = 64, (1, 1, 1, 2, 4, 16), 20.0
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
    """Ours, the runtime alone, the alternative."""
    folder, file = sys.argv[1], Path(sys.argv[2])
    minutes = float(sys.argv[3]) if sys.argv[3:] else 0.0
    texts = file.read_text(encoding="utf-8").splitlines()[:2_000]
    cores = os.cpu_count() or 1
    alone = [_alone(folder, texts)]
    with _server([sys.executable, "-m", "bistil", "serve", f"model={folder}", "--port", "8471"], 8471) as process:
        full = [_loaded(8471, texts, None, SECONDS) for _ in range(2)]
        alone.append(_alone(folder, texts))
        full.append(_loaded(8471, texts, None, SECONDS))
        rate = median(one["requests_a_second"] for one in full)
        at = {f"{share:.0%}": _loaded(8471, texts, share * rate, SECONDS) for share in (0.5, 0.9)}
        long = _long(process, texts, 0.7 * rate, minutes) if minutes else {}
    script = [sys.executable, "-c", ALTERNATIVE, folder, "8472", str(cores)]
    with _server(script, 8472):
        fast = _loaded(8472, texts, None, SECONDS)
        half = _loaded(8472, texts, 0.5 * fast["requests_a_second"], SECONDS)
    facts = {
        "runtime_alone_texts_a_second": median(alone),
        "saturation": {key: median(one[key] for one in full) for key in full[0]},
        "share_of_runtime": median(one["texts_a_second"] for one in full) / median(alone),
        "at": at,
        "long": long,
        "pipeline": {"saturation": fast, "at 50%": half},
    }
    save_measurement("serving", "python -m benchmarks.serving", facts)
    print(json.dumps(facts, indent=1))


def _alone(folder: str, texts: list[str]) -> float:
    """Texts a second that the runtime labels, all at once, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_rate, (folder, texts))


def _rate(folder: str, texts: list[str]) -> float:
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
    import http.client

    for _ in range(600):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"Nothing answers at port {port}.")


def _loaded(port: int, texts: list[str], rate: float | None, seconds: float) -> dict[str, float]:
    """What clients in a process of their own saw; ``rate`` in requests a second, None: as fast as answered."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_clients, (port, texts, rate, seconds))


def _clients(port: int, texts: list[str], rate: float | None, seconds: float) -> dict[str, float]:
    return asyncio.run(_load(port, texts, rate, seconds))


async def _load(port: int, texts: list[str], rate: float | None, seconds: float) -> dict[str, float]:
    chance = random.Random(0)
    requests = [_request(chance.sample(texts, chance.choice(SIZES))) for _ in range(500)]
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
        streams = None
        while time.perf_counter() < started + seconds:
            try:
                came = await asyncio.wait_for(due(), max(0.01, started + seconds - time.perf_counter()))
            except TimeoutError:
                break
            reader, writer = streams = streams or await asyncio.open_connection("127.0.0.1", port)
            count, request = chance.choice(requests)
            writer.write(request)
            status = await _status(reader)
            took.append(time.perf_counter() - came)
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


def _request(texts: list[str]) -> tuple[int, bytes]:
    body = json.dumps({"inputs": texts}).encode()
    head = "POST /predict/model HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return len(texts), f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return int(head[9:12])


def _long(process: psutil.Process, texts: list[str], rate: float, minutes: float) -> dict[str, Any]:
    """So many minutes of load, a minute each, and the server's memory after each."""
    rows = []
    for _ in range(round(minutes)):
        found = _loaded(8471, texts, rate, 60.0)
        rows.append({**found, "memory_mb": process.memory_info().rss / 1e6})
        print(rows[-1], flush=True)
    edge = max(1, len(rows) // 6)
    memory = [float(np.mean([row["memory_mb"] for row in part])) for part in (rows[:edge], rows[-edge:])]
    return {
        "minutes": minutes,
        "requests_a_second": rate,
        "failed": sum(row["failed"] for row in rows),
        "memory_mb": memory,
        "p50_ms": median(row["p50_ms"] for row in rows),
        "p99_ms": median(row["p99_ms"] for row in rows),
    }


if __name__ == "__main__":
    main()
