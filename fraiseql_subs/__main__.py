"""`python -m fraiseql_subs` is the command `fraiseql-subs`."""

import sys

from .cli import main

sys.exit(main())
