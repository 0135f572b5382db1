"""Write the page of the exit codes from their table."""

import sys

from melnb.running.exits import exit_codes_page

sys.stdout.write(exit_codes_page())
