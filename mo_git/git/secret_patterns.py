"""Well-known shapes of credentials, as their issuers document them."""

from __future__ import annotations

import re

# A digit and a capital letter: long names of style classes have one of them at most.
_MIXED = rb"(?=[A-Za-z_-]*[0-9])(?=[a-z0-9_-]*[A-Z])"

_PATTERNS: tuple[tuple[str, re.Pattern[bytes]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("private key", rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
        ("AWS access key id", rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
        ("GitHub token", rb"\bgh[pousr]_[A-Za-z0-9]{36,}\b"),
        ("GitHub fine-grained token", rb"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b"),
        ("GitLab token", rb"\bglpat-[A-Za-z0-9_-]{20,}"),
        ("Slack token", rb"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
        ("Anthropic key", rb"\bsk-ant-[A-Za-z0-9]+-[A-Za-z0-9_-]{20,}"),
        ("OpenAI key", rb"\bsk-(?:proj-|svcacct-|admin-)?(?!ant-)" + _MIXED + rb"[A-Za-z0-9_-]{40,}"),
        ("Google API key", rb"\bAIza[A-Za-z0-9_-]{35}\b"),
        ("Stripe live key", rb"\b[sr]k_live_[A-Za-z0-9]{20,}\b"),
        ("npm token", rb"\bnpm_[A-Za-z0-9]{36}\b"),
        ("PyPI token", rb"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}"),
    )
)


def find_secrets(text: bytes) -> list[tuple[str, int]]:
    """(name of the credential, offset) for the first match of each kind.

    Documentation writes EXAMPLE into its sample keys; those don't count.
    """
    found = []
    for name, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            if b"EXAMPLE" not in match[0].upper():
                found.append((name, match.start()))
                break
    return sorted(found, key=lambda item: item[1])
