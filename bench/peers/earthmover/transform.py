"""earthmover turns a OneRoster CSV package into Ed-Fi students, sections and section associations as JSON lines."""

import json
import sys
from pathlib import Path

from earthmover.__main__ import main
from told import told

HERE = Path(__file__).parent
(package,) = sys.argv[1:]
output = Path.cwd()  # earthmover goes to the folder of its configuration
params = {"PACKAGE": package, "OUTPUT": str(output), "TEMPLATES": str(HERE)}
sys.argv = ["earthmover", "run", "-c", str(HERE / "earthmover.yaml"), "-f", "-k", "-p", json.dumps(params)]
main()
told(sum(path.read_bytes().count(b"\n") for path in output.glob("*.jsonl")))
