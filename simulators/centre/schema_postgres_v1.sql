-- A centre of many consumers. The words are those of schema_sqlite_v*.sql; docs/city.md has the sizes.
CREATE TABLE gateways (                         -- who has ever spoken
  gateway text PRIMARY KEY, online boolean NOT NULL, seen_ns bigint NOT NULL, state text NOT NULL
);
CREATE TABLE streams (                          -- its row is the lock of a stream: what is settled grows under it, and only grows
  stream_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  gateway text NOT NULL, epoch text NOT NULL, stream text NOT NULL,
  settled int8multirange NOT NULL DEFAULT '{}', -- stored in full, or declared lost
  UNIQUE (gateway, epoch, stream)
) WITH (fillfactor = 50);                       -- written at every commit: room to do it in place
CREATE TABLE records (                          -- the name (gateway, epoch, stream, n) is the key: twice is impossible
  stream_id bigint NOT NULL, n bigint NOT NULL, received_ns bigint NOT NULL,
  brief boolean NOT NULL,                       -- told over a narrow path; the full record of the same name replaces it
  body text NOT NULL,                           -- JSON as it came: a database's idea of JSON would reorder it
  PRIMARY KEY (stream_id, n)
);
CREATE INDEX records_brief ON records (received_ns) WHERE brief;
CREATE TABLE events (                           -- one event under two names is one event
  gateway text NOT NULL, id text NOT NULL, stream_id bigint NOT NULL, n bigint NOT NULL, received_ns bigint NOT NULL,
  PRIMARY KEY (gateway, id)
);
CREATE INDEX events_latest ON events (received_ns, gateway);
CREATE TABLE gaps (                             -- numbers the gateway says will never come
  stream_id bigint NOT NULL, first bigint NOT NULL, last bigint NOT NULL, why text NOT NULL, received_ns bigint NOT NULL,
  PRIMARY KEY (stream_id, first)
);
CREATE TABLE refused (                          -- records that break the contract
  stream_id bigint NOT NULL, n bigint NOT NULL, why text NOT NULL, received_ns bigint NOT NULL,
  PRIMARY KEY (stream_id, n)
);
CREATE TABLE counters (                         -- each connection counts in a slot of its own: one row for all would queue them up
  slot integer NOT NULL, name text NOT NULL, value bigint NOT NULL, PRIMARY KEY (slot, name)
);
