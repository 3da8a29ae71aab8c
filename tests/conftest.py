"""Settings that all tests share."""

import os

# Tests see what a reader's kernel sees; those of pages set the variable themselves.
os.environ.pop("FORWARD_STABILITY_PAGE", None)
