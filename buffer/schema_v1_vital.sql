-- vital.db, schema 1: events and latched state. A row's key is (epoch.ord << 40) | n. Times are wall ns since 1970, UTC.
-- No second indexes: each would be one more page on the card for every alarm.
CREATE TABLE epoch (ord INTEGER PRIMARY KEY, name TEXT NOT NULL, made_ns INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE TABLE mark (id INTEGER PRIMARY KEY, destination TEXT NOT NULL, epoch TEXT NOT NULL, stream INTEGER NOT NULL, through INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
-- value NULL: taken back. The row stays, so that a stale copy of it in a damaged file can be told from the newest (seq).
CREATE TABLE state (id INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB, seq INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE TABLE alarm (id INTEGER PRIMARY KEY, epoch TEXT NOT NULL, at_ns INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE fault (id INTEGER PRIMARY KEY, epoch TEXT NOT NULL, at_ns INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE status (id INTEGER PRIMARY KEY, epoch TEXT NOT NULL, at_ns INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
