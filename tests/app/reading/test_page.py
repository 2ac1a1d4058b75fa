"""The page Code and docs: every document and every module of this installation can be read."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from moe.app import frame
from moe.app.reading import story
from moe.app.shared.documents import DOCS, documents
from tests.app.visit import open_page


def test_every_document_has_its_own_title_and_its_links_lead_to_others():
    titles = documents()
    assert len(titles) == len(list(DOCS.rglob("*.md")))
    for title in titles:
        for piece in story.pieces(title):
            if piece.picture is not None:
                assert piece.image()
            for link in re.findall(r"\]\((/reading[^)]*)\)", piece.text):
                assert parse_qs(urlsplit(link).query)["document"][0] in titles
            assert "```math" not in piece.text
            assert not re.search(r"\]\([^)]*\.md\)", piece.text)


def test_a_link_opens_a_document_and_a_module():
    page = open_page("reading", document="Glossary")
    assert not page.exception and "Expert" in "".join(one.value for one in page.markdown)
    page = open_page("reading", show="Source", file="moe/capacity.py")
    assert not page.exception and "class Capacity" in page.code[0].value
    page = open_page("reading", show="Source", file="../../etc/passwd")
    assert not page.exception and page.selectbox(key="file").value == "moe/layer.py"


def test_only_what_is_there_can_be_read():
    with pytest.raises(ValueError, match=r"^file: got '\.\./x'"):
        story.source("../x")
    with pytest.raises(ValueError, match=r"^document: got '\.\./x'"):
        next(story.pieces("../x"))


def test_the_frame_links_to_both_and_to_no_invented_host():
    links = frame.links()
    assert re.findall(r">(\w+)</a>", links) == ["Documentation", "Source"]
    assert 'href="reading?show=Documentation"' in links
