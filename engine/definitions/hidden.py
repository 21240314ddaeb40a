"""What an agent may see of segments: `hidden_from` names those from whom a segment is hidden (DESIGN.md 5).

Whoever it is hidden from meets it nowhere: not in lists, not by its id, not as a hint, and not in the words of another
segment that nests it, which says there that it nests a hidden one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from engine.conditions.in_segment import InSegment
from engine.definitions.document import Segment
from engine.definitions.near import near_segment

SAID: Final = "is in a hidden segment"
"""Instead of `in_segment` in plain words."""
MASK: Final = "(hidden)"
"""Instead of an id in a definition; no segment's id looks so."""
_NEVER: Final = re.compile(r"(?!)")


class Sight:
    """What one agent sees of these segments, all that are in force; None is nobody in particular, who sees all.

    >>> from engine.definitions import parse_segment
    >>> vip = parse_segment("segment: vip\\nhidden_from: [agent-7]\\nwhen: {tags: {any: vip}}")
    >>> seven = Sight([vip], "agent-7")
    >>> seven.sees("default", "vip"), Sight([vip], None).sees("default", "vip")
    (False, True)
    >>> seven.words("default", "is in the segment vip; not (is in the segment vip-2)")
    'is in a hidden segment; not (is in the segment vip-2)'
    """

    def __init__(self, segments: Iterable[Segment], agent: str | None) -> None:
        self._agent = agent
        known = list(segments)
        hidden = [each for each in known if agent is not None and agent in each.hidden_from]
        self._hidden = {each.key for each in hidden}
        self._seen = {each.key for each in known} - self._hidden
        self._patterns = {workspace: _naming(hidden, workspace) for workspace in {each.workspace for each in hidden}}

    @property
    def hides(self) -> bool:
        """Whether there is anything that this agent does not see."""
        return bool(self._hidden)

    def sees(self, workspace: str, segment: str) -> bool:
        """Whether this segment, known or not, is not hidden from the agent."""
        return (workspace, segment) not in self._hidden

    def knows(self, workspace: str, segment: str) -> bool:
        """Whether the agent may be told of this segment: it is there and not hidden. Who sees all knows all."""
        return self._agent is None or (workspace, segment) in self._seen

    def unknown(self, workspace: str, segment: str) -> str:
        """The sentences for a segment that is not there or is hidden, which are not to be told apart."""
        near = near_segment(workspace, segment, self._seen)
        return f"There is no segment {segment!r} in workspace {workspace}. {near}"

    def words(self, workspace: str, text: str) -> str:
        """Plain words of a condition, without the ids of hidden segments."""
        return self._patterns.get(workspace, _NEVER).sub(SAID, text)

    def document(self, workspace: str, part: Any) -> Any:
        """A definition in canonical form, without the ids of hidden segments; a copy where there are any."""
        if isinstance(part, list):
            return [self.document(workspace, each) for each in part]
        if not isinstance(part, dict):
            return part
        return {
            name: MASK
            if name == "in_segment" and not self.sees(workspace, str(each))
            else self.document(workspace, each)
            for name, each in part.items()
        }


def _naming(hidden: Iterable[Segment], workspace: str) -> re.Pattern[str]:
    """What names one of these segments in plain words."""
    said = [InSegment(in_segment=each.segment).describe() for each in hidden if each.workspace == workspace]
    return re.compile(f"(?:{'|'.join(map(re.escape, said))})(?![a-z0-9-])")
