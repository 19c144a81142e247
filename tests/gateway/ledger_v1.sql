-- The ledger: one SQLite file, one writer (the gateway). Times are ms UTC. Version in meta('schema').

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
    received_ms INTEGER NOT NULL, readings BLOB NOT NULL, crc INTEGER NOT NULL
);
CREATE INDEX inbox_age ON inbox (received_ms);

-- Readings that will never come, as the agent counted them, or as a restored ledger found them.
CREATE TABLE gap (
    id INTEGER PRIMARY KEY, site TEXT NOT NULL, agent TEXT NOT NULL, epoch TEXT NOT NULL, lane TEXT NOT NULL,
    seq INTEGER NOT NULL, readings INTEGER NOT NULL, first_ms INTEGER, last_ms INTEGER,
    reason TEXT NOT NULL, recorded_ms INTEGER NOT NULL,
    first_seq INTEGER NOT NULL        -- the gap covers first_seq..seq; first_ms NULL: how many readings is not known
);

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
    inputs TEXT NOT NULL DEFAULT '{}' -- the readings the decision rests on, JSON
);
CREATE INDEX alarm_open ON alarm (state) WHERE state <> 'normal';
CREATE INDEX alarm_subject ON alarm (subject, raised_ms);

CREATE TABLE transition (
    id INTEGER PRIMARY KEY AUTOINCREMENT, alarm_id INTEGER NOT NULL REFERENCES alarm (id),
    event TEXT NOT NULL,              -- raise | clear | acknowledge
    from_state TEXT NOT NULL, to_state TEXT NOT NULL,
    event_ms INTEGER NOT NULL, recorded_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,              -- 'rule' or a person's name
    note TEXT NOT NULL DEFAULT '', inputs TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX transition_alarm ON transition (alarm_id);

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

-- People. A one-time password dies at first use or at one_time_until_ms.
CREATE TABLE user (
    name TEXT PRIMARY KEY, role TEXT NOT NULL,  -- duty | maintainer | inspector | administrator
    password_hash TEXT NOT NULL, one_time_until_ms INTEGER, created_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE session (
    token_hash TEXT PRIMARY KEY, user TEXT NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- Append-only; hash = SHA-256 over the row and the hash before it.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
    subject TEXT NOT NULL, detail TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are append-only'); END;
