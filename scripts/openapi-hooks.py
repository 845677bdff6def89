"""What schemathesis must be told of this API (https://schemathesis.readthedocs.io, "Extending")."""

import schemathesis
from hypothesis import strategies

schemathesis.openapi.format("entity-tag", strategies.integers(0, 9).map('"{}"'.format))
EMPTY = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"  # of no bytes
schemathesis.openapi.format("http-digest", strategies.just(EMPTY))


@schemathesis.serializer(
    "application/vnd.coherency.capture+tar",
    "application/vnd.coherency.model+tar",
    "application/ply",
)
def as_it_is(ctx, value):
    """Captures and packages are sent as they are: none of what is made up is one, and each must be refused."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def filter_case(ctx, case):
    """HTTP lets anybody send further headers, and a server ignores those it does not know (RFC 9110, 5.1)."""
    names = (name.lower() for name in (case.headers or {}))
    return not any(name.startswith("x-schemathesis") for name in names)
