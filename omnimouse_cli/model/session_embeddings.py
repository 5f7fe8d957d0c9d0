"""What belongs to one session: a vector and a bias per neuron, and a vector of the session."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.config.model import ModelConfig, ResponseLoss
from omnimouse_cli.model.initialize import parameter


class SessionEmbeddings(nn.Module):
    """The parameters of a session; one rank owns them.

    Args:
        num_neurons: Neurons of the recording.
        d_embedding: Width of the vectors.
    """

    def __init__(self, num_neurons: int, d_embedding: int) -> None:
        super().__init__()
        self.neuron_embeddings = parameter(num_neurons, d_embedding)
        self.neuron_biases = nn.Parameter(torch.zeros(num_neurons, 1))
        self.session_embedding = parameter(d_embedding)


def activate(drive: Tensor, *, response_loss: ResponseLoss, beta: float) -> Tensor:
    """Turn a read-out's drive into a response: Softplus for rates, itself otherwise."""
    if response_loss == "gaussian":
        return drive
    return functional.softplus(drive, beta=beta)


@torch.no_grad()
def start_at_mean(
    table: SessionEmbeddings,
    mean_responses: Tensor,
    *,
    config: ModelConfig,
    response_loss: ResponseLoss,
) -> None:
    """Start each neuron's bias where a model without inputs predicts its mean response.

    Nothing happens unless `decoder.start_at_mean` is set.

    Args:
        table: Changed in place.
        mean_responses: float `(neurons,)`, in the units of a batch's responses.
        config: Of the model.
        response_loss: Of the read-out.
    """
    if not config.decoder.start_at_mean:
        return
    drive = mean_responses.double()
    if response_loss == "poisson":
        beta = config.decoder.softplus_beta
        # A silent neuron's bias would be minus infinity.
        scaled = (drive * beta).clamp(min=1e-3)
        drive = (scaled + torch.log(-torch.expm1(-scaled))) / beta
    table.neuron_biases.copy_(drive[:, None])
