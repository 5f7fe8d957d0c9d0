"""Writes checkpoints as the published code does, with random weights; names and shapes are facts.

Nothing here imports omnimouse: what the importer reads was not written by its own tables.
"""

import math
import random
from collections import OrderedDict, deque
from dataclasses import dataclass, field

import numpy as np
import torch

PREFIX = "_orig_mod."
RANKS = (
    {"20001-1-1": ("20001", 14), "300-2-1": ("300", 9)},
    {"300-4-7": ("300", 11)},
)


@dataclass(frozen=True, kw_only=True)
class Dimensions:
    """A small model whose head is 64 wide and whose video has the published 15,360 patches."""

    width: int = 128
    embedding: int = 32
    layers: int = 2
    video: int = 32
    stages: tuple[int, int] = (2, 2)
    grouped: int = 12
    whole: int = 8


PUBLISHED_1M = Dimensions(width=256, embedding=256, video=128, grouped=640, whole=256)


def hidden(width, multiplier=2.67):
    return math.ceil(multiplier * width / 128) * 128


def shared_shapes(dim, animals):
    """Section 3: what all sessions share."""
    d, e, v = dim.width, dim.embedding, dim.video
    shapes = {
        "behavior_channel_embeddings": (5, d),
        "missing_modality_embeddings": (3, d),
        "behavior_readout_proj": (5, 40, d),
        "response_latent_embedding._latent_embeddings.weight": (dim.grouped + dim.whole, d),
        "response_featx._feature_proj.weight": (d, 1, 10),
        "response_featx._feature_proj.bias": (d,),
        "response_readout_proj.weight": (5, d),
        "hiera.backbone.pos_embed_spatial": (1, 512, v),
        "hiera.backbone.pos_embed_temporal": (1, 30, v),
        "hiera.backbone.patch_embed.proj.weight": (v, 1, 6, 7, 7),
        "hiera.backbone.patch_embed.proj.bias": (v,),
        "hiera.feature_proj.weight": (d, 2 * v),
        "hiera.feature_proj.bias": (d,),
        "behavior_featx.weight": (d, 40),
        "behavior_featx.bias": (d,),
    }
    for name in ("sess", "neuron", "animal", "exp_time"):
        shapes |= {f"{name}_to_model_proj.weight": (d, e), f"{name}_to_model_proj.bias": (d,)}
    for block in range(sum(dim.stages)):
        shapes |= video_block(f"hiera.backbone.blocks.{block}.", dim, block)
    for name, wide in (("enc.", hidden(d)), ("decs.0.", hidden(d, 4.0))):
        shapes |= {
            f"{name}attn_pre_norm_context.weight": (d,),
            f"{name}attention.wq.weight": (d, d),
        }
        shapes |= {f"{name}attention.wkv.weight": (2 * d, d)} | common(name, d, wide)
    for layer in range(dim.layers):
        name = f"proc.{layer}."
        shapes |= {f"{name}attention.wqkv.weight": (3 * d, d)} | common(name, d, hidden(d))
    return shapes | {f"animal_params._animal_embeddings.{animal}": (e,) for animal in animals}


def common(name, d, wide):
    return {
        f"{name}attn_pre_norm.weight": (d,),
        f"{name}ffn_pre_norm.weight": (d,),
        f"{name}attention.wo.weight": (d, d),
        f"{name}feed_forward.gate_proj.weight": (wide, d),
        f"{name}feed_forward.up_proj.weight": (wide, d),
        f"{name}feed_forward.down_proj.weight": (d, wide),
    }


def video_block(name, dim, block):
    first = dim.stages[0]
    into = dim.video if block <= first else 2 * dim.video
    out = dim.video if block < first else 2 * dim.video
    shapes = {
        f"{name}pre_norm1.weight": (into,),
        f"{name}pre_norm2.weight": (out,),
        f"{name}attn.qkv.weight": (3 * out, into),
        f"{name}attn.qkv.bias": (3 * out,),
        f"{name}attn.proj.weight": (out, out),
        f"{name}attn.proj.bias": (out,),
        f"{name}mlp.gate_proj.weight": (hidden(out), out),
        f"{name}mlp.up_proj.weight": (hidden(out), out),
        f"{name}mlp.down_proj.weight": (out, hidden(out)),
    }
    if block == first:
        shapes |= {f"{name}proj.weight": (out, into), f"{name}proj.bias": (out,)}
    return shapes


def buffers(dim):
    times = torch.arange(6).repeat_interleave(dim.grouped) / 3
    ids = torch.cat([torch.arange(dim.grouped).repeat(6), dim.grouped + torch.arange(dim.whole)])
    latents = "response_latent_embedding."
    return {
        "behavior_timestamps": torch.zeros(5),
        "exp_time_embedding.positional_embeddings": torch.randn(180, dim.embedding),
        f"{latents}_latent_ids": ids,
        f"{latents}_latent_timestamps": torch.cat([times, torch.zeros(dim.whole)]),
        f"{latents}_latent_window_sizes": torch.full((len(ids),), 1 / 3),
        "rotary_emb.inv_freq": 2000 * math.pi * 2000.0 ** -(torch.arange(32).double() / 32),
    }


def random_tensor(name, shape, generator):
    """Weights that keep the size of what they read; norms near 1; biases that matter."""
    values = torch.randn(shape, generator=generator)
    if "norm" in name:
        return 1 + 0.2 * values
    if name.endswith(("bias", "_neuron_biases")):
        return 0.3 * values
    return values * math.prod(shape[1:] or shape) ** -0.5 * (1 if len(shape) > 1 else 3)


def session_shapes(key, neurons, dim):
    return {
        f"sess_params.{key}._session_embedding": (dim.embedding,),
        f"sess_params.{key}._neuron_embeddings.weight": (neurons, dim.embedding),
        f"sess_params.{key}._neuron_biases": (neurons, 1),
    }


def random_states():
    """What published files keep of generators: tensors, and tuples of NumPy's and Python's."""
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.zeros(16, dtype=torch.uint8),
        "cuda_all": [torch.zeros(16, dtype=torch.uint8)],
        "numpy": np.random.RandomState(3).get_state(),
        "python": random.Random(3).getstate(),
    }


def optimizer_state(tensors):
    moments = {i: {"step": torch.tensor(7.0), "exp_avg": t.clone()} for i, t in enumerate(tensors)}
    return {"state": moments, "param_groups": [{"lr": 7e-4, "betas": (0.9, 0.98), "params": [0]}]}


@dataclass
class Checkpoint:
    """The contents of the files, to be changed before they are written."""

    dim: Dimensions = field(default_factory=Dimensions)
    ranks: tuple = RANKS
    seed: int = 0
    files: list = field(default_factory=list)

    def __post_init__(self):
        generator = torch.Generator().manual_seed(self.seed)
        sessions = {key: (rank, *facts) for rank, own in enumerate(self.ranks)
                    for key, facts in own.items()}  # fmt: skip
        session_map = {
            key: {"n_neurons": neurons, "animal_id": animal, "on_rank": rank}
            for key, (rank, animal, neurons) in sessions.items()
        }
        animals = sorted({animal for _, animal, _ in sessions.values()})
        for rank, own in enumerate(self.ranks):
            shapes = shared_shapes(self.dim, animals) if rank == 0 else {}
            for key, (_, neurons) in own.items():
                shapes |= session_shapes(key, neurons, self.dim)
            state = {name: random_tensor(name, s, generator) for name, s in shapes.items()}
            state |= buffers(self.dim) if rank == 0 else {}
            self.files.append({
                "epoch": 3,
                "step": 20_000,
                "state_dict": OrderedDict((PREFIX + name, value) for name, value in state.items()),
                "rng_state": random_states(),
                "rank_optimizer_state_dict": optimizer_state(list(state.values())[-3:]),
                "session_map": session_map,
                "metrics": {"loss": np.float64(0.25), "kept": np.arange(3.0)},
                "loss_windows": {"total": deque([1.0, 2.0], maxlen=500)},
            })  # fmt: skip

    def tensor(self, name, rank=0):
        return self.files[rank]["state_dict"][PREFIX + name]

    def replace(self, name, value, rank=0):
        """Replace the value of a tensor; None removes it."""
        self.files[rank]["state_dict"].pop(PREFIX + name, None)
        if value is not None:
            self.files[rank]["state_dict"][PREFIX + name] = value

    def weights(self):
        """All tensors as float64 arrays, by their published names."""
        return {
            name.removeprefix(PREFIX): value.double().numpy()
            for content in self.files
            for name, value in content["state_dict"].items()
        }

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        for rank, content in enumerate(self.files):
            torch.save(content, folder / f"rank_{rank}.ckpt")
        return folder
