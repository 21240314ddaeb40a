"""What a worker tells Prometheus: updated once a batch, never once an event. No label grows with contacts."""

from __future__ import annotations

import contextlib
from collections import Counter as Counted
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from engine.membership.batch import Batch

COMMIT_SECONDS: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0)
"""A small commit on one idle broker takes about 0.02 s."""


class Letter(Protocol):
    """A dead letter, by its reason."""

    @property
    def reason(self) -> str: ...


class Metrics:
    """All metrics of one worker, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        to = self.registry
        self.facts = Counter("segment_engine_facts", "Facts taken and committed", registry=to)
        self.transitions = Counter(
            "segment_engine_transitions", "Transitions committed", ("change", "cause"), registry=to
        )
        self.deadlines = Counter("segment_engine_deadlines", "Deadlines that fired", registry=to)
        self.duplicates = Counter("segment_engine_duplicates", "Facts ignored as duplicates", registry=to)
        self.unmet = Counter(
            "segment_engine_unmet_retractions",
            "Retractions of facts that have not come, or that the journal no longer holds",
            registry=to,
        )
        self.unplaced = Counter(
            "segment_engine_unplaced_facts",
            "Late facts that conditions on the order of facts are without, the journal no longer holding what was then",
            registry=to,
        )
        self.erased = Counter(
            "segment_engine_erased_facts",
            "Facts ignored, their contact being erased at their instant or later",
            registry=to,
        )
        self.late = Counter("segment_engine_late_facts", "Facts before the as-of of their contact", registry=to)
        self.dead_letters = Counter(
            "segment_engine_dead_letters", "Records sent to the dead-letter topic", ("reason",), registry=to
        )
        self.forwarded = Counter("segment_engine_forwarded", "Facts sent on to their right partition", registry=to)
        self.fanned_out = Counter("segment_engine_fanned_out", "Transitions copied to topics of segments", registry=to)
        self.commits = Histogram(
            "segment_engine_commit_seconds", "Time of a transaction", buckets=COMMIT_SECONDS, registry=to
        )
        self.aborts = Counter("segment_engine_aborts", "Commits given up, their outcome read back", registry=to)
        self.lag_seconds = Gauge(
            "segment_engine_lag_seconds",
            "Age of the oldest record read and not committed, by its arrival",
            ("partition",),
            registry=to,
        )
        self.lag_records = Gauge(
            "segment_engine_lag_records", "Records on the broker and not committed", ("partition",), registry=to
        )
        self.clock = Gauge(
            "segment_engine_clock_timestamp_seconds", "Partition clock, as a Unix time", ("partition",), registry=to
        )
        self.restore = Gauge(
            "segment_engine_restore_progress_ratio", "Share of the restore done", ("partition",), registry=to
        )
        self.fill = Gauge(
            "segment_engine_fill_pending",
            "1 while contacts are being filled for new definitions",
            ("partition",),
            registry=to,
        )
        self.fill_progress = Gauge(
            "segment_engine_fill_progress_ratio",
            "Share of the contacts that the present definitions have reached",
            ("partition",),
            registry=to,
        )
        self.filled = Counter(
            "segment_engine_filled_contacts", "Contacts brought up to changed definitions by fills", registry=to
        )
        self.lost = Counter(
            "segment_engine_lost_records", "Records that retention removed before they were read", registry=to
        )
        self.contacts = Gauge("segment_engine_cached_contacts", "Contacts held in memory", ("partition",), registry=to)
        self.skew = Gauge("segment_engine_clock_skew_seconds", "Wall clock less the broker's append time", registry=to)
        self.ready = Gauge("segment_engine_ready", "1 when every owned partition runs", registry=to)
        Info("segment_engine_build", "Version of the engine", registry=to).info({"version": engine_version()})

    def count(self, batch: Batch, letters: Sequence[Letter], forwarded: int, seconds: float) -> None:
        """Adds what one committed batch did."""
        self.commits.observe(seconds)
        self.facts.inc(batch.facts)
        self.deadlines.inc(batch.deadlines)
        self.duplicates.inc(batch.duplicates)
        self.late.inc(batch.late)
        self.erased.inc(batch.erased)
        self.unmet.inc(batch.unmet)
        self.unplaced.inc(batch.unplaced)
        self.forwarded.inc(forwarded)
        for reason, count in Counted(letter.reason for letter in letters).items():
            self.dead_letters.labels(reason).inc(count)
        for (change, cause), count in Counted((t.change, t.cause_kind) for t in batch.transitions).items():
            self.transitions.labels(change, cause).inc(count)

    def forget(self, number: int) -> None:
        """Drops what is told of a partition that is no longer owned."""
        of_fill = (self.fill, self.fill_progress)
        for gauge in (self.lag_seconds, self.lag_records, self.clock, self.restore, *of_fill, self.contacts):
            with contextlib.suppress(KeyError):  # nothing was told of it
                gauge.remove(str(number))


def engine_version() -> str:
    """The installed version of the engine, `unknown` when it runs from source."""
    try:
        return version("segment-engine")
    except PackageNotFoundError:
        return "unknown"
