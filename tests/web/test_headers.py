"""Security headers of every answer, and a page that keeps to them."""

import re

import pytest
from starlette.testclient import TestClient


@pytest.mark.parametrize(
    "path", ["/", "/static/app.js", "/static/vendor/uPlot.iife.min.js", "/api/stats", "/metrics", "/nix"]
)
def test_every_answer_has_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers

    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")


def test_the_page_has_no_inline_script_or_style_and_names_no_other_server(client: TestClient) -> None:
    text = client.get("/").text

    assert not re.search(r"<script(?![^>]* src=)", text)
    assert not re.search(r"<style|\sstyle=|\son\w+=", text)
    assert "//" not in text.replace("<!doctype html>", "")


def test_a_browser_asks_for_a_new_page_after_an_upgrade(client: TestClient) -> None:
    assert client.get("/static/app.js").headers["Cache-Control"] == "no-cache"
