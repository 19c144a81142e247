"""Pages and API of the registers, one module a topic: people, rosters, shifts, equipment, incidents, patrols, hazards.

Each has a `router`; what it shows of open rows comes from the live picture, what is closed from the ledger's reader.

Areas: `web_of(request)` is already narrowed to what a person of one area may see: `web.picture` (values, alarms,
`entries[kind]`), `web.inventory.sites` and `.devices`, and `web.ledger` (`entries`, `entry`, alarms, drills ...). So a
page needs no filter of its own as long as it asks these; a row that is not found is a 404 (`Refused(404, ...)`). What a
page reads by SQL of its own it filters by `web.sites_of(person_of(request))` (None: everything). Commands are checked
by the gateway (gateway/commands.py): `site`, `subject`, `alarm_id`, and `id` of an op that begins with the name of the
row's kind (`hazard.close`) must lie in the actor's area.
"""
