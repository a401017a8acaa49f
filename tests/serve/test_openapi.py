"""The service against its own description: schemathesis makes requests by it, and judges the answers by it."""

import subprocess
import sys

import pytest

# Those that it takes for a refusal, and 413: a body of too many bytes is refused before it is read.
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 413, 415, 422, 428]
"""


@pytest.mark.slow
def test_answers_are_as_described(server, tmp_path):
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    settings = ["--max-examples=25", "--generation-deterministic", "--no-color", "--continue-on-failure"]
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{server.port}/openapi.json"]
    done = subprocess.run([*command, *settings], cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 selected" in done.stdout  # three states and five models
