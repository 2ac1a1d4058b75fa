"""`moe` and `python -m moe`: the command line, once its own settings are in order."""

import sys

from .cli.streams import finish, guard


def main() -> None:
    """Run the command line; a wrong setting in the environment ends with one line and code 2."""
    guard()
    try:
        try:
            from .cli.main import main as run
        except ValueError as error:  # such as MOE_VECTOR_BYTES, which decides how kernels are built
            sys.stderr.write(f"moe: {error}\n")
            raise SystemExit(2) from error
        run()
    finally:
        finish()


if __name__ == "__main__":
    main()
