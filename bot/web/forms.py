"""How our own forms are told from anybody else's, without a cookie: browsers inside chat apps block those."""

import hashlib
from typing import Any

from flask import request
from itsdangerous import BadSignature, Signer, URLSafeSerializer


class Forms:
    """Signs the forms of one kind of page, and what its last page says. Safe to share between threads and processes."""

    def __init__(self, key: bytes, name: str) -> None:
        """`name`: of the page; what was signed for one is worth nothing on another."""
        self._proofs = Signer(key, salt=f"{name} form", digest_method=hashlib.sha256)
        kwargs = {"digest_method": hashlib.sha256}
        self._ways = URLSafeSerializer(key, salt=f"{name} done", signer_kwargs=kwargs)

    def proof(self, what: str) -> str:
        """What our own form for this carries."""
        return self._proofs.get_signature(what).decode("ascii")

    def is_ours(self, what: str, proof: str) -> bool:
        """Whether a form came from our own page for this; a browser that says it came from elsewhere is believed."""
        elsewhere = request.headers.get("Sec-Fetch-Site") == "cross-site"
        return not elsewhere and self.signed(what, proof)

    def signed(self, what: str, proof: str) -> bool:
        """Whether this is our own proof for this, wherever it comes from."""
        return self._proofs.verify_signature(what, proof)

    def way(self, said: Any) -> str:
        """An address for what the last page says, so that it says and leads to nothing else."""
        return str(self._ways.dumps(said))

    def read(self, way: str) -> Any | None:
        """What the last page says; None for an address that is not ours."""
        try:
            return self._ways.loads(way)
        except (BadSignature, ValueError):
            return None
