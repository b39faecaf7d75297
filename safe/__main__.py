"""`python -m safe`: the same as the console script `safe`."""

from safe.cli import main

main()
