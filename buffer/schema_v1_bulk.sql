-- bulk.db, schema 1: what a site can afford to lose. Keys and times as in vital.db.
CREATE TABLE epoch (ord INTEGER PRIMARY KEY, name TEXT NOT NULL, made_ns INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE TABLE mark (id INTEGER PRIMARY KEY, destination TEXT NOT NULL, epoch TEXT NOT NULL, stream INTEGER NOT NULL, through INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
-- One row is a block: n .. n + span - 1, of which `count` are left after thinning to one in 2^level. Coding: buffer/rows.py.
CREATE TABLE telemetry (
  id INTEGER PRIMARY KEY, epoch TEXT NOT NULL, at_ns INTEGER NOT NULL, crc INTEGER NOT NULL,
  span INTEGER NOT NULL, count INTEGER NOT NULL, level INTEGER NOT NULL, coding INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE media (id INTEGER PRIMARY KEY, epoch TEXT NOT NULL, at_ns INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
-- How far (row id) telemetry has been thinned to each level, oldest first.
CREATE TABLE thinned (level INTEGER PRIMARY KEY, through INTEGER NOT NULL) STRICT;
