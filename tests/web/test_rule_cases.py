"""The page of a rule says which pack it comes from and what its tests are."""

from __future__ import annotations

from tests.web.station import Browser, Station, serving


async def test_a_rule_shows_its_pack_and_its_tests_in_words(station: Station) -> None:
    """What arrives with point and unit, what it must say; a test in which it keeps still says so."""
    station.user("maintainer")
    async with station.gateway(), serving(station) as address, Browser(address) as browser:
        await browser.sign_in("maintainer")
        html = (await browser.get("/rules/hydrant-pressure-low")).text
        assert "hydrant.yaml" in html
        cases = html.partition('id="cases"')[2].partition("</section>")[0]
        assert "Water pressure: " in cases
        assert " kPa</li>" in cases
        assert "It must keep still." in cases
        for rule in ("device-silent", "panel-fire", "crew-absent", "extinguisher-due"):
            assert (await browser.get(f"/rules/{rule}")).status_code in (200, 404)
