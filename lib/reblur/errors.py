"""The one exception that a user is meant to read."""


class ReblurError(Exception):
    """Something a user can mend. The message is one sentence that ends in the remedy.

    The command line prints the message alone, without a traceback, and exits with status 2.
    """
