CREATE TABLE IF NOT EXISTS gateways (          -- who has ever spoken
  gateway TEXT PRIMARY KEY, online INTEGER NOT NULL, seen_ns INTEGER NOT NULL, state TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS streams (           -- what is settled, as of this transaction
  stream_id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, epoch TEXT NOT NULL, stream TEXT NOT NULL,
  settled TEXT NOT NULL,                       -- [[first, last], ...] stored or declared lost
  UNIQUE (gateway, epoch, stream)
);
CREATE TABLE IF NOT EXISTS records (           -- the name (gateway, epoch, stream, n) is the key: twice is impossible
  stream_id INTEGER NOT NULL, n INTEGER NOT NULL, received_ns INTEGER NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (stream_id, n)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (            -- one event under two names is one event
  gateway TEXT NOT NULL, id TEXT NOT NULL, stream_id INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY (gateway, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gaps (              -- numbers the gateway says will never come
  stream_id INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, why TEXT NOT NULL, received_ns INTEGER NOT NULL,
  PRIMARY KEY (stream_id, first)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused (           -- records that break the contract
  stream_id INTEGER NOT NULL, n INTEGER NOT NULL, why TEXT NOT NULL, received_ns INTEGER NOT NULL,
  PRIMARY KEY (stream_id, n)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
