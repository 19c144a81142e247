"""The map where no plan is: names stay within their cells, and a site of many devices has pages."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.web.board.plan_rows import CELL_LABEL, PART, WIDE, wrapped
from tests.web.station import Browser, Station, serving

NAMES = st.text(st.sampled_from("消防栓灭火器 ab-0123456789W"), min_size=1, max_size=60)


@given(NAMES)
def test_a_name_takes_two_lines_within_its_cell_whatever_it_is(name: str) -> None:
    """In half-width characters; a name that fits stays as it is; nothing is put in but the ellipsis."""
    lines = wrapped(name)
    assert 1 <= len(lines) <= 2
    assert all(sum(2 if ord(char) > WIDE else 1 for char in line) <= CELL_LABEL for line in lines)
    if "…" not in "".join(lines):
        assert "".join(lines).replace(" ", "") == name.replace(" ", "")


def test_the_number_at_the_end_stays_when_a_name_is_cut() -> None:
    """It is what tells one from the other."""
    assert wrapped("Extinguisher bay monitoring terminal 42") == ("Extinguisher", "bay monitori…42")
    assert wrapped("胜利路市政消火栓") == ("胜利路市", "政消火栓")


async def test_a_site_of_many_devices_has_pages_that_say_how_they_are(station: Station) -> None:
    """Every device on one page, with its label; the page number carries the worst state on it."""
    text = station.site_file.read_text("utf-8")
    begin = text.index("    - id: bay-01\n")
    block = re.match(r"    - id: .*\n(?:      .*\n)+", text[begin:])
    assert block is not None
    more = "".join(
        re.sub(r"unit_id: \d+", f"unit_id: {n + 40}", block[0].replace("bay-01", f"bay-x{n:03d}")) for n in range(120)
    )
    station.site_file.write_text(text[:begin] + more + text[begin:], "utf-8")
    station.user("maintainer")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("maintainer")
        first = (await browser.get("/map")).text
        numbers = sorted({int(n) for n in re.findall(r"part=(\d+)", first)})
        assert numbers == list(range(1, len(numbers) + 1))
        seen: list[str] = []
        for n in numbers:
            html = (await browser.get(f"/map?site=shuiye&part={n}")).text
            marks = re.findall(r'data-mark="([^"]+)"', html)
            assert 0 < len(marks) <= PART
            assert html.count('class="mark-name"') >= len(marks)
            assert "is-crowded" not in html
            seen += marks
        assert len(seen) == len(set(seen))
        assert {f"bay-x{n:03d}" for n in range(120)} < set(seen)
        assert 'aria-label="Unknown"' in first.partition("plan-parts")[2].partition("</nav>")[0]
        assert (await browser.get("/map?part=9999")).status_code == 200
