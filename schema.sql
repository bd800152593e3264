-- The whole current schema of a log. `PRAGMA user_version` is its version. Older logs are brought to
-- it by the migrations in src/store/sqlite/migrate.rs.
--
-- Other programs may read `event` and the view `events`. All other names may change.
-- Absent text is NULL in `event`, and '' in a dimension, where two NULLs would count as distinct.

-- `uuid` is the UUID of the log, 16 bytes, from which the chain begins. `swept` is the number of the
-- newest sweep that has removed all that it vouches for, and the dimension rows of it; it is absent if
-- there is none.
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- The newest id and its hash, in one row. New ids follow this one, so a swept id is never used again.
-- `sweep` is the number of the newest sweep that took effect.
CREATE TABLE head (
  one   INTEGER PRIMARY KEY CHECK (one = 1),
  id    INTEGER NOT NULL,
  hash  BLOB    NOT NULL CHECK (length(hash) = 32),
  sweep INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The dimensions: values that repeat from event to event are stored once. A row is a snapshot, so
-- another label for the same id is another row. `folded` is the label by Unicode's full case folding,
-- because words are searched in any case. `digest`, 32 bytes, commits to the row without revealing it:
-- it is SHA-256 over `salt`, 16 bytes, and the texts. No CHECK says so, for a function in one makes
-- SQLite copy each page that an insert touches; a reader finds another length damaged.
CREATE TABLE actor (
  key    INTEGER PRIMARY KEY,
  id     TEXT NOT NULL,
  label  TEXT NOT NULL,
  folded TEXT NOT NULL,
  salt   BLOB NOT NULL,
  digest BLOB NOT NULL,
  UNIQUE (id, label)
) STRICT;
-- actor:"jerome cruz"
CREATE INDEX actor_folded ON actor (folded);

CREATE TABLE target (
  key    INTEGER PRIMARY KEY,
  type   TEXT NOT NULL,
  id     TEXT NOT NULL,
  label  TEXT NOT NULL,
  folded TEXT NOT NULL,
  salt   BLOB NOT NULL,
  digest BLOB NOT NULL,
  UNIQUE (id, type, label)
) STRICT;
-- target:"spring launch"
CREATE INDEX target_folded ON target (folded);

CREATE TABLE action (
  key    INTEGER PRIMARY KEY,
  slug   TEXT NOT NULL,
  module TEXT NOT NULL,
  UNIQUE (slug, module)
) STRICT;

CREATE TABLE title (
  key    INTEGER PRIMARY KEY,
  text   TEXT NOT NULL UNIQUE,
  folded TEXT NOT NULL
) STRICT;

CREATE TABLE agent (
  key    INTEGER PRIMARY KEY,
  text   TEXT NOT NULL UNIQUE,
  salt   BLOB NOT NULL,
  digest BLOB NOT NULL
) STRICT;

-- Key 0 stands for no tenant.
CREATE TABLE tenant (
  key  INTEGER PRIMARY KEY,
  text TEXT NOT NULL UNIQUE
) STRICT;

-- The users that ran the program: few, and one for every event.
CREATE TABLE recorder (
  key  INTEGER PRIMARY KEY,
  text TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE event (
  id           INTEGER PRIMARY KEY,
  -- 16 bytes for a UUID in lower case with hyphens, else the text as it came.
  event_id     ANY     NOT NULL,
  -- Times are nanoseconds since 1970-01-01T00:00:00Z.
  occurred_at  INTEGER NOT NULL,
  recorded_at  INTEGER NOT NULL,
  recorder     INTEGER NOT NULL REFERENCES recorder (key),
  tenant       INTEGER NOT NULL REFERENCES tenant (key),
  -- operator 0, system 1, api 2, cron 3
  source       INTEGER NOT NULL CHECK (source BETWEEN 0 AND 3),
  -- info 0, low 1, medium 2, high 3, critical 4
  severity     INTEGER NOT NULL CHECK (severity BETWEEN 0 AND 4),
  action       INTEGER NOT NULL REFERENCES action (key),
  actor        INTEGER REFERENCES actor (key),
  impersonator INTEGER REFERENCES actor (key),
  target       INTEGER REFERENCES target (key),
  title        INTEGER REFERENCES title (key),
  agent        INTEGER REFERENCES agent (key),
  status       INTEGER CHECK (status BETWEEN 100 AND 599),
  method       TEXT,
  endpoint     TEXT,
  ip           TEXT,
  session_id   TEXT,
  description  TEXT,
  diff         TEXT,
  payload      TEXT,
  -- 1: the log wrote it about itself.
  own          INTEGER NOT NULL CHECK (own IN (0, 1)),
  -- 8 and 32 bytes; no CHECK says so here either.
  salt         BLOB    NOT NULL,
  hash         BLOB    NOT NULL
) STRICT;

-- Finds repeats: an id occurs once in its tenant. Also `show EVENT_ID`.
CREATE UNIQUE INDEX event_event_id ON event (tenant, event_id);
-- list, --since, --until, export, cursors: the order of every listing, then id.
CREATE INDEX event_occurred_at ON event (occurred_at);
-- actor:, search-actor
CREATE INDEX event_actor ON event (actor, occurred_at) WHERE actor IS NOT NULL;
-- impersonator:, is:impersonated, search-actor
CREATE INDEX event_impersonator ON event (impersonator, occurred_at) WHERE impersonator IS NOT NULL;
-- target:, search-target
CREATE INDEX event_target ON event (target, occurred_at) WHERE target IS NOT NULL;
-- action:user.*, module:, actions
CREATE INDEX event_action ON event (action, occurred_at);
-- tenant:
CREATE INDEX event_tenant ON event (tenant, occurred_at) WHERE tenant <> 0;
-- words in titles
CREATE INDEX event_title ON event (title) WHERE title IS NOT NULL;
-- is:failed
CREATE INDEX event_failed ON event (action, occurred_at) WHERE status >= 400;

-- The runs of events that sweeps removed. `hash` is the hash of `last`, so that the chain can be
-- verified across the run. `sweep` is the number of the sweep that recorded the run.
CREATE TABLE gap (
  first INTEGER PRIMARY KEY,
  last  INTEGER NOT NULL CHECK (last >= first),
  hash  BLOB    NOT NULL CHECK (length(hash) = 32),
  sweep INTEGER NOT NULL
) STRICT;

-- The runs of events that a sweep is about to remove, or is removing. They count once head.sweep is
-- their number, in place of the gaps within them, and become gaps when their events are gone. A run
-- ends in an event. `removed_to` is the last event of it that is gone, with its hash; first - 1 and
-- NULL if none is.
CREATE TABLE removal (
  sweep        INTEGER NOT NULL,
  first        INTEGER NOT NULL,
  last         INTEGER NOT NULL CHECK (last >= first),
  hash         BLOB    NOT NULL CHECK (length(hash) = 32),
  removed_to   INTEGER NOT NULL CHECK (removed_to >= first - 1 AND removed_to < last),
  removed_hash BLOB    CHECK (length(removed_hash) = 32),
  PRIMARY KEY (sweep, first)
) STRICT, WITHOUT ROWID;

-- Heads of the chain that were published outside the log. Gaps are cut at them.
CREATE TABLE anchor (
  id     INTEGER NOT NULL,
  hash   BLOB    NOT NULL CHECK (length(hash) = 32),
  at     INTEGER NOT NULL,
  place  TEXT    NOT NULL,
  PRIMARY KEY (id, place)
) STRICT, WITHOUT ROWID;

-- The rows of `agent` and `recorder` that a sweep is about to remove. It is empty outside of that
-- transaction.
CREATE TABLE unused (
  kind TEXT    NOT NULL CHECK (kind IN ('agent', 'recorder')),
  key  INTEGER NOT NULL,
  PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

-- How far input files have been ingested. A file is recognised under any name, by its first
-- `head_length` bytes and by the `tail_length` bytes before `taken`. Records with neither a time nor
-- an id are known only in the very file: by device, inode and time of birth, which are 0 in a row
-- that a later one of the same file has replaced.
CREATE TABLE progress (
  head_length INTEGER NOT NULL,
  head_hash   BLOB    NOT NULL CHECK (length(head_hash) = 32),
  taken       INTEGER NOT NULL,
  device      INTEGER NOT NULL,
  inode       INTEGER NOT NULL,
  birth       INTEGER NOT NULL,
  tail_length INTEGER NOT NULL,
  tail_hash   BLOB    NOT NULL CHECK (length(tail_hash) = 32),
  -- Events before that place, those of them with neither a time nor an id, and lines, for messages.
  records     INTEGER NOT NULL,
  bare        INTEGER NOT NULL,
  lines       INTEGER NOT NULL,
  -- The size that the file had.
  size        INTEGER NOT NULL,
  -- Stretches before that place that were rejected: begin, end, lines and events before each, as
  -- 64-bit numbers, little-endian.
  rejected    BLOB    NOT NULL CHECK (length(rejected) % 32 = 0),
  -- When the row was written, in seconds since 1970.
  touched     INTEGER NOT NULL,
  PRIMARY KEY (head_length, head_hash, taken, device, inode, birth)
) STRICT, WITHOUT ROWID;
CREATE INDEX progress_file ON progress (device, inode, birth);
CREATE INDEX progress_touched ON progress (touched);

-- How far each mirror and alert has delivered. `cursor` is the last event that needs no more work,
-- `cut` the last one of a batch that must be cut alike when it is sent again. Times are nanoseconds.
CREATE TABLE mirror (
  name             TEXT    PRIMARY KEY,
  cursor           INTEGER NOT NULL,
  cut              INTEGER,
  delivered        INTEGER NOT NULL,
  -- The failures since it last delivered, since when, and whether an event tells of them.
  failures         INTEGER NOT NULL,
  failing_since    INTEGER,
  failing_recorded INTEGER NOT NULL CHECK (failing_recorded IN (0, 1)),
  next_try         INTEGER,
  error            TEXT,
  status           INTEGER,
  delivered_at     INTEGER
) STRICT, WITHOUT ROWID;

-- The events that a destination refused for good.
CREATE TABLE dead_letter (
  mirror TEXT    NOT NULL,
  id     INTEGER NOT NULL,
  reason TEXT    NOT NULL,
  status INTEGER,
  at     INTEGER NOT NULL,
  PRIMARY KEY (mirror, id)
) STRICT, WITHOUT ROWID;

-- The triggers make the log append-only. Whoever can write the file can drop them: they prevent
-- mistakes, and the chain reveals the rest. INSERT OR REPLACE removes existing rows without firing the
-- triggers for DELETE, so each table refuses an insert of a row that it has. The triggers for INSERT
-- call no function and do not ABORT: with either, SQLite would copy each page that an insert touches,
-- to be able to undo the insert alone. They FAIL where nothing is written yet, and else ROLLBACK.
CREATE TRIGGER event_repeat BEFORE INSERT ON event
WHEN EXISTS (SELECT 1 FROM event WHERE tenant = NEW.tenant AND event_id = NEW.event_id)
BEGIN SELECT RAISE(FAIL, 'an event_id stands once in its tenant'); END;

CREATE TRIGGER event_insert AFTER INSERT ON event
WHEN NEW.id <= (SELECT id FROM head)
  OR NEW.id > 1 + (SELECT id FROM head) AND NOT EXISTS (SELECT 1 FROM event WHERE id = NEW.id - 1)
BEGIN SELECT RAISE(ROLLBACK, 'an event gets the next id of the log'); END;

CREATE TRIGGER event_update BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;

-- Runs never overlap, so only the last one that begins before the event can contain it.
CREATE TRIGGER event_delete BEFORE DELETE ON event
WHEN (OLD.id <= (SELECT last FROM gap WHERE first <= OLD.id ORDER BY first DESC LIMIT 1)) IS NOT TRUE
  AND (OLD.id <= (
    SELECT last FROM removal WHERE sweep = (SELECT sweep FROM head) AND first <= OLD.id
    ORDER BY first DESC LIMIT 1)) IS NOT TRUE
BEGIN SELECT RAISE(ABORT, 'events are only removed by a sweep'); END;

CREATE TRIGGER actor_insert BEFORE INSERT ON actor
WHEN EXISTS (SELECT 1 FROM actor WHERE key = NEW.key OR id = NEW.id AND label = NEW.label)
BEGIN SELECT RAISE(ROLLBACK, 'it is there already'); END;
CREATE TRIGGER actor_update BEFORE UPDATE ON actor
BEGIN SELECT RAISE(ABORT, 'labels are snapshots'); END;
CREATE TRIGGER actor_delete BEFORE DELETE ON actor
WHEN EXISTS (SELECT 1 FROM event WHERE actor = OLD.key OR impersonator = OLD.key)
BEGIN SELECT RAISE(ABORT, 'events refer to it'); END;

CREATE TRIGGER target_insert BEFORE INSERT ON target
WHEN EXISTS (SELECT 1 FROM target WHERE key = NEW.key OR id = NEW.id AND type = NEW.type AND label = NEW.label)
BEGIN SELECT RAISE(ROLLBACK, 'it is there already'); END;
CREATE TRIGGER target_update BEFORE UPDATE ON target
BEGIN SELECT RAISE(ABORT, 'labels are snapshots'); END;
CREATE TRIGGER target_delete BEFORE DELETE ON target
WHEN EXISTS (SELECT 1 FROM event WHERE target = OLD.key)
BEGIN SELECT RAISE(ABORT, 'events refer to it'); END;

CREATE TRIGGER action_insert BEFORE INSERT ON action
WHEN EXISTS (SELECT 1 FROM action WHERE key = NEW.key OR slug = NEW.slug AND module = NEW.module)
BEGIN SELECT RAISE(ROLLBACK, 'it is there already'); END;
CREATE TRIGGER action_update BEFORE UPDATE ON action
BEGIN SELECT RAISE(ABORT, 'events refer to it'); END;
CREATE TRIGGER action_delete BEFORE DELETE ON action
WHEN EXISTS (SELECT 1 FROM event WHERE action = OLD.key)
BEGIN SELECT RAISE(ABORT, 'events refer to it'); END;

CREATE TRIGGER title_insert BEFORE INSERT ON title
WHEN EXISTS (SELECT 1 FROM title WHERE key = NEW.key OR text = NEW.text)
BEGIN SELECT RAISE(ROLLBACK, 'it is there already'); END;
CREATE TRIGGER title_update BEFORE UPDATE ON title
BEGIN SELECT RAISE(ABORT, 'events refer to it'); END;
CREATE TRIGGER title_delete BEFORE DELETE ON title
WHEN EXISTS (SELECT 1 FROM event WHERE title = OLD.key)
BEGIN SELECT RAISE(ABORT, 'events refer to it'); END;

CREATE TRIGGER tenant_insert BEFORE INSERT ON tenant
WHEN EXISTS (SELECT 1 FROM tenant WHERE key = NEW.key OR text = NEW.text)
BEGIN SELECT RAISE(ROLLBACK, 'it is there already'); END;
CREATE TRIGGER tenant_update BEFORE UPDATE ON tenant
BEGIN SELECT RAISE(ABORT, 'events refer to it'); END;
CREATE TRIGGER tenant_delete BEFORE DELETE ON tenant
WHEN OLD.key = 0 OR EXISTS (SELECT 1 FROM event WHERE tenant = OLD.key)
BEGIN SELECT RAISE(ABORT, 'events refer to it'); END;

-- Events have no index on these two, so it takes a scan of all events to see whether a row is in use.
-- A sweep does that once for all rows, and lists the unused ones in `unused`.
CREATE TRIGGER agent_insert BEFORE INSERT ON agent
WHEN EXISTS (SELECT 1 FROM agent WHERE key = NEW.key OR text = NEW.text)
BEGIN SELECT RAISE(ROLLBACK, 'it is there already'); END;
CREATE TRIGGER agent_update BEFORE UPDATE ON agent
BEGIN SELECT RAISE(ABORT, 'events refer to it'); END;
CREATE TRIGGER agent_delete BEFORE DELETE ON agent
WHEN NOT EXISTS (SELECT 1 FROM unused WHERE kind = 'agent' AND key = OLD.key)
BEGIN SELECT RAISE(ABORT, 'events refer to it'); END;

CREATE TRIGGER recorder_insert BEFORE INSERT ON recorder
WHEN EXISTS (SELECT 1 FROM recorder WHERE key = NEW.key OR text = NEW.text)
BEGIN SELECT RAISE(ROLLBACK, 'it is there already'); END;
CREATE TRIGGER recorder_update BEFORE UPDATE ON recorder
BEGIN SELECT RAISE(ABORT, 'events refer to it'); END;
CREATE TRIGGER recorder_delete BEFORE DELETE ON recorder
WHEN NOT EXISTS (SELECT 1 FROM unused WHERE kind = 'recorder' AND key = OLD.key)
BEGIN SELECT RAISE(ABORT, 'events refer to it'); END;

-- The events with the field names of the command line, for people at a `sqlite3` prompt. Rows within a
-- run that a sweep vouches for are gone here too.
CREATE VIEW events AS
SELECT
  event.id AS id,
  CASE typeof(event.event_id) WHEN 'blob'
    THEN lower(
      substr(hex(event.event_id), 1, 8) || '-' || substr(hex(event.event_id), 9, 4) || '-' ||
      substr(hex(event.event_id), 13, 4) || '-' || substr(hex(event.event_id), 17, 4) || '-' ||
      substr(hex(event.event_id), 21))
    ELSE event.event_id END AS event_id,
  -- Division rounds towards zero, so a negative fraction takes one more second off. Always nine digits,
  -- so that times sort as text.
  strftime('%Y-%m-%dT%H:%M:%S', event.occurred_at / 1000000000 - (event.occurred_at % 1000000000 < 0), 'unixepoch')
    || printf('.%09d', event.occurred_at % 1000000000 + 1000000000 * (event.occurred_at % 1000000000 < 0))
    || 'Z' AS occurred_at,
  strftime('%Y-%m-%dT%H:%M:%S', event.recorded_at / 1000000000 - (event.recorded_at % 1000000000 < 0), 'unixepoch')
    || printf('.%09d', event.recorded_at % 1000000000 + 1000000000 * (event.recorded_at % 1000000000 < 0))
    || 'Z' AS recorded_at,
  recorder.text AS recorded_by,
  nullif(tenant.text, '') AS tenant,
  CASE event.source WHEN 0 THEN 'operator' WHEN 1 THEN 'system' WHEN 2 THEN 'api' ELSE 'cron' END AS source,
  CASE event.severity WHEN 0 THEN 'info' WHEN 1 THEN 'low' WHEN 2 THEN 'medium' WHEN 3 THEN 'high'
    ELSE 'critical' END AS severity,
  nullif(action.module, '') AS module,
  action.slug AS action,
  title.text AS title,
  event.description AS description,
  nullif(actor.id, '') AS actor_id,
  nullif(actor.label, '') AS actor_label,
  nullif(impersonator.id, '') AS impersonator_id,
  nullif(impersonator.label, '') AS impersonator_label,
  nullif(target.type, '') AS target_type,
  nullif(target.id, '') AS target_id,
  nullif(target.label, '') AS target_label,
  event.diff AS diff,
  event.payload AS payload,
  event.ip AS ip,
  agent.text AS user_agent,
  event.session_id AS session_id,
  event.method AS method,
  event.endpoint AS endpoint,
  event.status AS status_code,
  lower(hex(event.hash)) AS hash
FROM event
JOIN recorder ON recorder.key = event.recorder
JOIN tenant ON tenant.key = event.tenant
JOIN action ON action.key = event.action
LEFT JOIN title ON title.key = event.title
LEFT JOIN actor ON actor.key = event.actor
LEFT JOIN actor AS impersonator ON impersonator.key = event.impersonator
LEFT JOIN target ON target.key = event.target
LEFT JOIN agent ON agent.key = event.agent
WHERE (event.id <= (SELECT last FROM gap WHERE first <= event.id ORDER BY first DESC LIMIT 1)) IS NOT TRUE
  AND (event.id <= (
    SELECT last FROM removal WHERE sweep = (SELECT sweep FROM head) AND first <= event.id
    ORDER BY first DESC LIMIT 1)) IS NOT TRUE;

INSERT INTO tenant (key, text) VALUES (0, '');
