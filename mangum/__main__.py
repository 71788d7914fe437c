"""`python -m mangum` is the `mangum` command."""

from mangum.cli import main

main()
