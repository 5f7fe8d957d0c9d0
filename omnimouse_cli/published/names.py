"""Names of tensors in the published model and in ours, one to one."""

from collections.abc import Iterable, Mapping

from omnimouse_cli.config.model import ModelConfig

# Source of all names: published weights of OmniMouse (ICLR 2026, arXiv 2604.18827).
# torch.compile puts this before every name.
COMPILED_PREFIX = "_orig_mod."
SESSION_PREFIX = "sess_params."
# Ours is one tensor with a row for each animal.
ANIMALS = "identities.animals"
ANIMAL_PREFIX = "animal_params._animal_embeddings."

# Session embeddings: our name and the published one, without the session.
SESSION_TENSORS = {
    "neuron_embeddings": "_neuron_embeddings.weight",
    "neuron_biases": "_neuron_biases",
    "session_embedding": "_session_embedding",
}
# Tensors that follow from the configuration and are not weights.
BUFFERS = frozenset(
    {
        "behavior_timestamps",
        "exp_time_embedding.positional_embeddings",
        "response_latent_embedding._latent_ids",
        "response_latent_embedding._latent_timestamps",
        "response_latent_embedding._latent_window_sizes",
        "rotary_emb.inv_freq",
    }
)

_SINGLE = {
    "identities.of_neuron.weight": "neuron_to_model_proj.weight",
    "identities.of_neuron.bias": "neuron_to_model_proj.bias",
    "identities.of_session.weight": "sess_to_model_proj.weight",
    "identities.of_session.bias": "sess_to_model_proj.bias",
    "identities.of_animal.weight": "animal_to_model_proj.weight",
    "identities.of_animal.bias": "animal_to_model_proj.bias",
    "response_tokens.weight": "response_featx._feature_proj.weight",
    "response_tokens.bias": "response_featx._feature_proj.bias",
    "behavior.channels": "behavior_channel_embeddings",
    "behavior.project.weight": "behavior_featx.weight",
    "behavior.project.bias": "behavior_featx.bias",
    "behavior.readout": "behavior_readout_proj",
    "latents.vectors": "response_latent_embedding._latent_embeddings.weight",
    "latents.missing": "missing_modality_embeddings",
    "readout.project.weight": "response_readout_proj.weight",
    "experiment_time.weight": "exp_time_to_model_proj.weight",
    "experiment_time.bias": "exp_time_to_model_proj.bias",
    "video.position_in_space": "hiera.backbone.pos_embed_spatial",
    "video.position_in_time": "hiera.backbone.pos_embed_temporal",
    "video.patch.weight": "hiera.backbone.patch_embed.proj.weight",
    "video.patch.bias": "hiera.backbone.patch_embed.proj.bias",
    "video.project.weight": "hiera.feature_proj.weight",
    "video.project.bias": "hiera.feature_proj.bias",
}
# In both models the activation is applied to `up`. The rows of wkv are keys, then values; those of
# wqkv and qkv are queries, keys, values.
_FEED_FORWARD = {
    "attention_norm.weight": "attn_pre_norm.weight",
    "feed_forward_norm.weight": "ffn_pre_norm.weight",
    "feed_forward.up.weight": "feed_forward.up_proj.weight",
    "feed_forward.gate.weight": "feed_forward.gate_proj.weight",
    "feed_forward.down.weight": "feed_forward.down_proj.weight",
    "out.weight": "attention.wo.weight",
}
_CROSS = {
    **_FEED_FORWARD,
    "context_norm.weight": "attn_pre_norm_context.weight",
    "query.weight": "attention.wq.weight",
    "key_value.weight": "attention.wkv.weight",
}
_SELF = {**_FEED_FORWARD, "query_key_value.weight": "attention.wqkv.weight"}
_VIDEO = {
    "attention_norm.weight": "pre_norm1.weight",
    "feed_forward_norm.weight": "pre_norm2.weight",
    "attention.query_key_value.weight": "attn.qkv.weight",
    "attention.query_key_value.bias": "attn.qkv.bias",
    "attention.out.weight": "attn.proj.weight",
    "attention.out.bias": "attn.proj.bias",
    "feed_forward.up.weight": "mlp.up_proj.weight",
    "feed_forward.gate.weight": "mlp.gate_proj.weight",
    "feed_forward.down.weight": "mlp.down_proj.weight",
}
_POOLING = {**_VIDEO, "project.weight": "proj.weight", "project.bias": "proj.bias"}


def core_names(config: ModelConfig) -> dict[str, str]:
    """Return the published name of every tensor of the core by ours, without animal embeddings.

    Args:
        config: Configuration of the model; `layers` and `video.stages` are used.

    Example:
        >>> from omnimouse_cli.config.sizes import SIZES
        >>> core_names(SIZES["1M"])["fusion.1.query_key_value.weight"]
        'proc.1.attention.wqkv.weight'
    """
    names = dict(_SINGLE)
    names |= _prefixed("encoder", "enc", _CROSS)
    names |= _prefixed("decoder", "decs.0", _CROSS)
    for layer in range(config.layers):
        names |= _prefixed(f"fusion.{layer}", f"proc.{layer}", _SELF)
    pooling = {sum(config.video.stages[:stage]) for stage in range(1, len(config.video.stages))}
    for block in range(sum(config.video.stages)):
        names |= _prefixed(
            f"video.blocks.{block}",
            f"hiera.backbone.blocks.{block}",
            _POOLING if block in pooling else _VIDEO,
        )
    return names


def session_names(session: str) -> dict[str, str]:
    """Return the published name of every tensor of a session by ours.

    Example:
        >>> session_names("29228-2-10")["neuron_biases"]
        'sess_params.29228-2-10._neuron_biases'
    """
    return {ours: f"{SESSION_PREFIX}{session}.{theirs}" for ours, theirs in SESSION_TENSORS.items()}


def parse_session(name: str) -> str | None:
    """Return the session that a published name belongs to; None for a tensor of the core.

    Example:
        >>> parse_session("sess_params.29228-2-10._neuron_embeddings.weight")
        '29228-2-10'
    """
    if not name.startswith(SESSION_PREFIX):
        return None
    return name.removeprefix(SESSION_PREFIX).partition(".")[0]


def parse_animals(names: Iterable[str]) -> tuple[str, ...]:
    """Return the animals that have an embedding among published names, sorted."""
    return tuple(
        sorted(name.removeprefix(ANIMAL_PREFIX) for name in names if name.startswith(ANIMAL_PREFIX))
    )


def _prefixed(ours: str, theirs: str, names: Mapping[str, str]) -> dict[str, str]:
    return {f"{ours}.{name}": f"{theirs}.{other}" for name, other in names.items()}
