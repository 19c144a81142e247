"""The maintainer's pages: health by cause, work orders, dates, lines, quarantine, profiles, the rule lab."""
