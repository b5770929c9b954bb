"""Everything that the data stage has seen, and what became of it: one SQLite file, `<out>/data/ledger.sqlite`.

Every step is a transaction that is on disk before the next one, so a run may be killed at any moment and goes on where
it was; a record is decided once. Rows are read in slices, so memory does not grow with the data set. Proposals are
numbered in the order of their sources, and whatever depends on order (which of two duplicates stays) follows it.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from configs.errors import UsageError
from data_pipeline.task import Kernel, Task

State = Literal["proposed", "clean", "admitted", "refused"]
"""proposed → clean (licence, no duplicate, no benchmark item) → admitted by quality and sandbox; refused at any point.
A kernel without a reference is admitted once it is clean, a task without a solution once quality has passed it."""
SLICE = 500
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, origin TEXT NOT NULL, licence TEXT NOT NULL,
    family TEXT NOT NULL, record TEXT NOT NULL, code TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'proposed',
    refused_by TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '', verdict TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS by_state ON records (state, kind, seq);
CREATE TABLE IF NOT EXISTS sources (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS exact (digest TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bands (band INTEGER, value BLOB, seq INTEGER, PRIMARY KEY (band, value, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, judged INTEGER NOT NULL, seconds REAL NOT NULL, peak_rss_mib REAL NOT NULL);
CREATE TABLE IF NOT EXISTS signatures (seq INTEGER PRIMARY KEY, signature BLOB NOT NULL);
"""


class Row(NamedTuple):
    """One record with its state."""

    seq: int
    id: str
    kind: Literal["kernel", "task"]
    origin: str
    licence: str
    family: str
    record: str
    """A `Task` or a `Kernel` as JSON."""
    code: str
    """The solution of a task, "" for a reference alone; the text of a kernel."""
    state: State
    refused_by: str
    """`licence`, `duplicate`, `benchmark`, `quality`, or a stage of the sandbox."""
    reason: str
    verdict: str

    def task(self) -> Task:
        return Task.model_validate_json(self.record)

    def kernel(self) -> Kernel:
        return Kernel.model_validate_json(self.record)


class Ledger:
    """The open file. One process writes it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(path, isolation_level=None)
        try:
            self.connection.execute("PRAGMA journal_mode=WAL")
            self.connection.execute("PRAGMA synchronous=FULL")
            self.connection.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise UsageError(
                f"cannot use {path}: {error}; if it is damaged, delete {path.parent} and run the data stage again"
            ) from error

    def close(self) -> None:
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def propose(self, items: Iterable[tuple[Task, str] | Kernel]) -> None:
        """Add tasks with their solutions ("" for none), or kernels; what is known by its id already stays as it is."""
        rows = [_columns(item) for item in items]
        with self.transaction() as connection:
            columns = "id, kind, origin, licence, family, record, code"
            connection.executemany(f"INSERT OR IGNORE INTO records ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def finish(self, source: str) -> None:
        """A source has been read to its end."""
        self.connection.execute("INSERT OR IGNORE INTO sources VALUES (?)", (source,))

    def finished(self, source: str) -> bool:
        return bool(self.connection.execute("SELECT 1 FROM sources WHERE name = ?", (source,)).fetchone())

    def rows(self, state: State, kind: str = "%") -> Iterator[Row]:
        """In order; rows may be decided while this runs."""
        last = 0
        while True:
            query = "SELECT * FROM records WHERE state = ? AND kind LIKE ? AND seq > ? ORDER BY seq LIMIT ?"
            found = self.connection.execute(query, (state, kind, last, SLICE)).fetchall()
            if not found:
                return
            for values in found:
                yield Row(*values)
            last = found[-1][0]

    def find(self, identity: str) -> Row | None:
        """The first record whose id begins so."""
        query = "SELECT * FROM records WHERE substr(id, 1, ?) = ? ORDER BY seq LIMIT 1"
        values = self.connection.execute(query, (len(identity), identity)).fetchone()
        return None if values is None else Row(*values)

    def decide(self, seq: int, state: State, refused_by: str = "", reason: str = "", verdict: str = "") -> None:
        """Inside or outside a transaction."""
        query = "UPDATE records SET state = ?, refused_by = ?, reason = ?, verdict = ? WHERE seq = ?"
        self.connection.execute(query, (state, refused_by, reason, verdict, seq))

    def begin_run(self) -> int:
        """A number for `measured`."""
        return (
            self.connection.execute("INSERT INTO runs (judged, seconds, peak_rss_mib) VALUES (0, 0, 0)").lastrowid or 0
        )

    def measured(self, run: int, judged: int, seconds: float, peak_rss_mib: float) -> None:
        """How many tasks the run has judged so far in how long, and the most memory of its process."""
        query = "UPDATE runs SET judged = ?, seconds = ?, peak_rss_mib = ? WHERE id = ?"
        self.connection.execute(query, (judged, seconds, peak_rss_mib, run))

    def measurements(self) -> tuple[int, float, float]:
        """Tasks judged, seconds taken, and the largest peak in MiB, over all runs."""
        query = "SELECT TOTAL(judged), TOTAL(seconds), MAX(peak_rss_mib) FROM runs"
        judged, seconds, peak = self.connection.execute(query).fetchone()
        return int(judged), seconds, peak or 0.0

    def count(self, *columns: str, **where: str) -> dict[tuple[str, ...], int]:
        """Rows by the values of `columns`, among those whose columns have the values in `where`."""
        names = {"kind", "origin", "licence", "family", "state", "refused_by"}
        assert {*columns, *where} <= names
        group, condition = ", ".join(columns) or "1", " AND ".join(f"{name} = ?" for name in where) or "1"
        query = f"SELECT {group}, COUNT(*) FROM records WHERE {condition} GROUP BY {group} ORDER BY {group}"
        return {tuple(row[:-1]): row[-1] for row in self.connection.execute(query, tuple(where.values()))}


def _columns(item: tuple[Task, str] | Kernel) -> tuple[str, ...]:
    if isinstance(item, Kernel):
        source = item.source
        return item.id, "kernel", source.origin, source.licence, "", item.model_dump_json(), item.code
    task, code = item
    return task.id, "task", task.source.origin, task.source.licence, task.family, task.model_dump_json(), code
