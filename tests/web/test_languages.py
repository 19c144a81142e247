"""A page is in one language: as each role and without an account, every text of every page is the reader's."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from contract.profile import ProfileLibrary
from gateway.web.texts import LANGUAGES, Language
from rules.cases import load_cases
from rules.check import CASES
from rules.model import PACKS, read_packs
from tests.parts import process
from tests.web.every_page import MADE, Eyes, open_eyes
from tests.web.said import CHINESE, foreign, said_by

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROLES = ("administrator", "duty", "maintainer", "inspector", None)
TAGS = {"zh": "zh-CN", "en": "en"}
IN_BOTH = {"/api": "the reference for programs", "/patrols/labels/": "cards that hang in the building",
           "/records/labels/": "cards on equipment", "/label": "a card on equipment"}  # fmt: skip
"""Pages that are meant to say something in the other language as well: what they are, and only where it is marked."""
CONTENT = (
    re.compile(r"JSON is malformed: invalid character"),  # of an audit row: what a program said of a message
    re.compile(r"报警 · 水冶街道微型消防站 · \d{4}-\d\d"),  # the title of a document that was asked for in Chinese
    re.compile(r"系统自检正常|网格长"),  # what the panel printed; what somebody is called
)
"""What people, devices or programs wrote, and the pages repeat."""
PRINTED = re.compile("事件|火警, .*备电")
"""Words that panels print, quoted in the English text of their profile."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def eyes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Eyes]:
    """One station with something on every page."""
    async with open_eyes(tmp_path_factory.mktemp("l"), process.free_port()) as made:
        yield made


def _strange(html: str, path: str, language: Language) -> Iterator[tuple[str, str, str]]:
    """Texts of a page that are in the other language: path, where, text."""
    for said in said_by(html):
        text = said.text
        for content in CONTENT:
            text = content.sub("", text)
        if not foreign(text, language) or text in ("中文", "English"):
            continue
        is_marked = said.language not in ("", TAGS[language])
        if not (is_marked and any(part in path for part in IN_BOTH)):
            yield path, said.where, said.text


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_text_of_every_page_is_in_the_readers_language(eyes: Eyes, language: Language) -> None:
    """Three English words in a row on a Chinese page, or a Chinese character on an English one, are nobody's: apart
    from names, from what somebody wrote, and from what a machine reads."""
    wrong: set[tuple[str, str, str]] = set()
    looked = 0
    for role in ROLES:
        async with httpx.AsyncClient(base_url=eyes.address, timeout=30) as client:
            client.headers["Accept-Language"] = TAGS[language]
            if role is not None:
                client.cookies.set("weizhan", await eyes.session(role))
            for path, at in (eyes.pages if role else eyes.open_pages).items():
                answer = await client.get(at)
                if answer.status_code == 303:  # a part of a page, which only its page asks for
                    answer = await client.get(at, headers={"HX-Request": "true"})
                assert answer.status_code in (200, 403, 404 if path in MADE else 403), (role, path)
                if answer.status_code == 200:
                    wrong |= set(_strange(answer.text, path, language))
                    looked += 1
    assert not wrong, "\n".join(map(str, sorted(wrong)))
    assert looked > 200


def _shipped() -> Iterator[tuple[str, str, str]]:
    """Every bilingual text of the shipped profiles, packs and their cases: where it stands, zh, en."""
    for profile in ProfileLibrary():
        for words in (profile.title, profile.source, *profile.requirements, *profile.caveats):
            yield f"profile {profile.id}", words.zh, words.en
    for path, pack in read_packs([PACKS]):
        for rule in pack.rules:
            for words in (rule.title, rule.basis, *rule.advice):
                yield f"rule {rule.id}", words.zh, words.en
        cases = path.with_name(f"{path.stem}{CASES}")
        for case in load_cases(cases) if Path(cases).is_file() else []:
            yield f"case of {case.rule}", case.name.zh, case.name.en


async def test_profiles_packs_and_cases_are_written_in_both_languages() -> None:
    """Each text has its Chinese and its English; the word for an alarm is one."""
    texts = list(_shipped())
    assert [each for each in texts if not CHINESE.search(each[1]) or "告警" in each[1]] == []
    assert [each for each in texts if foreign(PRINTED.sub("", each[2]), "en")] == []
    assert len(texts) > 1000
