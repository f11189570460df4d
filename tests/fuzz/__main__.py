"""`python -m tests.fuzz`: the long run."""

import sys

from tests.fuzz.run import main

sys.exit(main())
