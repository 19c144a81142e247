"""Pages and API for administrators: what needs them, ways to people, sites, backups, the audit trail."""
