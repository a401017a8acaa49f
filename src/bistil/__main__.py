"""`python -m bistil`, as `torchrun` starts it."""

import sys

from bistil.cli import main

sys.exit(main())
