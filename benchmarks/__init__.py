"""This project beside mangum 0.22, on the same work, in one run: `python -m benchmarks`."""
