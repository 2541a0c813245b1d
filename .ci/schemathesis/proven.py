# Requests behind the check: signed by the holder of a capability, whatever they are, and often about things that are there, in CBOR of the
# right form. `pip install schemathesis cryptography`; ORIGIN is the host's. At the end it tells how often each operation was answered how.
import atexit
import collections
import hashlib
import os
import random
import time

import requests
import schemathesis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hooks import cbor as _  # the writer for bodies that are left as they come

ORIGIN = os.environ.get("ORIGIN", "http://127.0.0.1:8480")
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = KEY.public_key().public_bytes_raw()
dice = random.Random(7)


def head(major, n):
    for more, (most, length) in enumerate([(24, 0), (1 << 8, 1), (1 << 16, 2), (1 << 32, 4), (1 << 64, 8)]):
        if n < most:
            first = n if more == 0 else 23 + more
            return bytes([major << 5 | first]) + (n.to_bytes(length, "big") if more else b"")


def encode(value):
    match value:
        case None:
            return b"\xf6"
        case int():
            return head(0, value) if value >= 0 else head(1, -1 - value)
        case bytes():
            return head(2, len(value)) + value
        case str():
            return head(3, len(value)) + value.encode()
        case list():
            return head(4, len(value)) + b"".join(map(encode, value))
        case dict():
            rows = sorted((encode(key), encode(item)) for key, item in value.items())
            return head(5, len(rows)) + b"".join(key + item for key, item in rows)
        case (tag, item):
            return head(6, tag) + encode(item)


def sha256(data):
    return hashlib.sha256(data).digest()


# RFC 9679: over kty, crv and x
KID = sha256(encode({1: 1, -1: 6, -2: PUBLIC}))


def signed(claims, domain):
    protected = encode({1: -19, 4: KID})
    over = encode(["Signature1", protected, domain + b"\0", claims])
    return encode((18, [protected, {}, claims, KEY.sign(over)]))


def header_of(store, version):
    return encode(["deedbox-store", 1, store, 1, version, [[b"slot"]], bytes(32)])


class Store:
    """A store of ours, made when the one before was lost: removed, revoked or worked too hard."""

    def __init__(self):
        self.id, self.capability = os.urandom(16), os.urandom(16)
        self.heads = {}
        body = encode([self.id, self.header(1), self.capability, PUBLIC])
        answer = requests.post(f"{ORIGIN}/v1/stores", data=body, headers={"Content-Type": "application/cbor"}, timeout=30)
        assert answer.status_code == 201, answer.text
        # something to find
        for dataset in POOL[:2]:
            made, objects = self.head(dataset, 1, None), [[one, 1, 1, one * 9] for one in POOL]
            self.heads[dataset] = (1, sha256(made))
            self.send("POST", "commit", encode({1: [[dataset, None, 1, made, 0, objects, []]]}))
        self.send("PUT", "shares/1", encode(bytes(32)))
        self.send("PUT", f"blobs/{POOL[0].hex()}?seal=20", bytes(20), "bytes 0-19/*")
        self.send("POST", f"mail/{POOL[1].hex()}", encode([bytes(16), b"item"]))

    def send(self, method, what, body, told=None):
        kind = {"Content-Type": "application/octet-stream" if told else "application/cbor"}
        headers = kind | ({"Content-Range": told} if told else {})
        url = f"{ORIGIN}/v1/stores/{self.id.hex()}/{what}"
        answer = requests.request(method, url, data=body, headers=headers, auth=Proof(self.capability), timeout=30)
        assert answer.status_code == 204, (what, answer.text)

    def header(self, version):
        return header_of(self.id, version)

    def head(self, dataset, seq, prev):
        claims = {1: self.id, 2: dataset, 3: seq, 4: prev, 5: bytes(32), 6: 1, 7: 1, 8: bytes(32), 9: 1, 10: 1}
        return signed(encode(claims), b"deedbox/1 head")


store = None
# the heads of the commit under way
wrote = []
counts = collections.Counter()
# Small, so that requests meet what others wrote; the last is the notices' mailbox.
POOL = [bytes([n]) * 16 for n in (1, 2, 3, 0)]


def some(most):
    return dice.choice([0, 1, 2, most - 1, most, dice.randrange(most + 1)])


def part():
    dataset = dice.choice(POOL)
    seq, prev = store.heads.get(dataset, (0, None))
    mode = int(dice.random() < 0.2)
    new = seq + 1 if mode == 0 or dice.random() < 0.5 else some(1 << 63)
    if dice.random() < 0.1:
        new, prev = some(1 << 63), dice.choice([None, dice.randbytes(32)])
    made = store.head(dataset, new, prev)
    objects = [[dice.choice(POOL), new, dice.randrange(8), dice.randbytes(some(700))] for _ in range(dice.randrange(4))]
    objects = list({of[0]: of for of in objects}.values()) if dice.random() < 0.9 else objects
    removes = [dice.choice(POOL) for _ in range(dice.randrange(2))]
    return [dataset, prev, new, made, mode, objects, removes], (dataset, new, made)


def commit():
    parts = [part() for _ in range(dice.randrange(3))]
    body = {1: [written for written, _ in parts]}
    if dice.random() < 0.3:
        body[2] = [[dice.choice(POOL), dice.randbytes(16), dice.randbytes(some(300))]]
    if dice.random() < 0.1:
        version = dice.randrange(1, 4)
        body[3] = [version, store.header(version + dice.randrange(1, 3))]
    return body, [of for _, of in parts]


def capability():
    target = dice.choice([0, [1, dice.choice(POOL)], [2, dice.choice(POOL)]])
    right = [target, dice.randrange(129)] + ([[dice.choice(POOL)]] if dice.random() < 0.2 else [])
    made = {1: dice.choice(POOL), 2: PUBLIC, 3: store.id, 4: [right], 5: some(1 << 40), 6: some(1 << 63)}
    return made | ({7: dice.randbytes(16)} if dice.random() < 0.3 else {})


def create():
    made = os.urandom(16)
    return [made, header_of(made, some(1 << 63)), dice.randbytes(16), PUBLIC]


def purge():
    which, one = dice.choice([0, 0, 1, 2, 3, 4, 4, 5]), dice.choice(POOL)
    if which == 5 and dice.random() < 0.8:
        which = 4
    return [[0, one, [dice.choice(POOL)]], [1, one], [2, one], [3, one], [4], [5]][which]


BODIES = {
    "put_share": lambda: dice.randbytes(32),
    "objects": lambda: [dice.choice(POOL) for _ in range(some(6))],
    "push_mail": lambda: [dice.randbytes(16), dice.randbytes(some(500))],
    "put_capability": capability,
    "set_state": lambda: dice.randrange(4),
    "purge": purge,
    "create_store": create,
}


@schemathesis.hook
def before_call(ctx, case, kwargs):
    global store, wrote
    store, wrote = store or Store(), []
    operation = case.operation.definition.raw["operationId"]
    ids = case.path_parameters or {}
    for name in ids:
        if dice.random() < 0.9:
            one = store.id if name == "s" else dice.choice(POOL)
            if name == "c" and dice.random() < 0.1:
                one = store.capability
            if name == "a":
                # of all stores a name names one
                one = dice.choice([one, sha256(store.id + one)[:16]])
            ids[name] = str(dice.randrange(4)) if name == "epoch" else one.hex()
    if operation == "commit" and dice.random() < 0.8:
        body, wrote = commit()
        case.body = encode(body)
    elif operation in BODIES and dice.random() < 0.8:
        body = BODIES[operation]()
        case.body = encode(body)
        if operation == "put_capability":
            ids["c"] = body[1].hex()
    elif operation == "put_blob" and dice.random() < 0.8:
        first, case.body = dice.choice([0, 0, 1, 10]), dice.randbytes(dice.choice([1, 10, 1 << 20]))
        case.headers["Content-Range"] = f"bytes {first}-{first + len(case.body) - 1}/*"
        case.query.clear()
        if dice.random() < 0.5:
            case.query["seal"] = first + len(case.body)
    elif operation == "get_blob" and dice.random() < 0.8:
        case.headers["Range"] = dice.choice(["bytes=0-", "bytes=0-9", "bytes=5-1048580", f"bytes=9-{some(1 << 64)}"])
    if isinstance(case.body, bytes) and dice.random() < 0.1:
        # one bit, or the end
        at = dice.randrange(len(case.body) + 1)
        case.body = case.body[:at] + bytes(byte ^ 1 << dice.randrange(8) for byte in case.body[at : at + 1]) + case.body[at + 1 :]


@schemathesis.hook
def after_call(ctx, case, response):
    global store
    operation = case.operation.definition.raw["operationId"]
    counts[operation, response.status_code] += 1
    if response.status_code == 204:
        for dataset, seq, made in wrote:
            store.heads[dataset] = (seq, sha256(made))
    ours = store and store.id.hex() in response.request.url
    code = response.json().get("code") if response.status_code >= 400 and response.status_code != 409 and response.content else None
    if ours and code in ("Unauthenticated", "Revoked", "Paused", "NotYet", "Expired", "TooMany", "OverQuota"):
        store = None


class Proof(requests.auth.AuthBase):
    def __init__(self, capability=None):
        self.capability = capability

    def __call__(self, request):
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        name = {"GET": "Range", "PUT": "Content-Range"}.get(request.method, "")
        told = request.headers.get(name) or b""
        told = told.decode("latin-1") if isinstance(told, bytes) else told
        told = told.removeprefix("bytes=").removeprefix("bytes ").removesuffix("/*")
        over = b"\0".join([request.method.encode(), ORIGIN.encode(), request.path_url.encode(), b""])
        hashed = sha256(over + sha256(body) + told.encode("latin-1", "replace"))
        claims = encode({1: self.capability or store.capability, 2: hashed, 3: int(time.time())})
        request.headers["Authorization"] = "Deedbox " + signed(claims, b"deedbox/1 proof").hex()
        return request


schemathesis.auth.set_from_requests(Proof())


@atexit.register
def tell():
    for operation in sorted({operation for operation, _ in counts}):
        by_status = {status: n for (named, status), n in sorted(counts.items()) if named == operation}
        print(f"{operation}: " + ", ".join(f"{n} of {status}" for status, n in by_status.items()))
