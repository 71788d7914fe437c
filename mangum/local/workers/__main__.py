"""The process of a worker, which the gateway starts."""

from mangum.local.workers.runtime import main

main()
