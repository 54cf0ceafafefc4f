-- 1: told in brief over a narrow path, and replaced by the full record of the same name when that comes. It settles nothing.
ALTER TABLE records ADD COLUMN brief INTEGER NOT NULL DEFAULT 0;
