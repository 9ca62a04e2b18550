"""What OpenAPI cannot say of a request, made true before it is sent."""

import uuid

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    query = case.query or {}
    # One of the two at most.
    if "max_age" in query:
        query.pop("newer_than", None)
    # Numbers in a query have no exponent.
    for name, value in query.items():
        if isinstance(value, float):
            query[name] = format(value, "f")
    if case.operation.path == "/v1/orders" and isinstance(case.body, dict):
        # A key belongs to one body.
        key = case.body.get("idempotency_key")
        if isinstance(key, str) and 0 < len(key) <= 256:
            case.body["idempotency_key"] = str(uuid.uuid4())
        # An id names an account that there is.
        case.body.pop("retailer_credentials_id", None)
