"""`python -m mangum.runtime`."""

from mangum.runtime.main import main

main()
