"""The published model in plain NumPy, slow and in float64, written from the facts of section 2.

Nothing here imports omnimouse. Weights go by their published names; times are whole samples of
1/30 s until they are rotated by, so that touching intervals touch.
"""

from dataclasses import dataclass

import numpy as np

HEAD = 64


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One window, and what of it is seen and asked: a strategy with its counts resolved."""

    responses: np.ndarray
    neurons: np.ndarray
    behavior: np.ndarray
    features: np.ndarray
    num_visible: int
    num_targets: int
    prefix: tuple[int, int] | None
    everyone: int
    context: tuple[int, int] | None
    targets: tuple[int, int] | None
    frames: tuple[int, int] | None
    role: str


def rms(x, weight=1.0):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weight


def softmax(scores):
    weights = scores - scores.max(-1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= weights.sum(-1, keepdims=True)
    return weights


def swiglu(x, w, name):
    up = x @ w[f"{name}up_proj.weight"].T
    return (up / (1 + np.exp(-up)) * (x @ w[f"{name}gate_proj.weight"].T)) @ w[
        f"{name}down_proj.weight"
    ].T


def rotated(x, samples):
    frequency = 2 * np.pi * 1000 * 2000.0 ** (-np.arange(32) / 32)
    angle = samples[:, None] / 30 * frequency
    first, second, out = x[:, 0::2], x[:, 1::2], np.empty_like(x)
    out[:, 0::2] = first * np.cos(angle) - second * np.sin(angle)
    out[:, 1::2] = second * np.cos(angle) + first * np.sin(angle)
    return out


class Tokens:
    """A sequence: vectors, times, and the intervals that they span."""

    def __init__(self, width):
        self.x, self.time, self.start, self.end = np.empty((0, width)), [], [], []

    def add(self, x, time, start, end):
        self.x = np.concatenate([self.x, x])
        for values, value in ((self.time, time), (self.start, start), (self.end, end)):
            values.extend([value] * len(x))

    def sees(self, other):
        """A pair is visible unless the key ends before the query starts or starts after it."""
        start, end = np.array(self.start)[:, None], np.array(self.end)[:, None]
        return ~((np.array(other.end) <= start) | (np.array(other.start) >= end))


def attend(qkv, query, key, mask):
    q, k, v = qkv
    out = np.zeros_like(q)
    seen = np.ones((len(q), len(k)), bool) if mask is None else mask
    rows = seen.any(1)
    for h in range(0, q.shape[1], HEAD):
        part = slice(h, h + HEAD)
        turned_q = rotated(rms(q[:, part]), np.array(query.time))
        turned_k = rotated(rms(k[:, part]), np.array(key.time))
        scores = turned_q[rows] @ turned_k.T / np.sqrt(HEAD)
        scores[~seen[rows]] = -np.inf
        out[rows, part] = softmax(scores) @ v[:, part]
    return out


def cross(w, name, query, context):
    n = rms(context.x, w[f"{name}attn_pre_norm_context.weight"])
    k, v = np.split(n @ w[f"{name}attention.wkv.weight"].T, 2, axis=1)
    q = rms(query.x, w[f"{name}attn_pre_norm.weight"]) @ w[f"{name}attention.wq.weight"].T
    read = attend((q, k, v), query, context, query.sees(context))
    x = query.x + read @ w[f"{name}attention.wo.weight"].T
    return x + swiglu(rms(x, w[f"{name}ffn_pre_norm.weight"]), w, f"{name}feed_forward.")


def fuse(w, name, tokens, *, local):
    n = rms(tokens.x, w[f"{name}attn_pre_norm.weight"])
    q, k, v = np.split(n @ w[f"{name}attention.wqkv.weight"].T, 3, axis=1)
    read = attend((q, k, v), tokens, tokens, tokens.sees(tokens) if local else None)
    x = tokens.x + read @ w[f"{name}attention.wo.weight"].T
    return x + swiglu(rms(x, w[f"{name}ffn_pre_norm.weight"]), w, f"{name}feed_forward.")


def window_attention(w, name, n, pooled, window):
    """Section 2.4: windows are read one after the other and written back place by place."""
    width = w[f"{name}proj.weight"].shape[0]
    windows = len(n) // (pooled * window)
    out = np.empty((windows * window, width))
    for j in range(windows):
        rows = n[j * pooled * window : (j + 1) * pooled * window]
        q, k, v = np.split(rows @ w[f"{name}qkv.weight"].T + w[f"{name}qkv.bias"], 3, axis=1)
        if pooled > 1:
            q = np.stack([q[pooled * i : pooled * (i + 1)].max(0) for i in range(window)])
        heads = []
        for h in range(0, width, w["video_head"]):
            part = slice(h, h + w["video_head"])
            scores = rms(q[:, part]) @ rms(k[:, part]).T / np.sqrt(w["video_head"])
            heads.append(softmax(scores) @ v[:, part])
        for i, result in enumerate(np.concatenate(heads, axis=1)):
            out[i * windows + j] = result
    return out @ w[f"{name}proj.weight"].T + w[f"{name}proj.bias"]


def video_features(w, video):
    """Hiera: 60 frames to 3840 features, in the order time, row, column."""
    name = "hiera.backbone."
    kernel = w[f"{name}patch_embed.proj.weight"]
    w = {**w, "video_head": kernel.shape[0] // 2}
    padded = np.pad(video, ((2, 2), (1, 1), (3, 3)))
    x = np.zeros((30, 16, 32, kernel.shape[0])) + w[f"{name}patch_embed.proj.bias"]
    for t, y, z in np.ndindex(6, 7, 7):
        part = padded[t : t + 60 : 2, y : y + 32 : 2, z : z + 64 : 2][:30, :16, :32]
        x += part[..., None] * kernel[:, 0, t, y, z]
    x += w[f"{name}pos_embed_spatial"].reshape(1, 16, 32, -1)
    x += w[f"{name}pos_embed_temporal"].reshape(30, 1, 1, -1)
    x = np.stack([x[t, 2 * y + sy, 2 * z + sx] for sy, sx, t, y, z in np.ndindex(2, 2, 30, 8, 16)])
    window, block = 64, 0
    while f"{name}blocks.{block}.pre_norm1.weight" in w:
        here, pooled = f"{name}blocks.{block}.", 1
        n = rms(x, w[f"{here}pre_norm1.weight"])
        if f"{here}proj.weight" in w:
            window, pooled = 16, 4
            x = (n @ w[f"{here}proj.weight"].T + w[f"{here}proj.bias"]).reshape(4, len(n) // 4, -1)
            x = x.max(0)
        x = x + window_attention(w, f"{here}attn.", n, pooled, window)
        x = x + swiglu(rms(x, w[f"{here}pre_norm2.weight"]), w, f"{here}mlp.")
        block += 1
    return x @ w["hiera.feature_proj.weight"].T + w["hiera.feature_proj.bias"]


def identities(w, session, animal):
    """Of every neuron of the session, and of the recording."""
    own = f"sess_params.{session}."
    parts = {
        "neuron": w[f"{own}_neuron_embeddings.weight"],
        "sess": w[f"{own}_session_embedding"],
        "animal": w[f"animal_params._animal_embeddings.{animal}"],
    }
    neuron, sess, mouse = (
        vectors @ w[f"{name}_to_model_proj.weight"].T + w[f"{name}_to_model_proj.bias"]
        for name, vectors in parts.items()
    )
    return neuron + sess + mouse, sess + mouse


def context_tokens(w, seen, identity, meta):
    tokens = Tokens(len(meta))
    kernel, bias = (w[f"response_featx._feature_proj.{part}"] for part in ("weight", "bias"))
    pieces = []
    if seen.prefix is not None:
        border = seen.prefix[0] + seen.everyone
        pieces = [(seen.prefix[0], border, len(seen.neurons)), (border, seen.prefix[1], None)]
    for first, last, everyone in pieces:
        for start in range(first, last - 9, 5):
            trace = seen.responses[start : start + 10, : everyone or seen.num_visible]
            tokens.add(trace.T @ kernel[:, 0].T + bias + identity[: trace.shape[1]], start, start,
                       start + 10)  # fmt: skip
    if seen.role == "encoded":
        x = seen.behavior @ w["behavior_featx.weight"].T + w["behavior_featx.bias"]
        tokens.add(x + w["behavior_channel_embeddings"] + meta, 0, 0, 60)
    return tokens


def latent_tokens(w, seen, meta, grouped):
    missing = (seen.num_visible == 0, seen.frames is None, seen.role != "encoded")
    code = meta + sum(
        vector * absent
        for vector, absent in zip(w["missing_modality_embeddings"], missing, strict=True)
    )
    rows = w["response_latent_embedding._latent_embeddings.weight"]
    tokens = Tokens(len(meta))
    for k in range(6):
        if seen.context is not None and seen.context[0] <= 10 * k < seen.context[1]:
            tokens.add(rows[:grouped] + code, 10 * k, 10 * k, 10 * k + 10)
    tokens.add(rows[grouped:] + code, 0, 0, 60)
    return tokens


def add_video(tokens, features, frames):
    """Trim features to the frames that are seen; each one's time is its latest frame."""
    first, last = frames
    start = max(0, 2 + (first + 2 - 6) // 2) if first > 0 else 0
    end = 2 + (last + 2 - 6) // 2 if last < 60 else 30
    for i in range(start, end):
        latest = min(3 + 2 * i, 59)
        tokens.add(features[128 * i : 128 * (i + 1)], latest, latest, latest + 6)


def forward(w, seen, *, session, animal, grouped, pattern):
    """Return responses `(samples, targets)` and behavior `(5, 40)`, or None."""
    identity, meta = identities(w, session, animal)
    identity = identity[seen.neurons]
    context, tokens = context_tokens(w, seen, identity, meta), latent_tokens(w, seen, meta, grouped)
    if len(context.x):
        tokens.x = cross(w, "enc.", tokens, context)
    if seen.frames is not None:
        add_video(tokens, seen.features, seen.frames)
    for layer, kind in enumerate(pattern):
        tokens.x = fuse(w, f"proc.{layer}.", tokens, local=kind == "L")
    asked = slice(len(seen.neurons) - seen.num_targets, None)
    queries, starts = Tokens(len(meta)), range(*seen.targets, 5) if seen.targets else ()
    for start in starts:
        queries.add(identity[asked], start, start, start + 10)
    if seen.role == "reconstructed":
        queries.add(w["behavior_channel_embeddings"] + meta, 0, 0, 60)
    out = cross(w, "decs.0.", queries, tokens)
    responses = behavior = None
    if seen.role == "reconstructed":
        out, last = out[:-5], out[-5:]
        behavior = np.stack([w["behavior_readout_proj"][c] @ last[c] for c in range(5)])
    if seen.targets:
        drive = (out @ w["response_readout_proj.weight"].T).reshape(len(starts), -1, 5)
        drive = drive.transpose(0, 2, 1).reshape(5 * len(starts), -1)
        drive = drive + w[f"sess_params.{session}._neuron_biases"][seen.neurons[asked], 0]
        responses = 10 * np.log(1 + np.exp(0.1 * drive))
    return responses, behavior
