-- The ledger: one SQLite file, one writer (the gateway). Times are ms UTC. Version in meta('schema').
-- A new column stands last in its table and has a default or may be NULL: so an older ledger is brought up to date
-- (upgrade.py) and has the same order of columns.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Highest seq committed, for each lane of each life of an agent's outbox. Dedupe rests on it, at any age.
CREATE TABLE watermark (
    site TEXT NOT NULL, agent TEXT NOT NULL, epoch TEXT NOT NULL, lane TEXT NOT NULL,
    seq INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
    PRIMARY KEY (site, agent, epoch, lane)
) WITHOUT ROWID;

-- Every batch as it came; the history is drained from here and can be rebuilt from here.
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    site TEXT NOT NULL, agent TEXT NOT NULL, epoch TEXT NOT NULL, lane TEXT NOT NULL, seq INTEGER NOT NULL,
    received_ms INTEGER NOT NULL, readings BLOB NOT NULL, crc INTEGER NOT NULL,
    correction_ms INTEGER NOT NULL DEFAULT 0  -- readings have the agent's times; add this for ours
);
CREATE INDEX inbox_age ON inbox (received_ms);

-- Readings that will never come, as the agent counted them, or as a restored ledger found them.
CREATE TABLE gap (
    id INTEGER PRIMARY KEY, site TEXT NOT NULL, agent TEXT NOT NULL, epoch TEXT NOT NULL, lane TEXT NOT NULL,
    seq INTEGER NOT NULL, readings INTEGER NOT NULL, first_ms INTEGER, last_ms INTEGER,
    reason TEXT NOT NULL, recorded_ms INTEGER NOT NULL,
    first_seq INTEGER NOT NULL        -- the gap covers first_seq..seq; first_ms NULL: how many readings is not known
);

-- What came again and was dropped: a batch is taken by its number, once. Counted in the transaction that answers it.
-- device '': the batches as a whole; else those with readings of it. day: of the arrival, by the site's calendar.
CREATE TABLE resent (
    site TEXT NOT NULL, agent TEXT NOT NULL, device TEXT NOT NULL, lane TEXT NOT NULL, day TEXT NOT NULL,
    batches INTEGER NOT NULL, readings INTEGER NOT NULL,
    PRIMARY KEY (site, agent, device, lane, day)
) WITHOUT ROWID;

-- How far each mirror has drained the inbox.
CREATE TABLE mirror (name TEXT PRIMARY KEY, inbox_id INTEGER NOT NULL) WITHOUT ROWID;

-- Last value of every point, written now and then; what came after meta('last_value_inbox_id') is replayed at start.
CREATE TABLE last_value (
    point TEXT PRIMARY KEY, observed_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL,
    value TEXT NOT NULL, quality TEXT NOT NULL
) WITHOUT ROWID;  -- point: site/device/point; value: JSON

-- Last known state of every agent.
CREATE TABLE agent (
    site TEXT NOT NULL, agent TEXT NOT NULL, online INTEGER NOT NULL, heard_ms INTEGER NOT NULL,
    clock_offset_ms INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL,
    PRIMARY KEY (site, agent)
) WITHOUT ROWID;

-- What a rule remembers of a subject, only while it is not at rest. since_ms is a time, not a counter: a restart
-- changes nothing.
CREATE TABLE rule_state (
    rule TEXT NOT NULL, subject TEXT NOT NULL, phase TEXT NOT NULL, since_ms INTEGER NOT NULL,
    alarm_id INTEGER, detail TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (rule, subject)
) WITHOUT ROWID;

CREATE TABLE alarm (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rule TEXT NOT NULL, rule_version TEXT NOT NULL, subject TEXT NOT NULL, site TEXT NOT NULL, device TEXT,
    severity TEXT NOT NULL,           -- fire | critical | warning | info
    state TEXT NOT NULL,              -- ISA-18.2: unacknowledged | acknowledged | returned_unacknowledged | normal
    active INTEGER NOT NULL,          -- whether the condition still holds
    retrospective INTEGER NOT NULL DEFAULT 0,
    raised_ms INTEGER NOT NULL,       -- event time
    recorded_ms INTEGER NOT NULL,     -- when the gateway knew
    cleared_ms INTEGER, acknowledged_ms INTEGER, acknowledged_by TEXT,
    inputs TEXT NOT NULL DEFAULT '{}', -- the readings the decision rests on, JSON
    assignee TEXT,
    hold TEXT,                        -- shelved | out_of_service | suppressed_by_design | maintenance | drill
    hold_until_ms INTEGER,
    cause TEXT,                       -- path of the node at fault
    count INTEGER NOT NULL DEFAULT 1, -- raises so far, when it flaps
    finding TEXT,                     -- real | false | test | unclear
    drill INTEGER,                    -- the drill it belongs to
    notes INTEGER NOT NULL DEFAULT 0,
    suppressed INTEGER NOT NULL DEFAULT 0 -- its cause suppresses it now, whatever `hold` says
);
CREATE INDEX alarm_open ON alarm (state) WHERE state <> 'normal';
CREATE INDEX alarm_subject ON alarm (subject, raised_ms);
CREATE INDEX alarm_raised ON alarm (raised_ms);

CREATE TABLE transition (
    id INTEGER PRIMARY KEY AUTOINCREMENT, alarm_id INTEGER NOT NULL REFERENCES alarm (id),
    -- by a rule: raise | clear | flap | suppress | release; by a person: acknowledge | assign | note | find | shelve |
    -- unshelve (also when the time is up); by a hold that begins or ends: hold | unhold; at a drill's end: close
    event TEXT NOT NULL,
    from_state TEXT NOT NULL, to_state TEXT NOT NULL,
    event_ms INTEGER NOT NULL, recorded_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,              -- 'rule', 'gateway' (time was up) or a person's name
    note TEXT NOT NULL DEFAULT '', inputs TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX transition_alarm ON transition (alarm_id);

-- Every version of every rule that was ever in force, whole.
CREATE TABLE rule_version (
    id TEXT NOT NULL, version TEXT NOT NULL, first_ms INTEGER NOT NULL, json TEXT NOT NULL,
    PRIMARY KEY (id, version)
) WITHOUT ROWID;

-- What is remembered of points for windows and counts, written now and then with last_value; data: JSON.
CREATE TABLE series (point TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;

-- Alarms put on the shelf: this rule on this subject pages nobody until then. Only those in force.
CREATE TABLE shelf (
    rule TEXT NOT NULL, subject TEXT NOT NULL, alarm_id INTEGER NOT NULL, severity TEXT NOT NULL,
    from_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, reason TEXT NOT NULL, by TEXT NOT NULL,
    PRIMARY KEY (rule, subject)
) WITHOUT ROWID;

-- Devices and points taken out of service, until somebody returns them. Only those in force.
CREATE TABLE out_of_service (
    subject TEXT PRIMARY KEY, from_ms INTEGER NOT NULL, reason TEXT NOT NULL, by TEXT NOT NULL
) WITHOUT ROWID;

-- Planned work: alarms in scope are recorded and page nobody. scope: JSON list of patterns.
CREATE TABLE maintenance (
    id INTEGER PRIMARY KEY AUTOINCREMENT, site TEXT NOT NULL, scope TEXT NOT NULL,
    from_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, reason TEXT NOT NULL, by TEXT NOT NULL,
    opened_ms INTEGER NOT NULL, closed_ms INTEGER, closed_by TEXT, note TEXT NOT NULL DEFAULT ''
);

-- Drills and walk tests: alarms raised in scope are tests. drill_item: what is to speak, and when it did.
CREATE TABLE drill (
    id INTEGER PRIMARY KEY AUTOINCREMENT, site TEXT NOT NULL, scope TEXT NOT NULL,
    from_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, reason TEXT NOT NULL, leader TEXT NOT NULL,
    closed_ms INTEGER, closed_by TEXT, note TEXT NOT NULL DEFAULT ''
);
CREATE TABLE drill_item (
    drill INTEGER NOT NULL REFERENCES drill (id), subject TEXT NOT NULL,
    spoke_ms INTEGER, how TEXT, alarm_id INTEGER, -- how: alarm | state | test
    PRIMARY KEY (drill, subject)
) WITHOUT ROWID;

-- When each point (or a whole device, by hand) was last seen to work in a test.
CREATE TABLE tested (
    subject TEXT PRIMARY KEY, at_ms INTEGER NOT NULL, drill INTEGER, by TEXT NOT NULL
) WITHOUT ROWID;

-- Work done on devices, as people recorded it.
CREATE TABLE work (
    id INTEGER PRIMARY KEY AUTOINCREMENT, site TEXT NOT NULL, device TEXT NOT NULL,
    work TEXT NOT NULL,               -- inspection | maintenance | calibration | battery | test
    at_ms INTEGER NOT NULL, recorded_ms INTEGER NOT NULL, by TEXT NOT NULL, note TEXT NOT NULL DEFAULT ''
);
CREATE INDEX work_device ON work (site, device, at_ms);

-- Messages to people: one row for each person and way. state: planned | sending | sent | failed | expired | stopped.
-- sent: the service took it; delivered and read: as the service or a person's receipt said.
CREATE TABLE notice (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person TEXT NOT NULL, channel TEXT NOT NULL,
    lane TEXT NOT NULL,               -- fire | fault
    kind TEXT NOT NULL,               -- alarm | escalation | repeat | clear | late | proof
    severity TEXT NOT NULL, alarms TEXT NOT NULL, -- numbers of the alarms, JSON list
    title_zh TEXT NOT NULL, title_en TEXT NOT NULL, text_zh TEXT NOT NULL, text_en TEXT NOT NULL,
    due_ms INTEGER NOT NULL,
    expires_ms INTEGER,               -- given up then; NULL: never, while its alarm stands
    follows TEXT NOT NULL DEFAULT '[]', -- messages that told what this one says is over
    token TEXT NOT NULL DEFAULT '',   -- of the proof of the path it belongs to
    state TEXT NOT NULL DEFAULT 'planned', attempts INTEGER NOT NULL DEFAULT 0,
    stop INTEGER NOT NULL DEFAULT 0,  -- nobody wants it any more
    sent_ms INTEGER, delivered_ms INTEGER, read_ms INTEGER, error TEXT
);
CREATE INDEX notice_state ON notice (state, person, channel, lane);

-- Where each alarm that is being told stands in its chain, JSON; and what each person may still be sent about faults.
CREATE TABLE escalation (alarm_id INTEGER PRIMARY KEY, detail TEXT NOT NULL);
CREATE TABLE notice_box (
    person TEXT PRIMARY KEY, due_ms INTEGER, tokens REAL NOT NULL, tokens_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- Tests of the whole path. target: agent/SITE/AGENT or channel/PERSON/CHANNEL; state: open | proven | failed.
CREATE TABLE proof (
    id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, state TEXT NOT NULL, hop TEXT NOT NULL,
    asked_ms INTEGER NOT NULL, done_ms INTEGER, detail TEXT NOT NULL
);
CREATE INDEX proof_target ON proof (target, state, id);

-- What monitoring centres are to be told by GB/T 26875.3, one information object a row, until they confirm it. Rows of
-- fires stay, with the time of the confirm; so do those a centre denied.
CREATE TABLE upward (
    id INTEGER PRIMARY KEY AUTOINCREMENT, centre TEXT NOT NULL,
    urgency INTEGER NOT NULL,         -- 0 fire | 1 duty answer | 2 event | 3 value
    type INTEGER NOT NULL, object BLOB NOT NULL, created_ms INTEGER NOT NULL,
    denied INTEGER NOT NULL DEFAULT 0, done_ms INTEGER
);
CREATE INDEX upward_next ON upward (centre, urgency, id) WHERE done_ms IS NULL;
-- Numbers that devices and points have at a centre; once given they stay. point: device or device/point.
CREATE TABLE upward_number (
    centre TEXT NOT NULL, point TEXT NOT NULL, sys_type INTEGER NOT NULL, sys_addr INTEGER NOT NULL,
    comp_type INTEGER NOT NULL, comp_addr INTEGER NOT NULL,
    PRIMARY KEY (centre, point)
) WITHOUT ROWID;

-- The state word each point was told with last: agents repeat states, centres want changes.
CREATE TABLE upward_state (
    centre TEXT NOT NULL, point TEXT NOT NULL, word TEXT NOT NULL, PRIMARY KEY (centre, point)
) WITHOUT ROWID;

-- Messages that could not be taken: counted by source and reason, the latest sample kept.
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY, source TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
    first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, count INTEGER NOT NULL,
    bytes INTEGER NOT NULL, sample BLOB NOT NULL,
    UNIQUE (source, reason)
);

-- Devices that report but stand in no site file, and what they said, until someone approves them.
CREATE TABLE unknown_device (
    site TEXT NOT NULL, device TEXT NOT NULL, agent TEXT NOT NULL,
    first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, readings INTEGER NOT NULL, dropped INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (site, device)
) WITHOUT ROWID;
CREATE TABLE unknown_reading (
    id INTEGER PRIMARY KEY, site TEXT NOT NULL, device TEXT NOT NULL, point TEXT NOT NULL,
    observed_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL, value TEXT NOT NULL, quality TEXT NOT NULL
);
CREATE INDEX unknown_reading_device ON unknown_reading (site, device, id);
CREATE TABLE approved_device (
    site TEXT NOT NULL, device TEXT NOT NULL, agent TEXT NOT NULL, profile TEXT NOT NULL,
    title_zh TEXT NOT NULL, title_en TEXT NOT NULL, approved_ms INTEGER NOT NULL, approved_by TEXT NOT NULL,
    PRIMARY KEY (site, device)
) WITHOUT ROWID;

-- People. A one-time password lets its person in once (one_time_used_ms), and until one_time_until_ms.
CREATE TABLE user (
    name TEXT PRIMARY KEY, role TEXT NOT NULL,  -- duty | maintainer | inspector | administrator
    password_hash TEXT NOT NULL, one_time_until_ms INTEGER, created_ms INTEGER NOT NULL,
    area TEXT NOT NULL DEFAULT '',    -- sees and does what lies in this area of the grid; '': everything
    disabled_ms INTEGER,              -- since when nobody signs in as them; NULL: they may
    password_ms INTEGER NOT NULL DEFAULT 0, -- when the password was chosen
    signed_in_ms INTEGER,             -- latest sign-in
    one_time_used_ms INTEGER          -- when the one-time password was used; NULL: it was not
) WITHOUT ROWID;
-- Whoever is let in without a password: a browser after its sign-in, a program with a token, a wall display; and the code
-- that a wall display is to be given, until it is typed there.
CREATE TABLE session (
    token_hash TEXT PRIMARY KEY, user TEXT NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
    kind TEXT NOT NULL DEFAULT 'browser', -- browser | token | wall | code
    name TEXT NOT NULL DEFAULT '',    -- what the person called the token or the wall display
    role TEXT NOT NULL DEFAULT '',    -- of a token: narrower than the user's; '': as the user
    area TEXT NOT NULL DEFAULT '',    -- of a token or wall: narrower than the user's, `site:NAME`: one site; '': as the user
    read_only INTEGER NOT NULL DEFAULT 0,
    agent TEXT NOT NULL DEFAULT '',   -- what the browser calls itself
    address TEXT NOT NULL DEFAULT '', -- where it signed in from
    used_ms INTEGER NOT NULL DEFAULT 0 -- lately used, to the minute
) WITHOUT ROWID;

-- Registers: what people keep and do, one row a thing (a shift, a check, a hazard ...), its fields as JSON in `data`.
-- Every change writes the whole row into the audit chain too (subject `kind/id`), so that a row that was altered or
-- taken away shows.
CREATE TABLE entry (
    kind TEXT NOT NULL, id INTEGER NOT NULL,
    site TEXT NOT NULL,               -- site, or area of what belongs to no site
    state TEXT NOT NULL,
    open INTEGER NOT NULL,            -- whether the gateway keeps it at hand
    from_ms INTEGER NOT NULL, until_ms INTEGER,
    data TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE INDEX entry_open ON entry (kind) WHERE open;
CREATE INDEX entry_site ON entry (kind, site, from_ms);

-- Who people are. Rows and chain know a person by number only, so that this can be erased. certificates: kind -> number,
-- JSON. Written by personal.py alone, which leaves nothing of what was there before.
CREATE TABLE identity (
    person INTEGER PRIMARY KEY, name TEXT NOT NULL, phone TEXT NOT NULL DEFAULT '',
    certificates TEXT NOT NULL DEFAULT '{}', pin_hash TEXT
);

-- What people of the public wrote in the form: words and telephone number stand here alone, so that they can be erased;
-- the hazard (kind `hazard`) and the audit chain carry the number only. receipt: hash of the code they were given.
CREATE TABLE public_report (
    hazard INTEGER PRIMARY KEY, receipt TEXT NOT NULL UNIQUE, text TEXT NOT NULL, place TEXT NOT NULL,
    phone TEXT NOT NULL DEFAULT '', erased_ms INTEGER
);

-- Append-only; hash = SHA-256 over the row and the hash before it.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
    subject TEXT NOT NULL, detail TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE INDEX audit_subject ON audit (subject);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are append-only'); END;
