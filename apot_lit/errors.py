"""The exception for mistakes of the user."""


class UserError(Exception):
    """A mistake of the user, told in one line."""


class Interrupted(Exception):
    """Training was stopped by the user; the argument is the last checkpoint's path, or None if there is none yet."""
