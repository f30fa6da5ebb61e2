-- The tables of an image, format 3. What a column means is here; how a row is signed is in seal.py; what earlier formats
-- were is in migrations.py.

-- One row: which image this is, and in which format it was made; user_version has the one that it is in. Its MAC is also
-- the "previous MAC" of commit 1, so that the chain hangs on it.
CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  format INTEGER NOT NULL,
  image_id BLOB NOT NULL,
  created_at INTEGER NOT NULL,  -- microseconds since 1970, UTC, as every time here
  mac BLOB NOT NULL
) STRICT;

CREATE TABLE commits (
  generation INTEGER PRIMARY KEY,  -- contiguous from 1
  id BLOB NOT NULL,
  at INTEGER NOT NULL,
  author TEXT NOT NULL,
  reason TEXT NOT NULL,
  previous_mac BLOB NOT NULL,
  mac BLOB NOT NULL
) STRICT;

-- place = generation << 20 | ordinal within its commit: one number orders all rows and names the commit of each.
-- What was forgotten has its tombstone in the place of its salt: see tombstones.py.
CREATE TABLE rows (
  place INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  at INTEGER NOT NULL,  -- of its commit, or an earlier one where it was taken over from another image
  salt BLOB NOT NULL,
  mac BLOB NOT NULL,
  body BLOB NOT NULL  -- payload and text, packed by rows.py; last, so that reading the MACs skips long bodies
) STRICT;

-- A commit whose author or reason was forgotten: they read otherwise now, and what is here stands for the commit's MAC,
-- which stays for the chain.
CREATE TABLE tombstones (
  generation INTEGER PRIMARY KEY,
  forgotten INTEGER NOT NULL,  -- the commit that forgot them
  mac BLOB NOT NULL
) STRICT;

-- An index entry ends with the place, so both give the newest row first without touching the table.
CREATE INDEX rows_by_key ON rows (kind, key);
CREATE INDEX rows_by_kind ON rows (kind);
