"""`python -m specdec_cli` is `specdec`."""

from specdec_cli.cli.app import main

main()
