"""What the responses of a recording are: said by the user, or concluded from the values."""

from omnimouse_cli.recording.recording import ResponseKind


def concluded_kind(*, said: ResponseKind | None, negative: bool) -> ResponseKind:
    """Give the kind that was said, else dF/F if there is any negative value, else rates."""
    if said is not None:
        return said
    return "dff" if negative else "rate"
