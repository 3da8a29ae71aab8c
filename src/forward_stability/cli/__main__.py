"""``python -m forward_stability.cli``."""

import sys

from forward_stability.cli import main

sys.exit(main())
