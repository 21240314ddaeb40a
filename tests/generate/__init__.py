"""Made-up facts for tests: `python -m tests.generate --help` writes them as JSON lines."""

from tests.generate.facts import Sent, Shape, by_topic, generate, late_contacts, wire

__all__ = ["Sent", "Shape", "by_topic", "generate", "late_contacts", "wire"]
