"""What the commands of `segments` share: ids on the command line, definitions as rows and as YAML, Kafka's answers."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from io import StringIO
from typing import TYPE_CHECKING, Any, Final, TypeVar

from engine.cli.errors import UserError

if TYPE_CHECKING:
    from engine.definitions import Definition, Documents
    from engine.worker.definition_log import Key, Record

T = TypeVar("T")
LISTED: Final = ("workspace", "segment", "name", "state", "version", "author", "at", "conditions")


def key_of(text: str, workspace: str) -> Key:
    """The key that ID names: `id` in this workspace, or `workspace/id`. Raises UserError for neither."""
    place, slash, name = text.rpartition("/")
    if not name or (slash and not place) or "/" in place:
        raise UserError(f"{text!r} is no id: write a segment's id, model:id of a model, or workspace/id.")
    return (place if slash else workspace), name


def ask(question: Coroutine[Any, Any, T]) -> T:
    """Kafka's answer; what went wrong is a user's error."""
    from engine.worker.definition_log import DefinitionLogError

    try:
        return asyncio.run(_told_once(question))
    except DefinitionLogError as error:
        raise UserError(str(error)) from error


async def _told_once(question: Coroutine[Any, Any, T]) -> T:
    asyncio.get_running_loop().set_exception_handler(_unless_kafka)
    return await question


def _unless_kafka(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A producer that was fenced leaves futures of its own behind that nobody asks: what they hold was told already."""
    from aiokafka.errors import KafkaError

    if not isinstance(context.get("exception"), KafkaError):
        loop.default_exception_handler(context)


def document_of(record: Record) -> Definition:
    """What a record holds. Raises UserError for what this version does not understand."""
    from engine.definitions import DefinitionErrors

    try:
        return record.document()
    except DefinitionErrors as error:
        raise UserError(
            f"{record.workspace}/{record.segment} version {record.version} is not a definition that this version of "
            f"the engine understands:\n{error}"
        ) from None


def all_of(found: Documents) -> list[Definition]:
    """Models, then segments."""
    return [*found.models, *found.segments]


def row_of(definition: Definition) -> dict[str, object]:
    """A definition in a list, its conditions in plain words."""
    from engine.definitions import Model
    from engine.definitions.describing import describe
    from engine.definitions.model import describe_model

    workspace, name = definition.key
    return {
        "workspace": workspace,
        "segment": name,
        "name": definition.name,
        "description": definition.description,
        "conditions": describe_model(definition) if isinstance(definition, Model) else describe(definition),
    }


def recorded(record: Record) -> dict[str, object]:
    """A record in a list; of a deleted definition nothing but the record is left."""
    about: dict[str, object] = {
        "state": record.state,
        "version": record.version,
        "author": record.author,
        "at": record.at,
        "note": record.note,
    }
    if record.definition is None:
        return {"workspace": record.workspace, "segment": record.segment, **about}
    return row_of(document_of(record)) | about


def seen(
    rows: Iterable[dict[str, object]], known: Iterable[Definition], agent: str | None
) -> Iterator[dict[str, object]]:
    """The rows that an agent may see, of definitions that are all in force: not what is hidden from it, nor what was
    deleted, of which nobody knows any more whom it was hidden from; None sees all."""
    from engine.definitions import Segment
    from engine.definitions.hidden import Sight

    if agent is None:
        yield from rows
        return
    there = {each.key: each for each in known}
    sight = Sight((each for each in there.values() if isinstance(each, Segment)), agent)
    for row in rows:
        key = str(row["workspace"]), str(row["segment"])
        if key in there and sight.sees(*key):
            yield row | {"conditions": sight.words(key[0], str(row["conditions"]))}


def unknown(workspace: str, segment: str, known: Mapping[Key, object]) -> UserError:
    """That there is no such definition, and which may be meant."""
    from engine.definitions.near import near_segment

    hint = near_segment(workspace, segment, known)
    return UserError(f"There is no segment {segment!r} in workspace {workspace}. {hint}")


def as_yaml(definition: Definition) -> str:
    """The definition as its author would write it, without what is the default anyway."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 100
    yaml.allow_unicode = True
    out = StringIO()
    yaml.dump(definition.model_dump(mode="json", by_alias=True, exclude_defaults=True), out)
    return out.getvalue()


def comment(text: str) -> str:
    """Text as YAML's comment, however many lines it has; what YAML forbids in any text is escaped.

    >>> print(comment("note: a\\nb\\x07"))
    # note: a
    #   b\\x07
    """
    lines = [
        "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in line)
        for line in text.splitlines()
    ]
    return "\n".join(f"# {line}" if place == 0 else f"#   {line}" for place, line in enumerate(lines))
