"""edfi-api-client reads collections of an Ed-Fi API, as its README shows, and keeps nothing."""

import sys

from edfi_api_client import EdFiClient
from told import told

url, page_size, *collections = sys.argv[1:]
api = EdFiClient(url, "bench", "bench")
rows = 0
for name in collections:
    for _ in api.resource(name).get_rows(page_size=int(page_size)):
        rows += 1
told(rows)
