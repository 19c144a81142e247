"""Both languages are complete, and numbers and ages read well in both."""

from __future__ import annotations

import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.messages.extract import extract_from_dir

from contract.profile import ProfileLibrary
from gateway.web.decision import WHY
from gateway.web.texts import LANGUAGES, Language, Texts, choose_language, load_catalogues
from gateway.web.words import WORDS
from rules.rewiring import REMOVED

WEB = Path(__file__).parents[2] / "gateway" / "web"
KEYWORDS = {"_": None, "texts": None, "self": None, "msgid": None}
ZONE = ZoneInfo("Asia/Shanghai")
NOW = 1_763_776_800_000
ACTORS = ("gateway", "rule", "local", "public", "person/7", "wang")


def _used() -> set[str]:
    methods = [("**.py", "python"), ("**.html", "jinja2")]
    found = extract_from_dir(str(WEB), methods, keywords=KEYWORDS)
    texts = {message for _, _, message, _, _ in found if isinstance(message, str)}
    return texts | {f"{family}.{word}" for family, words in WORDS.items() for word in words}


def _texts(language: Language) -> Texts:
    return Texts(language, load_catalogues()[language], ZONE)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_catalogue_has_every_text_and_no_other(language: Language) -> None:
    """Every msgid of pages and code has a text in both languages; what is no longer used is gone."""
    assert set(load_catalogues()[language]) == _used()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_the_same_blanks_as_its_source(language: Language) -> None:
    """%(n)s in the source stands in the translation too, and nothing else does."""
    blanks = re.compile(r"%\(\w+\)s")
    for source, text in load_catalogues()[language].items():
        assert sorted(blanks.findall(source)) == sorted(blanks.findall(text)), source


def test_chinese_texts_are_chinese() -> None:
    """No text was left in English."""
    proper = {"Modbus TCP", "RS-485（Modbus RTU）", "%(quality)s：%(cause)s"}
    left = {t for t in load_catalogues()["zh"].values() if not re.search(r"[一-鿿]", t)} - proper
    assert left == set()


def test_every_reason_that_rules_and_gateway_give_a_step_has_a_word() -> None:
    """A reason nobody translated would stand in English in the story of an alarm."""
    root = WEB.parents[1]
    paths = [
        path for folder in ("rules", "gateway") for path in (root / folder).rglob("*.py") if WEB not in path.parents
    ]
    sources = [path.read_text("utf-8") for path in paths]
    written = {text for source in sources for text in re.findall(r'\{"reason": "([^"]+)"', source)} | {REMOVED}
    assert written == set(WHY)


def test_every_state_of_the_shipped_profiles_has_a_word() -> None:
    """A state nobody translated would stand as a code word on the board."""
    states = {
        word
        for profile in ProfileLibrary()
        for point in profile.points_for(None)
        for word in (point.states or {}).values()
    }
    states |= {state for profile in ProfileLibrary() if profile.printer for state in profile.printer.states}
    assert states <= set(WORDS["state"])


@pytest.mark.parametrize(
    ("seconds", "zh", "en"),
    [
        (1, "刚刚", "just now"),
        (42, "42 秒前", "42 s ago"),
        (200, "3 分钟前", "3 min ago"),
        (7300, "2 小时前", "2 h ago"),
        (200_000, "2 天前", "2 d ago"),
    ],
)
def test_an_age_is_told_in_one_unit(seconds: int, zh: str, en: str) -> None:
    """As people say it."""
    assert (_texts("zh").ago(NOW - seconds * 1000, NOW), _texts("en").ago(NOW - seconds * 1000, NOW)) == (zh, en)


def test_times_are_shown_in_the_zone_of_the_settings() -> None:
    """Stored in UTC, shown in Shanghai."""
    assert (_texts("zh").stamp(NOW), _texts("zh").iso(NOW)) == ("2025-11-22 10:00:00", "2025-11-22T02:00:00Z")


def test_a_value_has_the_decimals_its_device_resolves() -> None:
    """0.1 kPa steps give one decimal, whole per cent none; no value is a dash, never zero."""
    profile = ProfileLibrary()["hydrant-municipal"]
    texts = _texts("zh")
    shown = [
        texts.value(profile.point(name), value)
        for name, value in (("pressure_kpa", 152.34), ("battery_pct", 87.0), ("cap_open", True), ("flow_lps", None))
    ]
    assert shown == ["152.3", "87", "是", "—"]


def test_the_reader_gets_their_language() -> None:
    """Their own choice first, then the browser's, then the setting."""
    assert choose_language("en", "zh-CN", "zh") == "en"
    assert choose_language(None, "en-GB,en;q=0.9,zh;q=0.8", "zh") == "en"
    assert choose_language("xx", "fr", "zh") == "zh"


def test_a_number_is_the_same_when_the_script_or_the_page_writes_it() -> None:
    """Halves go up, as in a browser; the largest number is written too."""
    point = ProfileLibrary()["hydrant-municipal"].point("pressure_kpa")
    texts = _texts("zh")
    assert [texts.value(point, value) for value in (163.25, -163.25, 0.05)] == ["163.3", "-163.3", "0.1"]
    assert len(texts.value(point, 1e300)) > 300


def test_who_did_it_is_told_in_words_when_it_was_the_system_itself() -> None:
    """A sign-in name stays as it is; the gateway, a rule, a shell and a number have words in both languages."""
    told = {language: [_texts(language).who(each) for each in (*ACTORS, None)] for language in LANGUAGES}
    assert told == {
        "zh": ["网关", "规则", "本机操作", "公众", "7 号人员", "wang", ""],
        "en": ["the gateway", "a rule", "at the machine", "the public", "person 7", "wang", ""],
    }


def test_every_page_says_who_did_something_through_the_one_word_for_it() -> None:
    """A name that is drawn as it stands in the ledger would be `gateway` on a Chinese page."""
    drawn = re.compile(r"\{\{[^}]*\.(?:by|actor|acknowledged_by|answered_by|closed_by|leader)\b[^}]*\}\}")
    raw = [
        f"{path.name}: {found}"
        for path in sorted(WEB.rglob("*.html"))
        for found in drawn.findall(path.read_text("utf-8")) or ()
        if "t.who(" not in found
    ]
    assert raw == ["_admin_audit.html: {{ line.actor }}"]  # worded where it is made
