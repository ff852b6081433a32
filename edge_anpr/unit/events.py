"""The events that a technician meets in the journal, and the MESSAGE_ID of each.

``journalctl -x`` finds by it what happened and what to do, in systemd/edge-anpr.catalog and edge-anpr.nl.catalog. An
id is made once (``systemd-id128 new``) and never changes; alarms have events of their code.
"""

from __future__ import annotations

from collections.abc import Mapping

MESSAGE_IDS = {
    # The list, and whether plates are read.
    "armed": "a6cc88c434cd425a9d8ee28ed8cfc221",
    "disarmed": "c43726e83aaa41b7a24388b2d881c19e",
    "list-refused": "bf7dba6396794f30a76711b05e43e299",
    "list-unsigned": "fd8afcda91cf4892aca67385d8525f5b",
    "breaker": "a8496e4faed142759ed1acaebc5853ab",
    # Camera and recogniser.
    "camera-lost": "268e43b43fd84cdfa06fb993ba3042ad",
    "camera-frozen": "5b0f3a86c2d94f3b8a5c17e6d0a94e21",
    "camera-back": "9bded34a334543d4871abae34b228f0c",
    "worker-hangs": "f165f97cfb214c23b8fd2351975e30fd",
    "hot": "e59737af349444c4b0c1045a2f14b1fa",
    "undervoltage": "7200f1688aff45e9ab90e692385393fb",
    "may-swap": "0a3c9c18fe2e43a79c36201b43a09e85",
    # The outbox.
    "hits-refused": "f60175eb346e481c957c2f0fc0db034b",
    "outbox-damaged": "1f53e4763bc14717962c17b0e2df9155",
    "outbox-not-writable": "bd9d8813187d4535a22d9b7533ae3407",
    "outbox-expired": "904636575bbc430a8f383c6993c22823",
    "outbox-filling": "0d7c675a8cf240d9b4c5d30e12fa2192",
    "outbox-drained": "8770f3588b3449f1a640e12a6e415526",
    # What the control room sends, or does not.
    "nobody-listens": "e197f4e7192d4b9ab02d2a3f7cbc9363",
    "no-receipts": "9e7a48fc247c47b2ba53f1893c81a121",
    "receipt-refused": "642145f0aacb4712926072530f851cf9",
    "retained-receipt": "41f177f76ca345a59f90ae1583d95730",
    "not-taken-in": "dc8671e5259d4b9487ae3d7f2ad41097",
    # The broker and the way to it.
    "broker-connected": "adc25b64637d4e43a6673a499acd406a",
    "broker-lost": "5105944ad0f5473299ba745295870340",
    "hits-not-authorised": "6e2f5128fa4e4253a0834e6753bb8221",
    "too-large": "ddf62c1bff004e91a23525a7ae362e69",
    "not-authorised": "6ad22641a1d24929920d34812d360d1a",
    "name-taken": "76645ab1467f4602b174af9d8784129e",
    "unsteady": "132d0e832f3445bd8259f584ddede01f",
    "broker-moved": "3905b04292b34372a9672ca525937986",
    "broker-tls": "0a47ebd322394c36bbbe1e6f209a1996",
    "broker-unknown": "79164d94bf4d4eafbfad054478783528",
    "broker-expired": "55807cf9ecc74cf1a94a0dd642002729",
    "clock": "2f9d44fa9e0744a1bebfd90d736aaaed",
    "certificate-refused": "365ca1c877314fd9bfe13412d12ef27f",
    # Our own certificate.
    "certificate-expires": "7ea2928e30a34842a23a6317baf2605d",
    "certificate-expired": "8d024ec11c5e4c6b87d78d008722e713",
    "certificate-unusable": "2192acd981784160b264c5abad484bef",
    # Of every kind.
    "over": "18e961782ef14aedac67dbc323a5d65d",
    "hour": "a426a8d36dba45a1adffe7f9920d18cb",
    "stopped": "0975f034947742c2afbdc128bc70aada",
}
# The entry of whatever is over, once it is.
_OVER = "over"


def event(code: str, fields: Mapping[str, str | int] | None = None, *, over: bool = False) -> dict[str, object]:
    """For ``extra=`` of a log call: what the entry is about, and ``fields`` (EDGE_ANPR_<NAME>) beside its text."""
    known = MESSAGE_IDS.get(_OVER if over else code)
    named = {f"EDGE_ANPR_{name.upper()}": value for name, value in (fields or {}).items()}
    return {"journal_fields": {"EDGE_ANPR_EVENT": code, **named, **({"MESSAGE_ID": known} if known else {})}}
