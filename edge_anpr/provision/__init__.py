"""Who may speak to the broker: a certificate authority of one's own, and what it issued and took back."""

CERTIFICATE_DAYS = 825
"""How long a certificate is good, unless somebody says otherwise."""
