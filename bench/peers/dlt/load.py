"""dlt loads collections of an Ed-Fi API into PostgreSQL with its declarative REST source and default settings."""

import os
import sys

import dlt
from dlt.sources.rest_api import rest_api_source
from told import told

url, page_size, *collections = sys.argv[1:]
source = rest_api_source(
    {
        "client": {
            "base_url": f"{url}/data/v3/ed-fi/",
            "auth": {
                "type": "oauth2_client_credentials",
                "access_token_url": f"{url}/oauth/token",
                "client_id": "bench",
                "client_secret": "bench",
            },
            "paginator": {"type": "header_cursor", "cursor_key": "Next-Page-Token", "cursor_param": "pageToken"},
        },
        "resource_defaults": {
            "primary_key": "id",
            "write_disposition": "replace",
            "endpoint": {"params": {"pageSize": int(page_size)}},
        },
        "resources": collections,
    }
)
pipeline = dlt.pipeline(
    "bench",
    destination=dlt.destinations.postgres(os.environ["BENCH_DATABASE"]),
    dataset_name=os.environ["BENCH_DATASET"],
    pipelines_dir=".",
)
pipeline.run(source)
counts = pipeline.last_trace.last_normalize_info.row_counts
told(sum(count for table, count in counts.items() if "__" not in table and not table.startswith("_")))
