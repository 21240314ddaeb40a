"""Plain words that the descriptions of conditions share."""

from __future__ import annotations

from engine.conditions.instants import DAY, HOUR, MINUTE, SECOND, Duration


def duration_words(duration: Duration) -> str:
    """A duration as people say it.

    >>> from engine.conditions.instants import parse_duration
    >>> [duration_words(parse_duration(text)) for text in ("P30D", "P1Y2M", "PT1H30M", "PT0.001S")]
    ['30 days', '1 year 2 months', '1 hour 30 minutes', '0.001 seconds']
    """
    years, months = divmod(duration.months, 12)
    days, rest = divmod(duration.millis, DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    seconds, millis = divmod(rest, SECOND)
    parts = ((years, "year"), (months, "month"), (days, "day"), (hours, "hour"), (minutes, "minute"))
    said = [f"{count} {unit}" if count == 1 else f"{count} {unit}s" for count, unit in parts if count]
    if millis:
        said.append(f"{seconds}.{millis:03d}".rstrip("0") + " seconds")
    elif seconds or not said:
        said.append("1 second" if seconds == 1 else f"{seconds} seconds")
    return " ".join(said)
