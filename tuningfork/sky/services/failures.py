"""Replies of any archive when it fails as a whole."""

import time

from tuningfork.sky import asu
from tuningfork.sky.faults import Fault
from tuningfork.sky.services.messages import Reply

_BUSY = b"<html><body>No server is available to handle this request.</body></html>"


def failure(fault: Fault) -> Reply | None:
    """The reply that takes the place of the archive's own, for faults that are whole replies."""
    if fault.name in ("500", "503", "429"):
        return Reply(int(fault.name), _BUSY, headers={} if fault.name == "500" else {"Retry-After": "1"})
    if fault.name == "429-no-retry-after":
        return Reply(429, _BUSY)
    if fault.name == "429-reset":
        again = str(int(time.time() + fault.duration) + 1)
        return Reply(429, _BUSY, headers={"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": again})
    if fault.name == "html":
        return Reply(200, b"<!DOCTYPE html><html><body>Scheduled maintenance.</body></html>\n")
    if fault.name == "vizier-error-200":
        return Reply(200, asu.error_votable(), "text/xml; charset=UTF-8")
    return None
