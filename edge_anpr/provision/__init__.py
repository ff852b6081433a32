"""Who may speak to the broker: a certificate authority of one's own, and what it issued and took back."""
