"""The front door: what a researcher imports from ``forward_stability``, and where it is at home."""

from forward_stability.attack import pgd_attack
from forward_stability.certificates import certify
from forward_stability.constraint import constrain
from forward_stability.errors import InputError
from forward_stability.flow import (
    Piecewise,
    ResNetDFlow,
    ResNetFlow,
    ResNetSFlow,
    forward_backward,
    time_grid,
)
from forward_stability.graph import fold
from forward_stability.growth import bound
from forward_stability.layers import ResidualD, ResidualS
from forward_stability.models import Network, project_
from forward_stability.prox import forward_backward_step
from forward_stability.radius import certified_radii, certifier
from forward_stability.reference import slow_solution
from forward_stability.spectral import conv_norm, conv_norm_bound, norm_ball
from forward_stability.worst_pair import find_worst_pair

__all__ = [
    "InputError",
    "Network",
    "Piecewise",
    "ResNetDFlow",
    "ResNetFlow",
    "ResNetSFlow",
    "ResidualD",
    "ResidualS",
    "bound",
    "certified_radii",
    "certifier",
    "certify",
    "constrain",
    "conv_norm",
    "conv_norm_bound",
    "find_worst_pair",
    "fold",
    "forward_backward",
    "forward_backward_step",
    "norm_ball",
    "pgd_attack",
    "project_",
    "slow_solution",
    "time_grid",
]
