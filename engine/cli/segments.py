"""`segment-engine segments`: definitions checked, put in force and out of it, listed, shown, brought back."""

from __future__ import annotations

from typing import Final

import click

from engine.cli.commands import Commands, Place

PLACES: Final = {
    "check": Place("engine.cli.segments_check", "check", "Say what is wrong with definitions in files."),
    "plan": Place("engine.cli.plan", "command", "What a change would do, before it is made."),
    "apply": Place("engine.cli.segments_change", "apply", "Put definitions in force, as one change."),
    "pause": Place("engine.cli.segments_change", "pause", "Freeze segments: nobody enters, few leave."),
    "resume": Place("engine.cli.segments_change", "resume", "Let paused segments go on."),
    "delete": Place("engine.cli.segments_change", "delete", "Take definitions out of force: members leave."),
    "list": Place("engine.cli.segments_reading", "list_", "The definitions in force."),
    "show": Place("engine.cli.segments_reading", "show", "One definition, who uses it and what it uses."),
    "history": Place("engine.cli.segments_reading", "history", "All versions of one definition."),
    "counts": Place("engine.cli.counts", "command", "Entered, left and members by hour or day."),
    "progress": Place("engine.cli.progress", "command", "How far the workers are with what is in force."),
    "restore": Place("engine.cli.segments_change", "restore", "Put an older version in force again."),
    "pin": Place("engine.cli.pins", "pin", "Put contacts in by hand, or keep them out."),
    "unpin": Place("engine.cli.pins", "unpin", "Leave contacts to the rule again."),
}


@click.group(cls=Commands, places=PLACES)
def command() -> None:
    """Definitions: checked, put in force and out of it, listed, shown and brought back.

    An ID is a segment's, or a model's with model: before it; of another workspace than -w says: workspace/id.
    """
