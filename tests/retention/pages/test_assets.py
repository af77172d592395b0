from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from retention.pages import assets
from retention.pages.headers import SecurityHeaders
from retention.pages.kit import PageKit, local_path
from retention.records.clock import ManualClock
from tests.serving import served

VENDOR = Path(assets.__file__).parent / "vendor"
VENDORED = tomllib.loads((VENDOR / "VENDORED.toml").read_text())["file"]


@pytest.fixture
def kit(tmp_path: Path) -> PageKit:
    return PageKit(templates=tmp_path, assets=(), clock=ManualClock(), brand=("药店", "Pharmacy"))


@pytest.fixture
def client(kit: PageKit) -> Iterator[httpx.Client]:
    app = FastAPI()
    app.include_router(kit.router())
    app.add_middleware(SecurityHeaders)
    with served(app) as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        yield client


@pytest.mark.parametrize("file", VENDORED, ids=lambda file: file["name"])
def test_vendored_file_is_the_published_one_and_has_its_licence(file: dict[str, str]) -> None:
    assert hashlib.sha256((VENDOR / file["name"]).read_bytes()).hexdigest() == file["sha256"]
    assert (VENDOR / file["licence_file"]).read_text().strip()


def test_every_file_in_vendor_is_named() -> None:
    named = {file["name"] for file in VENDORED} | {file["licence_file"] for file in VENDORED}
    assert {path.name for path in VENDOR.iterdir()} == named | {"VENDORED.toml"}


def test_asset_is_kept_for_ever_under_its_digest_only(client: httpx.Client, kit: PageKit) -> None:
    url = kit.assets.url("base.css")
    answer = client.get(url)
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]
    assert "base.css" in url
    plain = client.get(url, headers={"accept-encoding": "identity"})
    assert plain.content == answer.content
    other = re.sub("/[0-9a-f]{16}/", f"/{'0' * 16}/", url)
    assert client.get(other).status_code != 200


def test_page_headers_forbid_everything_from_elsewhere(client: httpx.Client) -> None:
    headers = client.get("/language/en").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/sessions?code=PROXY", "/sessions?code=PROXY"),
        ("//elsewhere.example/", "/"),
        ("https://elsewhere.example/", "/"),
        ("/\\elsewhere.example", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
    ],
)
def test_only_own_paths_are_gone_on_to(client: httpx.Client, target: str, path: str) -> None:
    assert local_path(target) == path
    answer = client.get("/language/en", params={"to": target})
    assert answer.headers["location"] == path
    assert "lang=en" in answer.headers["set-cookie"]
