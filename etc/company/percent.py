"""A tool that is a command: how many percent of a whole a part is. Models count badly.

Its arguments come as one JSON object on standard input, its value goes to standard output; a word on standard error and
an exit status other than 0 refuse it.
"""

import json
import sys

given = json.load(sys.stdin)
if not given["whole"]:
    sys.exit("of nothing there is no percentage")
print(json.dumps(round(100 * given["part"] / given["whole"], 1)))
