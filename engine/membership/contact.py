"""The contact's state, for those above: it lives beside the conditions, which read it."""

from engine.conditions.contact import NEVER_ERASED, NO_AS_OF, SEQUENCE, SINCE, UNTIL, Contact

__all__ = ["NEVER_ERASED", "NO_AS_OF", "SEQUENCE", "SINCE", "UNTIL", "Contact"]
