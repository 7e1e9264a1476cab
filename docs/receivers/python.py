"""Verifies a delivery of the gateway. Python 3.8 or later, nothing but the standard library.

    WEBHOOK_SECRET=… python3 python.py 'x-openclaw-signature: sha256=…' 'webhook-id: …' … < body
"""

import base64
import hashlib
import hmac
import os
import sys
import time

TOLERANCE = 300  # seconds


def verify(headers, body, secret, now):
    """Raises ValueError unless `body` (bytes, exactly as they came) was sent by whoever has `secret`, just now.

    `headers`: a dict with lower-case names. Afterwards remember headers["webhook-id"]: a repeat has the same.
    """
    # Over the body alone, with the secret as it is written.
    code = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(f"sha256={code}".encode(), headers.get("x-openclaw-signature", "").encode()):
        raise ValueError("X-OpenClaw-Signature does not match")

    # Standard Webhooks: over id, time and body, so that an old request cannot be sent again.
    timestamp = headers.get("webhook-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit()) or abs(now - int(timestamp)) > TOLERANCE:
        raise ValueError("webhook-timestamp is missing, or too far away")
    key = base64.b64decode(secret[6:] + "==") if secret.startswith("whsec_") else secret.encode()
    signed = f"{headers.get('webhook-id', '')}.{timestamp}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    # While a secret is rotated there is one signature for each of two.
    offered = headers.get("webhook-signature", "").encode().split(b" ")
    if not any([hmac.compare_digest(expected, one) for one in offered]):
        raise ValueError("webhook-signature does not match")


if __name__ == "__main__":
    pairs = (argument.split(":", 1) for argument in sys.argv[1:])
    try:
        verify(
            {name.strip().lower(): value.strip() for name, value in pairs},
            sys.stdin.buffer.read(),
            os.environ["WEBHOOK_SECRET"],
            time.time(),
        )
    except ValueError as error:
        sys.exit(f"refused: {error}")
    print("verified")
