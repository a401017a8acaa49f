"""A server with a small model of each task, and the page, opened in a browser with a stand-in for the models."""

import shutil
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest
from tests.runtime.conftest import Exported, shared
from tests.serve.servers import KINDS, Server, serving

import bistil

PAGE = Path(bistil.__file__).parent / "exporting/page"
# What a click starts may come later on a busy machine; here it always does, so that no test relies on luck.
LATE = """{
  const listen = EventTarget.prototype.addEventListener;
  EventTarget.prototype.addEventListener = function (type, listener, options) {
    const late = (event) => setTimeout(() => listener.call(this, event), 100);
    return listen.call(this, type, type === "toggle" ? late : listener, options);
  };
}"""


class Strict(SimpleHTTPRequestHandler):
    """Nothing from elsewhere, and no code or style within the page."""

    def end_headers(self):
        self.send_header("Content-Security-Policy", "default-src 'self'")
        super().end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = shutil.copytree(PAGE, tmp_path_factory.mktemp("page"), dirs_exist_ok=True)
    shutil.copy(Path(__file__).with_name("backend.js"), folder)
    with serving(Strict, folder) as started:
        yield started


@pytest.fixture
def opened(browser, address):
    """A function that opens the page; at the end nothing may have been complained of or asked from elsewhere."""
    pages, complaints, requests = [], [], []

    def open_page(query="", width=1280, scheme="light", **more):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme, **more)
        pages.append(page)
        page.set_default_timeout(10_000)
        page.add_init_script(LATE)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address + query)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(address)] == []


@pytest.fixture(scope="session")
def models(tiny_tokenizer, tmp_path_factory) -> dict[str, Path]:
    made = Exported(shared(tmp_path_factory), tiny_tokenizer)
    return {kind: made[kind] for kind in KINDS}


@pytest.fixture(scope="module")
def server(models) -> Iterator[Server]:
    with Server(*map(str, models.values())) as started:
        yield started
