"""The transformer: tokens, latents, video encoder, fusion, decoder, read-outs, losses."""
