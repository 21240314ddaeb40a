"""The benchmarks' command line.

python -m tests.bench j10 --events 1000000      Kafka Streams and the engine on the same input, both checked
python -m tests.bench profile --events 200000   where the engine's time goes
python -m tests.bench journal                   what a journaled fact takes, and a contact with a full journal
python -m tests.bench fill --contacts 1000000   how long facts take while contacts are filled for a new definition
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.bench.j10_events import Input


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    j10 = commands.add_parser("j10", help="compare with Kafka Streams on job J10")
    _input(j10, events=1_000_000)
    j10.add_argument(
        "--out", type=Path, help="where the JSON goes (default: the benchmark's folder, named by the time)"
    )
    j10.add_argument("--only", choices=["kstreams", "engine"], help="run one system alone")
    profile = commands.add_parser("profile", help="where the engine's time goes on job J10")
    _input(profile, events=200_000)
    profile.add_argument("--top", type=int, default=25, help="how many functions to list")
    fill = commands.add_parser("fill", help="how long facts take during a fill, and its rate")
    fill.add_argument("--contacts", type=int, default=1_000_000)
    fill.add_argument("--rate", type=float, default=200.0, help="facts a second")
    journal = commands.add_parser("journal", help="bytes and time of facts in the journal")
    journal.add_argument("--events", type=int, default=100_000, help="events of job J10 (default: %(default)s)")
    journal.add_argument("--facts", type=int, default=50_000, help="of a contact with a full journal")
    args = parser.parse_args()
    if args.command == "journal":
        from tests.bench import journal as packing

        return packing.run(args.events, args.facts)
    if args.command == "fill":
        from tests.bench import fill as filler

        return filler.run(args.contacts, args.rate)
    job = Input(events=args.events, contacts=args.contacts or max(1, args.events // 10), seed=args.seed)
    if args.command == "profile":
        from tests.bench import profile as profiler

        return profiler.run(job, args.top)
    from tests.bench import job as runner

    return runner.run(job, args.out, args.only)


def _input(parser: argparse.ArgumentParser, events: int) -> None:
    parser.add_argument("--events", type=int, default=events)
    parser.add_argument("--contacts", type=int, help="default: a tenth of the events")
    parser.add_argument("--seed", type=int, default=7)


if __name__ == "__main__":
    sys.exit(main())
