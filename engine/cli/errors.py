"""What a user did wrong, or what is not as the user believes: one readable paragraph, exit code 2, no traceback."""

from __future__ import annotations


class UserError(Exception):
    """Ends the command with exit code 2 and this text, which says what is wrong and what to do next."""
