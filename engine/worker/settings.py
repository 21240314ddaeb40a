"""The settings of a worker and of the command line: one list of names, four places, one order of precedence.

A flag wins over the environment (`SEGMENT_ENGINE_…`), that over the file given by `--config` (TOML or YAML with the
same names, any case), that over the default. Durations are ISO 8601 outside, integer milliseconds inside; sizes bytes.
"""

from __future__ import annotations

import difflib
import os
import re
import socket
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from engine.conditions.instants import DAY, HOUR, MINUTE, SECOND, Duration, parse_duration
from engine.conditions.paths import parse_path

PREFIX: Final = "SEGMENT_ENGINE_"
MIB: Final = 1 << 20
CONFIG_BYTES_MAX: Final = MIB
"""Longest settings file that is read."""

_BROKERS = re.compile(r"[^\s,:]+:\d{1,5}(,[^\s,:]+:\d{1,5})*")
_GROUP = re.compile(r"[A-Za-z0-9._-]{1,200}", re.ASCII)
_MEMBER = re.compile(r"[A-Za-z0-9._-]{0,200}", re.ASCII)
_HOST = re.compile(r"[^\s/]{1,255}")
_URL = re.compile(r"(https?://[^\s/]+)?")
_SWITCHES = {"on": True, "off": False, "true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


class SettingsError(ValueError):
    """A setting or the settings file is not usable. The text is one readable paragraph that names the variable."""


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value if isinstance(value, int) and not isinstance(value, bool) else _refuse(value)
    duration = parse_duration(value)
    if duration.months:
        raise ValueError(f"{value!r} has months or years, whose length varies")
    return duration.millis


def _refuse(value: object) -> object:
    raise ValueError(f"{value!r} is not an ISO 8601 duration such as P30D, PT2H or PT1S")


def _switch(value: object) -> object:
    if isinstance(value, str) and value.lower() in _SWITCHES:
        return _SWITCHES[value.lower()]
    return value


def _names(value: object) -> object:
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return tuple(value) if isinstance(value, list) else value


def _properties(value: object) -> object:
    return () if isinstance(value, str) and value.strip().lower() == "off" else _names(value)


def _paths(properties: tuple[str, ...]) -> tuple[str, ...]:
    for each in properties:
        parse_path(each)
    return properties


def _matches(pattern: re.Pattern[str], wanted: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"{value!r} is not {wanted}")
        return value

    return AfterValidator(check)


def _different(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError("a topic is named twice")
    return names


_OWN: Final = f"any-{os.urandom(6).hex()}"
"""In place of a port that is not chosen yet: two workers of one host must not have the same member id."""


def _shown(millis: int) -> str:
    return str(Duration(0, millis))


def _span(default: int, least: int, most: int, description: str) -> Any:
    """A field of milliseconds whose bounds are shown as durations."""
    return Field(
        default,
        ge=least,
        le=most,
        description=description,
        json_schema_extra={"allowed": f"a duration from {_shown(least)} to {_shown(most)}, such as {_shown(default)}"},
    )


def _number(default: int, least: int, most: int, description: str) -> Any:
    return Field(
        default,
        ge=least,
        le=most,
        description=description,
        json_schema_extra={"allowed": f"a whole number from {least} to {most}"},
    )


def _text(default: str, description: str, allowed: str) -> Any:
    return Field(default, max_length=4096, description=description, json_schema_extra={"allowed": allowed})


Millis = Annotated[int, BeforeValidator(_duration)]
Switch = Annotated[bool, BeforeValidator(_switch)]


class Settings(BaseModel):
    """Every setting with its default and bounds; immutable.

    Spans of time are milliseconds, sizes bytes. `Settings.load` reads them; `Settings(...)` takes values directly and
    raises pydantic's ValidationError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    brokers: Annotated[str, _matches(_BROKERS, "a list of host:port")] = _text(
        "127.0.0.1:9092", "Kafka bootstrap servers", "host:port, several with commas between them"
    )
    group: Annotated[str, _matches(_GROUP, "a group name")] = _text(
        "segment-engine",
        "consumer group; part of the names of changelog, journal and transactions",
        "1 to 200 letters, digits, '.', '_' or '-'",
    )
    data_dir: Path = Field(
        default=Path(".segment-engine"),
        description="folder of the local stores; a cache that may be lost",
        json_schema_extra={"allowed": "a folder"},
    )
    input_topics: Annotated[tuple[str, ...], BeforeValidator(_names), AfterValidator(_different)] = Field(
        default=("events.clicks", "events.purchases", "events.opt-outs", "events.messages", "events.contacts"),
        min_length=1,
        max_length=64,
        description="topics that facts are read from",
        json_schema_extra={"allowed": "1 to 64 different topics with commas between them"},
    )
    partitions: int = _number(4, 1, 4096, "partitions of every input topic, and of what is kept by contact")
    clock: Literal["wall", "events"] = Field(
        default="wall",
        description="whether partition clocks follow the wall when caught up, or only the events",
        json_schema_extra={"allowed": "wall or events"},
    )
    grace: Millis = _span(SECOND, 0, HOUR, "how far a partition clock stays behind, for facts in transit")
    skew: Millis = _span(5 * MINUTE, 0, DAY, "how far ahead of its arrival a fact's instant may be")
    dedup: Millis = _span(7 * DAY, MINUTE, 400 * DAY, "how long an id is remembered")
    journal_retention: Millis = _span(
        400 * DAY, DAY, 3660 * DAY, "how long a contact's facts are kept, by their instants"
    )
    journal_facts: int = _number(50_000, 1_000, 200_000, "facts kept of a contact, the last that were taken")
    journal_bytes: int = _number(64 * MIB, MIB, 1 << 32, "bytes of facts kept of a contact, before they are packed")

    counts_retention: Millis = _span(
        400 * DAY, DAY, 3660 * DAY, "how long entered and left are kept by the hour; sizes stay right after it"
    )
    source: Annotated[tuple[str, ...], BeforeValidator(_properties), AfterValidator(_paths)] = Field(
        default=("utm_source",),
        max_length=8,
        description="properties that tell where a contact first came from; of one fact the first that is there",
        json_schema_extra={"allowed": "1 to 8 properties with commas between them, or off"},
    )

    http_host: Annotated[str, _matches(_HOST, "a host")] = _text(
        "127.0.0.1", "address that the HTTP interface listens on", "a host name or an address"
    )
    http_port: int = _number(6066, 0, 65535, "port of the HTTP interface; 0 takes a free one")
    worker_id: Annotated[str, _matches(_MEMBER, "a member id")] = _text(
        "", "static member id; default: host name and port", "up to 200 letters, digits, '.', '_', '-'"
    )
    advertised_url: Annotated[str, _matches(_URL, "a URL")] = _text(
        "",
        "where other workers reach this one's HTTP interface; default: http://host:port",
        "http://host:port or https://host:port",
    )

    segment_topics: Switch = Field(
        default=True,
        description="one topic a segment beside segments.transitions",
        json_schema_extra={"allowed": "on or off"},
    )
    segment_topic_retention: Millis = _span(
        7 * DAY, 0, 3660 * DAY, "how long the topic of a segment without one stays, from its last transition on"
    )
    members_topic: Switch = Field(
        default=True, description="keep segments.members", json_schema_extra={"allowed": "on or off"}
    )
    segment_topics_max: int = _number(1_000, 0, 10_000, "topics of single segments; apply refuses the next")
    segment_topic_partitions: int = _number(1, 1, 64, "partitions of the topic of a single segment")
    replication: int = _number(0, 0, 15, "copies of each new topic; 0: three, or as many as there are brokers")

    batch_records: int = _number(8_000, 1, 100_000, "records of one commit of a partition")
    batch_bytes: int = _number(16 * MIB, 64 * 1024, 256 * MIB, "bytes of records of one commit of a partition")
    batch_time: Millis = _span(
        200, 0, 10 * SECOND, "longest time that computing one commit may take before it is closed"
    )
    batch_deadlines: int = _number(4_000, 1, 100_000, "contacts whose deadlines fire in one commit of a partition")
    fill_share: int = _number(
        50, 1, 90, "percent of a worker's computing that fills and plans may take while events go on"
    )
    fetch_bytes: int = _number(8 * MIB, MIB, 256 * MIB, "bytes fetched ahead of a partition of an input")
    cache_bytes: int = _number(512 * MIB, MIB, 1 << 40, "decoded states held in memory by a worker")
    store_cache_bytes: int = _number(64 * MIB, MIB, 1 << 36, "block cache shared by the stores of a worker")
    max_event_bytes: int = _number(256 * 1024, 1024, 1_000_000, "longest event; a longer one is a dead letter")

    session_timeout: Millis = _span(10 * SECOND, SECOND, 30 * MINUTE, "silence after which a worker's partitions move")
    poll_timeout: Millis = _span(
        5 * MINUTE, 10 * SECOND, HOUR, "longest time between two reads before a worker gives up"
    )
    request_timeout: Millis = _span(30 * SECOND, SECOND, 10 * MINUTE, "longest wait for one answer of Kafka")
    transaction_timeout: Millis = _span(
        MINUTE, 5 * SECOND, 15 * MINUTE, "age at which Kafka aborts an open transaction"
    )
    commit_timeout: Millis = _span(
        30 * SECOND, SECOND, 10 * MINUTE, "longest wait for a commit before it counts as unknown"
    )
    shutdown_timeout: Millis = _span(
        20 * SECOND, SECOND, 10 * MINUTE, "longest time to finish the commits in hand on SIGTERM"
    )
    restore_records: int = _number(10_000, 1, 1_000_000, "records applied to a store in one write while restoring")
    restore_partitions: int = _number(2, 1, 64, "partitions restored side by side")
    definitions_max: int = _number(10_000, 1, 100_000, "active segments")

    @property
    def member(self) -> str:
        """The static member id: `worker_id`, or host name and port; without a port, a number of this process."""
        place = str(self.http_port) if self.http_port else _OWN
        return self.worker_id or f"{re.sub('[^A-Za-z0-9._-]', '-', socket.gethostname())}-{place}"

    @property
    def url(self) -> str:
        """Where this worker's HTTP interface is reached: `advertised_url`, or http://host:port."""
        return self.advertised_url or f"http://{self.http_host}:{self.http_port}"

    @classmethod
    def load(
        cls,
        config: Path | None = None,
        flags: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Reads the settings: flag (None: not given) > environment > file > default.

        `environment` is the process's own unless given; `SEGMENT_ENGINE_CONFIG` names the file when `config` is None.
        Raises SettingsError.
        """
        environment = os.environ if environment is None else environment
        if config is None and environment.get(f"{PREFIX}CONFIG"):
            config = Path(environment[f"{PREFIX}CONFIG"])
        values: dict[str, object] = {}
        sources: dict[str, str] = {}
        given = [
            *((name, value, f"{name.upper()} in {config}") for name, value in _from_file(cls, config)),
            *((name, value, f"{PREFIX}{name.upper()}") for name, value in _from_environment(cls, environment)),
            *((n, v, f"--{n.replace('_', '-')}") for n, v in (flags or {}).items() if v is not None),
        ]
        for name, value, source in given:
            values[name], sources[name] = value, source
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError(" ".join(_sentences(cls, error, values, sources))) from None


def describe(settings: type[Settings] = Settings) -> Iterator[tuple[str, str, str, str]]:
    """(variable, default, allowed, description) of every setting, as people write them."""
    for name, field in settings.model_fields.items():
        yield f"{PREFIX}{name.upper()}", _default(field), _allowed(field), field.description or ""


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(value)
    return _shown(value) if _allowed(field).startswith("a duration") else str(value)


def _allowed(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra["allowed"]) if isinstance(extra, dict) else "any text"


def _sentences(
    cls: type[Settings], error: ValidationError, values: Mapping[str, object], sources: Mapping[str, str]
) -> Iterator[str]:
    for problem in error.errors():
        name = str(problem["loc"][0])
        field = cls.model_fields.get(name)
        if field is None:  # a flag that a command made up
            yield f"{sources.get(name, name)} is no setting.{_nearest(cls, name)}"
            continue
        value = values.get(name, problem["input"])  # as it was written
        shown = value if isinstance(value, str | int | float) else repr(value)
        yield f"{sources.get(name, name)} cannot be {str(shown)[:200]!r}: allowed is {_allowed(field)}."


def _nearest(cls: type[Settings], name: str) -> str:
    near = difflib.get_close_matches(name, cls.model_fields, n=1)
    return f" Did you mean {near[0].upper()}?" if near else ""


def _from_environment(cls: type[Settings], environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Names and values of the settings there; an empty value is none, as compose files write it.

    Names that are no setting are passed over (Kubernetes puts SEGMENT_ENGINE_SERVICE_HOST and the like there), unless
    they are so near to one that they must be misspelt.
    """
    for variable, value in environment.items():
        if not variable.startswith(PREFIX) or variable == f"{PREFIX}CONFIG":
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in cls.model_fields:
            if value:
                yield name, value
        elif near := difflib.get_close_matches(name, cls.model_fields, n=1, cutoff=0.85):
            raise SettingsError(f"{variable} is no setting. Did you mean {PREFIX}{near[0].upper()}?")


def _from_file(cls: type[Settings], config: Path | None) -> Iterator[tuple[str, object]]:
    if config is None:
        return
    for key, value in _document(config).items():
        name = str(key).lower().removeprefix(PREFIX.lower()).replace("-", "_")
        if name not in cls.model_fields:
            raise SettingsError(f"{key} in {config} is no setting.{_nearest(cls, name)}")
        # A bare number could be seconds or milliseconds to the reader: spelt out or refused.
        span = _allowed(cls.model_fields[name]).startswith("a duration") and isinstance(value, int)
        yield name, str(value) if span else value


def _document(config: Path) -> Mapping[object, object]:
    try:
        raw = config.read_bytes()
    except OSError as error:
        raise SettingsError(f"The settings file {config} cannot be read: {error.strerror}.") from None
    if len(raw) > CONFIG_BYTES_MAX:
        raise SettingsError(f"The settings file {config} is longer than {CONFIG_BYTES_MAX} bytes.")
    try:
        document = _parse(config.suffix.lower(), raw)
    except ValueError as error:
        raise SettingsError(f"The settings file {config} is not readable: {' '.join(str(error).split())}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise SettingsError(f"The settings file {config} holds no names and values.")
    return document


def _parse(suffix: str, raw: bytes) -> object:
    """The document of a file; raises ValueError (a UnicodeDecodeError and TOMLDecodeError are such)."""
    text = raw.decode()
    if suffix == ".toml":
        return tomllib.loads(text)
    if suffix in {".yaml", ".yml", ".json"}:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        try:
            return YAML(typ="safe", pure=True).load(text)
        except YAMLError as error:
            raise ValueError(str(error)) from None
    raise ValueError("its name must end with .toml, .yaml, .yml or .json")
