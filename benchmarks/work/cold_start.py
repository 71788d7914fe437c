"""A function's init phase and first invocation, as a program: `python cold_start.py EVENT`, with `function.py` on the
path. It prints a line when the function is imported, and one when it has answered. It imports nothing itself."""

import sys
import time


class Context:
    """Lambda's context, as far as anybody asks."""

    aws_request_id = "5b1c9d3e-2f4a-4c6b-8d7e-9f0a1b2c3d4e"
    function_name = "hello"
    memory_limit_in_mb = "512"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:hello"
    _end = time.time() + 900

    def get_remaining_time_in_millis(self) -> int:
        return int((self._end - time.time()) * 1000)


def main() -> None:
    """One cold start."""
    from function import handler

    sys.stdout.write("imported\n")
    sys.stdout.flush()
    event = eval(sys.argv[1])  # a literal of this package's; json would be an import that no side asked for
    answer = handler(event, Context())
    sys.stdout.write(f"{answer['statusCode']} {answer['body'][:20]}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
