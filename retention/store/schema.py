"""The tables of a node's database, as an ordered list of migrations.

Times are microseconds since the Unix epoch, UTC. A migration that has shipped is never edited.
What a record already says is not said again in a column, except to find or to order it.
"""

from __future__ import annotations

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE node (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        agency TEXT NOT NULL, pharmacy TEXT NOT NULL, node TEXT NOT NULL,
        database_id TEXT NOT NULL
    ) STRICT;

    -- The log: every record in order, its canonical bytes and its leaf hash. A record of a sent
    -- kind is also its own outbox row: it is owed to central until `uplink.acked_sent` passes it.
    CREATE TABLE log (
        sequence INTEGER PRIMARY KEY,
        sent_sequence INTEGER UNIQUE,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        version INTEGER NOT NULL,
        session TEXT,
        occurred_at INTEGER NOT NULL,
        bytes BLOB NOT NULL,
        leaf BLOB NOT NULL CHECK (length(leaf) = 32)
    ) STRICT;
    CREATE INDEX log_session ON log (session, sequence) WHERE session IS NOT NULL;
    CREATE INDEX log_kind ON log (kind, sequence);

    CREATE TABLE frontier (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        size INTEGER NOT NULL, sent_count INTEGER NOT NULL, hashes BLOB NOT NULL
    ) STRICT;
    INSERT INTO frontier VALUES (1, 0, 0, x'');

    CREATE TABLE uplink (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        acked_sent INTEGER NOT NULL
    ) STRICT;
    INSERT INTO uplink VALUES (1, 0);

    CREATE TABLE checkpoints (
        tree_size INTEGER PRIMARY KEY,
        body BLOB NOT NULL,
        made_at INTEGER NOT NULL,
        countersigned BLOB
    ) STRICT;

    -- Footage. A segment row is written in the same transaction as its `segment.sealed` record.
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, camera TEXT NOT NULL, scene_role TEXT NOT NULL, codec TEXT NOT NULL,
        started_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE segments (
        id TEXT PRIMARY KEY,
        camera TEXT NOT NULL, scene_role TEXT NOT NULL, run TEXT NOT NULL, ordinal INTEGER NOT NULL,
        started_at INTEGER NOT NULL, ended_at INTEGER NOT NULL,
        bytes INTEGER NOT NULL, codec TEXT NOT NULL,
        file_sha256 TEXT NOT NULL, chunk_root TEXT NOT NULL,
        path TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL CHECK (state IN ('sealed', 'tombstoned')),
        sequence INTEGER NOT NULL REFERENCES log (sequence),
        UNIQUE (run, ordinal)
    ) STRICT;
    CREATE INDEX segments_time ON segments (camera, started_at);

    CREATE TABLE gaps (
        id TEXT PRIMARY KEY,
        camera TEXT NOT NULL, scene_role TEXT NOT NULL,
        started_at INTEGER NOT NULL, ended_at INTEGER,
        cause TEXT NOT NULL
    ) STRICT;
    CREATE INDEX gaps_time ON gaps (camera, started_at);
    CREATE UNIQUE INDEX gaps_open ON gaps (camera) WHERE ended_at IS NULL;

    CREATE TABLE incidents (
        incident TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL,
        found_at INTEGER NOT NULL,
        PRIMARY KEY (incident, subject)
    ) STRICT;

    -- People. `sealed` is AES-256-GCM ciphertext; nothing here can be read without the key file.
    CREATE TABLE consents (
        id TEXT PRIMARY KEY, person_ref TEXT NOT NULL, purpose TEXT NOT NULL,
        notice_version TEXT NOT NULL, given_at INTEGER NOT NULL, withdrawn_at INTEGER
    ) STRICT;
    CREATE INDEX consents_person ON consents (person_ref);
    CREATE TABLE reference_templates (
        id TEXT PRIMARY KEY, person_ref TEXT NOT NULL,
        consent TEXT NOT NULL REFERENCES consents (id),
        contract_id TEXT NOT NULL, source TEXT NOT NULL,
        key_id TEXT NOT NULL, nonce BLOB NOT NULL, sealed BLOB NOT NULL,
        enrolled_at INTEGER NOT NULL, expires_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX reference_templates_person ON reference_templates (person_ref);

    -- Counters. Only digests of tokens, codes and pharmacists' secrets are kept.
    CREATE TABLE terminals (
        id TEXT PRIMARY KEY, counter TEXT NOT NULL, name TEXT NOT NULL,
        token_sha256 TEXT NOT NULL UNIQUE, paired_at INTEGER NOT NULL, revoked_at INTEGER
    ) STRICT;
    CREATE TABLE pairing_codes (
        code_sha256 TEXT PRIMARY KEY, counter TEXT NOT NULL, expires_at INTEGER NOT NULL,
        failed_tries INTEGER NOT NULL DEFAULT 0, used_at INTEGER
    ) STRICT;
    CREATE TABLE pharmacists (
        id TEXT PRIMARY KEY, secret_hash TEXT NOT NULL, added_at INTEGER NOT NULL,
        failed_tries INTEGER NOT NULL DEFAULT 0, locked_until INTEGER, revoked_at INTEGER
    ) STRICT;

    -- A session's state is the fold of its log rows; this row only lists it and finds it.
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, counter TEXT NOT NULL, opened_at INTEGER NOT NULL,
        closed_at INTEGER, covered_at INTEGER
    ) STRICT;
    CREATE INDEX sessions_opened ON sessions (opened_at);
    CREATE INDEX sessions_uncovered ON sessions (opened_at)
        WHERE closed_at IS NOT NULL AND covered_at IS NULL;

    -- Commands from central that were taken up, so that one command is answered once.
    CREATE TABLE commands (
        id TEXT PRIMARY KEY, body BLOB NOT NULL, received_at INTEGER NOT NULL,
        outcome TEXT, concluded_at INTEGER
    ) STRICT;
    """,
    """
    -- Keeping: volumes, policies, holds, disposal, alarms, opening hours.
    ALTER TABLE segments ADD COLUMN volume TEXT NOT NULL DEFAULT 'main';
    CREATE INDEX segments_ended ON segments (camera, ended_at);
    CREATE INDEX segments_tombstoned ON segments (sequence) WHERE state = 'tombstoned';
    CREATE INDEX segments_volume ON segments (volume, started_at);
    CREATE INDEX segments_sequence ON segments (sequence);
    ALTER TABLE gaps ADD COLUMN layer TEXT NOT NULL DEFAULT 'footage'
        CHECK (layer IN ('footage', 'view'));
    DROP INDEX gaps_open;
    CREATE UNIQUE INDEX gaps_open ON gaps (camera, layer) WHERE ended_at IS NULL;
    CREATE INDEX gaps_ended ON gaps (camera, layer, ended_at);

    -- A disposed record keeps its row, its leaf and nothing else: `bytes` is empty, and the
    -- `records.disposed` record at `disposed_by` names it.
    ALTER TABLE log ADD COLUMN disposed_by INTEGER;
    CREATE INDEX log_kept ON log (kind, occurred_at) WHERE disposed_by IS NULL;

    -- The volumes this node took for its own: a name in the configuration, an identity on the disk.
    CREATE TABLE volumes (
        name TEXT PRIMARY KEY, volume TEXT NOT NULL UNIQUE, adopted_at INTEGER NOT NULL
    ) STRICT;

    -- Every policy ever adopted, for an item is owed what any policy of its lifetime promised.
    CREATE TABLE policies (
        policy TEXT NOT NULL, version INTEGER NOT NULL, effective_from INTEGER NOT NULL,
        adopted_at INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (policy, version)
    ) STRICT;
    CREATE TABLE holds (
        id TEXT PRIMARY KEY, authority TEXT NOT NULL, body BLOB NOT NULL,
        author TEXT NOT NULL, reason TEXT NOT NULL,
        placed_at INTEGER NOT NULL, released_at INTEGER
    ) STRICT;
    -- The sessions of a person who is under a hold, as far as the log was read for it.
    CREATE TABLE held_persons (
        hold TEXT PRIMARY KEY REFERENCES holds (id), read_to INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE held_sessions (
        hold TEXT NOT NULL REFERENCES holds (id), session TEXT NOT NULL,
        PRIMARY KEY (hold, session)
    ) STRICT, WITHOUT ROWID;
    -- The latest moment that is surely past: retention asks this, never the wall clock alone.
    CREATE TABLE trusted_time (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        passed_at INTEGER NOT NULL, boot_id TEXT NOT NULL, monotonic_ns INTEGER NOT NULL
    ) STRICT;
    -- What had surely passed when the log had grown to `log_size`: whatever was recorded before
    -- that mark had ended by then, whatever the wall clock said.
    CREATE TABLE time_marks (
        log_size INTEGER PRIMARY KEY, passed_at INTEGER NOT NULL
    ) STRICT;
    -- Where a disposed segment's two records stand, to answer a challenge of its leaf.
    CREATE TABLE disposals (
        sequence INTEGER PRIMARY KEY, disposed_sequence INTEGER NOT NULL,
        segment TEXT NOT NULL UNIQUE, disposed_at INTEGER NOT NULL
    ) STRICT;

    -- Alarms that are open now; their history is in the log.
    CREATE TABLE alarms (
        alarm TEXT NOT NULL, subject TEXT NOT NULL, since INTEGER NOT NULL, detail TEXT NOT NULL,
        PRIMARY KEY (alarm, subject)
    ) STRICT;
    CREATE TABLE breaches (
        id TEXT PRIMARY KEY, stage TEXT NOT NULL, camera TEXT, cause TEXT NOT NULL,
        subject TEXT NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER
    ) STRICT;
    CREATE INDEX breaches_subject ON breaches (subject, cause);
    CREATE TABLE openings (
        effective_from INTEGER PRIMARY KEY, hours TEXT NOT NULL
    ) STRICT;
    CREATE TABLE closures (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, started_at INTEGER NOT NULL,
        ended_at INTEGER NOT NULL, declared_at INTEGER NOT NULL, cancelled_at INTEGER
    ) STRICT;
    CREATE INDEX closures_time ON closures (started_at);

    -- How much each camera took on each day (UTC), for the forecast; and where the scrub stands.
    CREATE TABLE intake (
        camera TEXT NOT NULL, day TEXT NOT NULL,
        bytes INTEGER NOT NULL, covered_ms INTEGER NOT NULL,
        PRIMARY KEY (camera, day)
    ) STRICT;
    INSERT INTO intake SELECT camera, date(started_at / 1000000, 'unixepoch') AS day, sum(bytes),
        sum(ended_at - started_at) / 1000 FROM segments GROUP BY camera, day;
    CREATE TABLE scrub (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        round_started_at INTEGER NOT NULL, next_sequence INTEGER NOT NULL,
        segments INTEGER NOT NULL, bytes INTEGER NOT NULL, broken INTEGER NOT NULL
    ) STRICT;

    -- Inspectors who may place holds and take evidence here, away from central. Only digests.
    CREATE TABLE inspectors (
        id TEXT PRIMARY KEY, secret_hash TEXT NOT NULL, added_at INTEGER NOT NULL,
        failed_tries INTEGER NOT NULL DEFAULT 0, locked_until INTEGER, revoked_at INTEGER
    ) STRICT;
    """,
    """
    -- Faces that can be replayed, rotated and counted. `portrait_at`: when the picture was taken,
    -- if known; `outdated_at`: since when its contract is not the node's any more.
    ALTER TABLE consents ADD COLUMN notice_sha256 TEXT;
    ALTER TABLE reference_templates ADD COLUMN portrait_at INTEGER;
    ALTER TABLE reference_templates ADD COLUMN quality TEXT NOT NULL DEFAULT 'good'
        CHECK (quality IN ('good', 'poor'));
    ALTER TABLE reference_templates ADD COLUMN outdated_at INTEGER;
    CREATE INDEX reference_templates_key ON reference_templates (key_id);

    -- The sealed evidence of a decision lies in DATA/probes/<receipt>; its key only here, wrapped,
    -- so that deleting the row ends it.
    CREATE TABLE probes (
        receipt TEXT PRIMARY KEY, session TEXT NOT NULL, person_ref TEXT NOT NULL,
        made_at INTEGER NOT NULL, key_id TEXT NOT NULL, nonce BLOB NOT NULL, wrapped BLOB NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX probes_made ON probes (made_at);
    CREATE INDEX probes_person ON probes (person_ref);
    CREATE INDEX probes_key ON probes (key_id);

    -- Suspected attacks by credential, and the credentials whose face method is locked.
    CREATE TABLE face_suspicions (
        receipt TEXT PRIMARY KEY, person_ref TEXT NOT NULL, at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX face_suspicions_person ON face_suspicions (person_ref, at);
    CREATE TABLE face_locks (
        person_ref TEXT PRIMARY KEY, since INTEGER NOT NULL, receipt TEXT NOT NULL
    ) STRICT;

    -- Who is signed in as the pharmacist on duty, and whether they are still there. `seen_ns` is
    -- when they were last seen, on the monotonic clock of `boot_id`; `missed` looks came after it.
    CREATE TABLE duty (
        pharmacist TEXT PRIMARY KEY, counter TEXT NOT NULL,
        method TEXT NOT NULL CHECK (method IN ('face', 'secret')),
        state TEXT NOT NULL CHECK (state IN ('present', 'doubtful', 'absent')),
        signed_in_at INTEGER NOT NULL, since INTEGER NOT NULL, seen_at INTEGER NOT NULL,
        boot_id TEXT NOT NULL, seen_ns INTEGER NOT NULL,
        missed INTEGER NOT NULL, reasons TEXT NOT NULL
    ) STRICT;
    CREATE TABLE subject_counts (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        subjects INTEGER NOT NULL, refs INTEGER NOT NULL, counted_at INTEGER NOT NULL
    ) STRICT;
    """,
)
