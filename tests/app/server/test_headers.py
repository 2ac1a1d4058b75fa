"""What every answer says about what a page may do."""

from __future__ import annotations

import pytest

from moe.app.server.headers import SecurityHeaders, policy
from moe.app.server.options import ServerOptions
from tests.app.server.asgi import ask, hello

ANCESTORS = ServerOptions().frame_ancestors


def test_no_other_host_and_no_script_or_words_of_the_page_itself() -> None:
    said = dict(part.split(" ", 1) for part in policy(ANCESTORS).split("; "))
    words = {word for part in said.values() for word in part.split()}
    assert words == {"'self'", "'none'", "'unsafe-inline'", "blob:", "data:", "*"}
    assert "'unsafe-inline'" not in said["script-src"] and "eval" not in said["script-src"]
    assert said["default-src"] == said["connect-src"] == "'self'"
    assert [name for name, part in said.items() if "*" in part] == ["frame-ancestors"]


@pytest.mark.parametrize(
    ("given", "said"),
    [("*", "*"), ("none", "'none'"), ("https://school.example", "https://school.example")],
)
def test_who_may_show_a_page_in_a_frame_is_the_operator_s_choice(given: str, said: str) -> None:
    assert policy(given).endswith(f"; frame-ancestors {said}")


def test_every_answer_has_the_headers_and_tls_one_more() -> None:
    app = SecurityHeaders(hello, "none")
    plain, tls = ask(app, "/"), ask(app, "/", scheme="https")
    for answer in (plain, tls):
        assert answer.headers["content-security-policy"] == policy("none")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert "strict-transport-security" not in plain.headers
    assert tls.headers["strict-transport-security"] == "max-age=31536000"
