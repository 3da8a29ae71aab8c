"""The one exception for input that a user can mend."""


class InputError(ValueError):
    """Something given by the user is wrong; the message says what and how to mend it.

    The command line prints the message on one line and exits with status 2. Everything else that
    is raised is a defect of this package.
    """
