# Bodies of media types that schemathesis has no writer for: bytes as they are, everything else as its JSON: no CBOR of ours, to be refused.
import json

import schemathesis


@schemathesis.serializer("application/cbor")
def cbor(ctx, value):
    if isinstance(value, bytes):
        return value
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else json.dumps(value, default=str).encode()
