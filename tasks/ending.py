"""How the processes that work for a run end.

run_and_end(main)     # calls main(sys.argv[1])
"""

import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn


def run_and_end(main: Callable[[str], int]) -> NoReturn:
    """Call `main` with the command line's argument and end this process with what it returns.

    It ends at once: Python would take a second to tear down what it has imported, and among several
    processes a thread of torch's can wait for Python meanwhile and Python for that thread, forever
    (pytorch issues 75097 and 190489). So can torchrun, where a signal ends it as it starts others.
    """
    code = 1
    try:
        code = main(sys.argv[1])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
