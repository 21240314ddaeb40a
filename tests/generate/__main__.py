"""Writes generated facts as JSON lines in arrival order, to standard output or one file a topic.

python -m tests.generate --facts 100000 --late 0.05 --arrives > facts.jsonl
python -m tests.generate --facts 100000 --folder out        # out/events.clicks.jsonl, …
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.generate.facts import Shape, by_topic, generate, wire


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.generate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--facts", type=int, default=Shape.facts, help="records, duplicates included")
    parser.add_argument("--contacts", type=int, default=Shape.contacts)
    parser.add_argument("--seed", type=int, default=Shape.seed)
    parser.add_argument("--start", type=int, default=Shape.start, help="first instant, ms since the epoch")
    parser.add_argument("--days", type=float, default=Shape.days)
    parser.add_argument("--late", type=float, default=Shape.late, help="share that arrives out of order")
    parser.add_argument("--duplicates", type=float, default=Shape.duplicates, help="share that repeats an id")
    parser.add_argument("--same-instant", type=float, default=Shape.same_instant, help="share at the instant before")
    parser.add_argument("--outlet", type=float, default=Shape.outlet, help="share of contacts in a second workspace")
    parser.add_argument("--grace", type=int, default=Shape.grace, help="GRACE in ms, which `late` refers to")
    parser.add_argument("--arrives", action="store_true", help="write each record's arrival, as `replay` reads it")
    parser.add_argument("--folder", type=Path, help="one file a topic in this folder, not standard output")
    args = vars(parser.parse_args())
    folder: Path | None = args.pop("folder")
    arrives: bool = args.pop("arrives")
    sent = generate(Shape(**args))
    if folder is None:
        sys.stdout.buffer.writelines(wire(each, arrives=arrives) + b"\n" for each in sent)
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    for topic, records in by_topic(sent).items():
        lines = b"".join(wire(each, arrives=arrives) + b"\n" for each in records)
        (folder / f"{topic}.jsonl").write_bytes(lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
