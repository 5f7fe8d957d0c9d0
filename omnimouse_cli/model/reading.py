"""How neurons read a state: filtered in time, weighed by what each one's vector says."""

from torch import Tensor
from torch.nn import functional

# B batch, T time steps of the state, A asked samples, G target neurons, N neurons, R rank


def read_filtered(
    filter_RAT: Tensor, state_BTR: Tensor, read_NR: Tensor, neurons_BG: Tensor
) -> Tensor:
    """Give what a state adds to the drive of asked neurons.

    Args:
        filter_RAT: From each time step to each asked sample, for each entry of the state.
        state_BTR: The state.
        read_NR: How much each neuron of the session reads of each entry.
        neurons_BG: Which neurons are asked for.

    Returns:
        `(batch, asked samples, targets)`.
    """
    filtered_RAB = filter_RAT @ state_BTR.permute(2, 1, 0)
    read_BGR = functional.embedding(neurons_BG, read_NR)
    return filtered_RAB.permute(2, 1, 0) @ read_BGR.transpose(1, 2)
