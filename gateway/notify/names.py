"""Names for people, from rules and site files, for messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contract.profile import Text
from contract.site import SYSTEM_SITE, Site
from gateway.notify.texts import Facts
from rules.model import Rule


class InstalledNames:
    """Names out of rules and sites; what is not in it is called by its id.

    approved: (site, device, zh, en) of devices somebody approved at run time.
    """

    def __init__(
        self, rules: Mapping[str, Rule], sites: Mapping[str, Site], approved: Sequence[tuple[str, str, str, str]]
    ) -> None:
        self._rules = rules
        self._of = (rules, sites, len(approved))
        self._sites = {site.site: site.title for site in sites.values()}
        self._sites.setdefault(SYSTEM_SITE, Text(zh="微站系统", en="Weizhan itself"))
        self._devices = {(row[0], row[1]): Text(zh=row[2], en=row[3]) for row in approved}
        self._points: dict[tuple[str, str, str], Text] = {}
        for site in sites.values():
            for own in site.own_devices():
                self._devices[site.site, own.device] = _with_id(own.profile.title, own.device)
            for placed in site.placed():
                self._devices[site.site, placed.entry.id] = placed.title
                for point, title in placed.profile.titles.items():
                    self._points[site.site, placed.entry.id, point] = title
            for group in site.all_groups():
                self._devices[site.site, group.id] = group.title

    def are_of(self, rules: Mapping[str, Rule], sites: Mapping[str, Site], approved: int) -> bool:
        """Whether these names were made from these rules and sites and so many approved devices."""
        return self._of[0] is rules and self._of[1] is sites and self._of[2] == approved

    def rule(self, rule_id: str) -> Text:
        """Title of a rule."""
        rule = self._rules.get(rule_id)
        return rule.title if rule is not None else Text(zh=rule_id, en=rule_id)

    def advice(self, rule_id: str) -> Sequence[Text]:
        """What to do, first things first."""
        rule = self._rules.get(rule_id)
        return rule.advice if rule is not None else ()

    def site(self, site_id: str) -> Text:
        """Title of a site."""
        return self._sites.get(site_id) or Text(zh=site_id, en=site_id)

    def place(self, facts: Facts) -> Text:
        """Where: site, device and, where it has a name of its own, the point."""
        site = self.site(facts.site)
        rest = facts.subject.partition("/")[2]
        if not rest:
            return site
        device, _, point = rest.partition("/")
        title = self._devices.get((facts.site, device)) or Text(zh=rest, en=rest)
        named = self._points.get((facts.site, device, point))
        parts = [site, title, *([named] if named is not None else [])]
        return Text(zh=" ".join(part.zh for part in parts), en=" ".join(part.en for part in parts))


def _with_id(title: Text, device: str) -> Text:
    return Text(zh=f"{title.zh} {device}", en=f"{title.en} {device}")
