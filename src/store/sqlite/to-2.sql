-- Version 2: a sweep of many runs takes no longer than one of few, and asks about `agent` and
-- `recorder` once.
CREATE TABLE unused (
  kind TEXT    NOT NULL CHECK (kind IN ('agent', 'recorder')),
  key  INTEGER NOT NULL,
  PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
DROP TRIGGER event_delete;
CREATE TRIGGER event_delete BEFORE DELETE ON event
WHEN (OLD.id <= (
  SELECT last FROM gap
  WHERE first <= OLD.id AND sweep <= (SELECT sweep FROM head) AND (SELECT sweep FROM head) < until
  ORDER BY first DESC LIMIT 1
)) IS NOT TRUE
BEGIN SELECT RAISE(ABORT, 'events are only removed by a sweep'); END;
DROP TRIGGER agent_delete;
CREATE TRIGGER agent_delete BEFORE DELETE ON agent
WHEN NOT EXISTS (SELECT 1 FROM unused WHERE kind = 'agent' AND key = OLD.key)
BEGIN SELECT RAISE(ABORT, 'events refer to it'); END;
DROP TRIGGER recorder_delete;
CREATE TRIGGER recorder_delete BEFORE DELETE ON recorder
WHEN NOT EXISTS (SELECT 1 FROM unused WHERE kind = 'recorder' AND key = OLD.key)
BEGIN SELECT RAISE(ABORT, 'events refer to it'); END;
