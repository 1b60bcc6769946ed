"""lightbeam writes a file of JSON lines to an Ed-Fi API: its `send` command, 8 requests at once, as it comes."""

import sys
from pathlib import Path

import yaml
from lightbeam.__main__ import main
from told import told

url, lines = sys.argv[1:]
resource = Path(lines).stem
Path("lightbeam.yaml").write_text(
    yaml.safe_dump(
        {
            "data_dir": str(Path(lines).parent),
            "edfi_api": {"base_url": url, "mode": None, "client_id": "bench", "client_secret": "bench"},
            "connection": {"pool_size": 8, "verify_ssl": False},
        }
    )
)
sys.argv = ["lightbeam", "send", "-s", resource]
main()
told(Path(lines).read_bytes().count(b"\n"))
