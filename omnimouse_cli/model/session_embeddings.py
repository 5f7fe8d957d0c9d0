"""Parameters of one session: embedding and bias of each neuron, embedding of the session."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.config.model import ModelConfig, ResponseLoss
from omnimouse_cli.model.initialize import parameter


class SessionEmbeddings(nn.Module):
    """The parameters of a session, which one rank owns.

    Args:
        num_neurons: Neurons of the recording.
        d_embedding: Width of the embeddings.
        num_weights: Weights of a neuron in the linear models, which are not learned; 0 is none.
    """

    def __init__(self, num_neurons: int, d_embedding: int, num_weights: int = 0) -> None:
        super().__init__()
        self.neuron_embeddings = parameter(num_neurons, d_embedding)
        self.neuron_biases = nn.Parameter(torch.zeros(num_neurons, 1))
        self.session_embedding = parameter(d_embedding)
        # A parameter, so that it is sent and saved with the others; its learning rate is 0.
        if num_weights:
            self.neuron_weights = nn.Parameter(torch.zeros(num_neurons, num_weights))


def activate(drive: Tensor, *, response_loss: ResponseLoss, beta: float) -> Tensor:
    """Return the response to a drive: its Softplus for rates, itself otherwise."""
    if response_loss == "gaussian":
        return drive
    return functional.softplus(drive, beta=beta)


def inverse_activate(response: Tensor, *, response_loss: ResponseLoss, beta: float) -> Tensor:
    """Return the drive of a positive response, the inverse of `activate`."""
    if response_loss == "gaussian":
        return response
    scaled = response * beta
    return response + torch.log(-torch.expm1(-scaled)) / beta


@torch.no_grad()
def initialize_biases(
    embeddings: SessionEmbeddings,
    mean_responses: Tensor,
    *,
    config: ModelConfig,
    response_loss: ResponseLoss,
) -> None:
    """Set each neuron's bias so that a model without inputs predicts its mean response.

    Does nothing unless `decoder.start_at_mean` is set.

    Args:
        embeddings: Changed in place.
        mean_responses: float `(neurons,)`, in the units of a batch's responses.
        config: Configuration of the model.
        response_loss: Decides the non-linearity of responses.
    """
    if not config.decoder.start_at_mean:
        return
    drive = mean_responses.double()
    if response_loss != "gaussian":
        # A silent neuron's bias would be minus infinity.
        drive = drive.clamp(min=1e-3 / config.decoder.softplus_beta)
    beta = config.decoder.softplus_beta
    drive = inverse_activate(drive, response_loss=response_loss, beta=beta)
    embeddings.neuron_biases.copy_(drive[:, None])
