"""Whether the hub can be reached, asked once and quickly: its own client retries for half a minute.

Knows nothing of models and data sets.
"""

import os
import re
import socket
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_TIMEOUT_S = 3.0
_PROXIES = ("https_proxy", "http_proxy", "all_proxy")


def online() -> bool:
    """Whether to expect an answer of the hub. If not, this process uses what was downloaded before
    and asks no more."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    proxied = any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES)
    if proxied or _answers(constants.ENDPOINT):
        return True
    constants.HF_HUB_OFFLINE = True
    return False


def was_downloaded(data_set: str) -> bool:
    """Whether something of this data set's owner lies in a cache, so that the library may find it.

    Asked without the library, which takes half a second to import.
    """
    from huggingface_hub import constants

    prepared = Path(os.environ.get("HF_DATASETS_CACHE") or Path(constants.HF_HOME, "datasets"))
    fetched = Path(constants.HF_HUB_CACHE, f"datasets--{data_set.replace('/', '--')}")
    return fetched.is_dir() or any(prepared.glob(f"{data_set.partition('/')[0]}___*"))


@cache
def _answers(endpoint: str) -> bool:
    parts = urlsplit(endpoint)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=_TIMEOUT_S).close()
    except OSError:
        return False
    return True
