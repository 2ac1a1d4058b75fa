"""What an operator may set."""

from __future__ import annotations

from dataclasses import fields

import pytest

from moe.app.server.options import ServerOptions, variable

NAMES = [one.name for one in fields(ServerOptions)]


def test_defaults_and_every_variable() -> None:
    assert ServerOptions.from_environment({"PATH": "x"}) == ServerOptions()
    for one in fields(ServerOptions):
        text = {"log": "json", "max_memory": "777"}.get(one.name, "7")
        chosen = ServerOptions.from_environment({variable(one.name): text})
        kind = type(one.default)
        assert chosen.changed() == {one.name: kind(text)}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("MOE_APP_MAX_VISITORS", "many", "MOE_APP_MAX_VISITORS: got 'many'"),
        ("MOE_APP_MAX_VISITORS", "٣", "whole number"),
        ("MOE_APP_MAX_VISITORS", "", "whole number"),
        ("MOE_APP_MAX_VISITORS", "0", "max_visitors: got 0"),
        ("MOE_APP_LOG", "loud", "log: got 'loud'"),
        ("MOE_APP_MAX_VISITOR", "3", "allowed are MOE_APP_MAX_VISITORS"),
    ],
)
def test_what_is_not_allowed_is_said(name: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ServerOptions.from_environment({name: text})


def test_every_option_has_words_for_the_operator() -> None:
    assert all(len(one.metadata["help"].split()) > 5 for one in fields(ServerOptions))
    assert len(NAMES) == 9
