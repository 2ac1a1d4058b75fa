"""What layers, models and trainings cost: parameters, operations, bytes, hours, money."""

from .feed_forward import FeedForward, expected_experts
from .hardware import GPUS, Gpu, find_gpu
from .model import MODELS, ModelConfig

__all__ = [
    "GPUS",
    "MODELS",
    "FeedForward",
    "Gpu",
    "ModelConfig",
    "expected_experts",
    "find_gpu",
]
