"""`python -m personhood`: the same as the command."""

from personhood.cli import main

main()
