"""`python -m fraiseql_subs` is the command `fraiseql-subs`."""

import sys

from .commands.main import main

sys.exit(main())
