"""What layers, models and trainings cost: parameters, operations, bytes, hours, money."""

from .checks import Check, check_models, check_numbers
from .decode import (
    Decoding,
    Demand,
    ExchangeBound,
    decode,
    decode_flops,
    demand,
    weight_bytes_read,
)
from .feed_forward import FeedForward, expected_experts
from .flops import Flops, flops_per_token
from .from_config import model_from_config
from .hardware import GPUS, Gpu, find_gpu
from .left_out import LEFT_OUT, LeftOut
from .memory import (
    TrainingMemory,
    TrainingState,
    activation_bytes_per_token,
    kv_cache_bytes,
    training_memory,
    weight_bytes,
)
from .model import ModelConfig
from .models import MODELS
from .params import CONVENTIONS, Params, count_params
from .serving import ServingDay
from .training import Assumption, Range, TrainingCost, TrainingResult

__all__ = [
    "CONVENTIONS",
    "GPUS",
    "LEFT_OUT",
    "MODELS",
    "Assumption",
    "Check",
    "Decoding",
    "Demand",
    "ExchangeBound",
    "FeedForward",
    "Flops",
    "Gpu",
    "LeftOut",
    "ModelConfig",
    "Params",
    "Range",
    "ServingDay",
    "TrainingCost",
    "TrainingMemory",
    "TrainingResult",
    "TrainingState",
    "activation_bytes_per_token",
    "check_models",
    "check_numbers",
    "count_params",
    "decode",
    "decode_flops",
    "demand",
    "expected_experts",
    "find_gpu",
    "flops_per_token",
    "kv_cache_bytes",
    "model_from_config",
    "training_memory",
    "weight_bytes",
    "weight_bytes_read",
]
