"""`python -m normscape.cli`."""

from normscape.cli.main import main

main()
