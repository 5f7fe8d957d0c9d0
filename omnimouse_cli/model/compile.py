"""Compiling the parts of the model in which its time goes."""

from omnimouse_cli.model.omnimouse import OmniMouse


def compile_blocks(model: OmniMouse) -> OmniMouse:
    """Compile every block in place, for sequences of any length.

    A strategy changes lengths, masks and which blocks run. Compiled as one, the model would be
    compiled anew for each of 120 strategies; its blocks are compiled a few times: with and without
    a mask, for lengths of one kind.

    Args:
        model: Its parameters, their names and its answers stay what they are.

    Returns:
        The same model.
    """
    for block in (model.encoder, model.decoder, *model.fusion, *model.video.blocks):
        block.compile(dynamic=True)
    return model
