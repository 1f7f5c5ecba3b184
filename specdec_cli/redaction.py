"""Passwords and tokens, out of what is printed: in addresses, and wherever the environment's are repeated."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote, urlsplit

HIDDEN = "***"
# A password that was pasted as it is may hold slashes: rather too much is hidden than too little.
IN_ADDRESS = re.compile(r"(\b[a-z][a-z0-9+.-]*://)(?:[^\s'\"]*:[^\s'\"]*|[^\s/?#]*)@", re.IGNORECASE)
IN_QUERY = re.compile(
    r"([?&](?:access_token|api_?key|auth|key|password|passwd|secret|sig|signature|token)=)[^&#\s'\"]+",
    re.IGNORECASE,
)
IN_HEADER = re.compile(r"(authorization['\"]?\s*[:=]\s*['\"]?(?:basic|bearer)?\s*)[^\s'\",]+", re.IGNORECASE)
TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")
SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|PASSWORD|PASSWD|SECRET|(?:API|ACCESS|SECRET)_?KEY)$", re.IGNORECASE
)
SHORTEST = 6  # of a secret that is looked for as it is: a shorter one would be found in words


def redacted(text: str) -> str:
    """The text with stars for what nobody else should read."""
    for secret in _secrets():
        text = text.replace(secret, HIDDEN)
    text = IN_ADDRESS.sub(rf"\g<1>{HIDDEN}@", text)
    text = IN_QUERY.sub(rf"\g<1>{HIDDEN}", text)
    text = IN_HEADER.sub(rf"\g<1>{HIDDEN}", text)
    return TOKEN.sub(HIDDEN, text)


def _secrets() -> list[str]:
    """The environment's tokens, and the passwords in its addresses, as they stand there and decoded."""
    found: set[str] = set()
    for name, value in os.environ.items():
        if SECRET_NAME.search(name):
            found.add(value)
        if "://" in value and "@" in value:
            found |= {each for part in value.split() for each in _passwords(part)}
    return sorted((each for each in found if len(each) >= SHORTEST), key=len, reverse=True)


def _passwords(address: str) -> set[str]:
    try:
        password = urlsplit(address).password
    except ValueError:
        return set()
    return {password, unquote(password)} if password else set()
