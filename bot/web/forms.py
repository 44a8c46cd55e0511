"""How our own forms are told from anybody else's, without a cookie: browsers inside chat apps block those."""

import hashlib
import json
from typing import Any

from flask import request
from itsdangerous import Signer

from bot.vault import Cover


class Forms:
    """Signs the forms of one kind of page, and hides what its last page says. For all threads and processes."""

    def __init__(self, key: bytes, name: str) -> None:
        """`name`: of the page; what was signed for one is worth nothing on another."""
        self._proofs = Signer(key, salt=f"{name} form", digest_method=hashlib.sha256)
        self._cover = Cover(key, f"{name} done")

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
        """An address for what the last page says: it leads to nothing else, and tells a browser's history nothing."""
        return self._cover.hide(json.dumps(said, ensure_ascii=False))

    def read(self, way: str) -> Any | None:
        """What the last page says; None for an address that is not ours."""
        said = self._cover.read(way)
        return json.loads(said) if said is not None else None
