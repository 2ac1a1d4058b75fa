"""The API reference has every public name, with what its docstring says."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

import pytest

import moe
from docs.generator import api


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return api.pages()


def test_every_public_name_has_one_entry_and_one_line_in_the_list(made: dict[str, str]) -> None:
    listed = re.findall(
        r"^\| \[`(moe\.[\w.]+)`\]\(([\w-]+\.md)#(\w+)\)", made["api/index.md"], re.M
    )
    assert sorted(name for name, _, _ in listed) == sorted(one.name for one in api.public())
    for name, page, anchor in listed:
        heading = f"## `{name}`"
        text = made[f"api/{page}"]
        assert text.splitlines().count(heading) == 1
        assert anchor == re.sub(r"[^\w]", "", heading).lower()
    entries = sum(len(re.findall(r"^## ", text, re.M)) for name, text in made.items())
    heads_of_the_list = len(made) - 1
    assert entries == len(listed) + heads_of_the_list


def test_the_names_are_those_of_the_package_and_those_that_users_copy(
    made: dict[str, str],
) -> None:
    names = {one.name for one in api.public()}
    modules = {"lm", "metrics", "optim", "__version__"}
    assert {f"moe.{name}" for name in set(moe.__all__) - modules} <= names
    assert {"moe.metrics.max_vio", "moe.optim.Adam", "moe.cost.FeedForward"} <= names
    assert not [name for name in names if name.startswith("moe.app.")]


def test_every_name_lives_in_a_room_of_one_page() -> None:
    rooms = [room for group in api.GROUPS for room in group.rooms]
    assert len(rooms) == len(set(rooms))
    assert {one.room for one in api.public()} <= set(rooms)


def test_every_method_and_every_parameter_of_a_public_name_is_on_its_page(
    made: dict[str, str],
) -> None:
    everything = "\n".join(made.values())
    for one in api.public():
        if inspect.isclass(one.value):
            for member in vars(one.value):
                if not member.startswith("_") and inspect.isfunction(vars(one.value)[member]):
                    assert f"### `{one.value.__name__}.{member}`" in everything
        elif inspect.isfunction(one.value):
            signature = api.code("f", one.value)
            for name in inspect.signature(one.value).parameters:
                assert re.search(rf"\b{name}\b", signature), f"{one.name}: {name}"


def plain(x_ND: int, *rest: int, mode: str = "a", **more: int) -> list[int]:
    """Do it."""
    return [x_ND]


@dataclass
class Made:
    """Hold it."""

    first: int
    found: object = plain


def test_a_signature_is_code_without_quotes_and_long_ones_have_lines() -> None:
    assert api.code("plain", plain) == (
        "```py\nplain(x_ND: int, *rest: int, mode: str = 'a', **more: int) -> list[int]\n```"
    )
    assert api.code("Made", Made) == "```py\nMade(first: int, found: object = ...)\n```"
    long = api.code("a" * 60, plain).splitlines()
    assert long[2:4] == ["    x_ND: int,", "    *rest: int,"] and long[-2] == ") -> list[int]"


def test_a_docstring_s_lists_become_tables() -> None:
    def function(a: int) -> int:
        """Add one.

        Parameters
        ----------
        a
            A number_of things.

        Raises
        ------
        ValueError
            If it is none.

        Notes
        -----
        Slow.

        Examples
        --------
        >>> 1 + 1
        2
        """
        return a + 1

    assert list(api.described(function)) == [
        "Add one.",
        "| Parameter | Meaning |\n| --- | --- |\n| `a` | A number\\_of things. |",
        "| Raises | When |\n| --- | --- |\n| `ValueError` | If it is none. |",
        "*Notes*: Slow.",
        "```pycon\n>>> 1 + 1\n2\n```",
    ]
