"""Write the page of the checks from their list: `python docs/checks.py > docs/checks.md`."""

import sys

from melnb.data.synthetic.faults import faults_table
from melnb.tables.findings import checks_page

sys.stdout.write(checks_page(faults_table()))
