"""Seeds of random draws, derived from what is drawn, so that no generator state has to be saved."""

import hashlib
import json


def derive_seed(*parts: int | str) -> int:
    """Return the seed of one random draw.

    Args:
        parts: The run's seed, what is drawn, and for which step, batch or session.

    Returns:
        An integer of 63 bits, the same on every machine.

    Example:
        >>> derive_seed(42, "strategy", 7) == derive_seed(42, "strategy", 7)
        True
        >>> derive_seed(42, "strategy", 7) == derive_seed(42, "strategy", 8)
        False
    """
    digest = hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
