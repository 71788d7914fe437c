"""A Lambda runtime on one event loop: `python -m mangum.runtime module:handler`.

It speaks the Lambda Runtime API itself: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""
