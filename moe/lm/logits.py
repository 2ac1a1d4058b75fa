"""Losses that look at all chances of a position, not at one target: their gradients, and back.

N rows, V kinds of tokens; logarithms are natural.
"""

from __future__ import annotations

import numpy as np

from .. import kernels
from .attention import Arrays
from .model import LanguageModel
from .passes import LMContext


def log_chances(logits_NV: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax of each row."""
    shifted_NV = logits_NV - logits_NV.max(axis=1, keepdims=True)
    return np.asarray(shifted_NV - np.log(np.exp(shifted_NV).sum(axis=1, keepdims=True)))


def entropy(logits_NV: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Entropy of each row, (N,), and its gradient at the logits: -p (log p + H)."""
    log_NV = log_chances(logits_NV)
    chance_NV = np.exp(log_NV)
    entropy_N = -(chance_NV * log_NV).sum(axis=1)
    return entropy_N, -chance_NV * (log_NV + entropy_N[:, None])


def divergence(
    teacher_NV: np.ndarray, student_NV: np.ndarray, temperature: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Forward Kullback-Leibler divergence of softened chances, and its gradient at the student.

    With p = softmax(teacher / T) and q = softmax(student / T) the loss is T^2 KL(p || q), whose
    gradient at the student's logits is T (q - p): the factor keeps it comparable to that of a
    loss without a temperature (arXiv 1503.02531, section 2).

    Returns
    -------
    loss_N, dstudent_NV
        Of each row, in nats.
    """
    scale = teacher_NV.dtype.type(1 / temperature)
    teacher_log_NV, student_log_NV = (log_chances(one * scale) for one in (teacher_NV, student_NV))
    teacher_chance_NV = np.exp(teacher_log_NV)
    loss_N = (teacher_chance_NV * (teacher_log_NV - student_log_NV)).sum(axis=1) * temperature**2
    slope_NV = (np.exp(student_log_NV) - teacher_chance_NV) * teacher_NV.dtype.type(temperature)
    return loss_N, slope_NV


def logits_backward(
    model: LanguageModel, dlogits_NV: np.ndarray, ctx: LMContext
) -> tuple[float, Arrays]:
    """The balancer's loss, and the gradient at every parameter, given that at the logits.

    Parameters
    ----------
    model
        The model that ran.
    dlogits_NV
        Gradient at the logits of each row, `model.output(ctx.h_ND)`.
    ctx
        From `model.forward`.
    """
    dlogits_NV = np.ascontiguousarray(dlogits_NV, model.dtype)
    dh_ND = kernels.matmul_nt(dlogits_NV, model.out_DV)
    return model.backward(dh_ND, kernels.matmul_tn(ctx.h_ND, dlogits_NV), ctx)
