"""A child process that would run for a minute, which it says on standard error."""

import sys
import time

if __name__ == "__main__":
    sys.stderr.write("asleep\n")
    sys.stderr.flush()
    time.sleep(60)
