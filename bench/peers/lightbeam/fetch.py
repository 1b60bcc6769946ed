"""lightbeam reads collections of an Ed-Fi API into files of JSON lines: its `fetch` command, 16 requests at once."""

import sys
from pathlib import Path

import yaml
from lightbeam.__main__ import main
from told import told

url, page_size, *collections = sys.argv[1:]
Path("lightbeam.yaml").write_text(
    yaml.safe_dump(
        {
            "data_dir": ".",
            "edfi_api": {"base_url": url, "mode": None, "client_id": "bench", "client_secret": "bench"},
            "connection": {"pool_size": 16, "verify_ssl": False},
            "fetch": {"page_size": int(page_size)},
        }
    )
)
sys.argv = ["lightbeam", "fetch", "-s", ",".join(collections)]
main()
told(sum(Path(f"{name}.jsonl").read_bytes().count(b"\n") for name in collections))
