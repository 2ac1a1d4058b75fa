"""What each symbol of a formula means, in one line below it.

Publications use the same letter for different things, and a page shows a method in the letters of
its publication. So a symbol has a meaning that most formulas share, or one for the formulas of
routers or of balancers, or one for a single method.
"""

from __future__ import annotations

import re
import unicodedata

# Names that need no explanation, and commands that set a formula and mean nothing.
PLAIN = {"min", "max", "ln", "exp", "sqrt", "sum"}
LAYOUT = {
    "begin", "end", "frac", "tfrac", "left", "right", "quad", "Big", "big", "phantom", "text",
    "in", "notin", "le", "ge", "ne", "cdot", "dots",
}  # fmt: skip

EVERYWHERE = {
    "softmax": "exponentials divided by their sum",
    "softplus": "ln(1 + exp(z)), which is never negative",
    "top": "the largest, as many as its index says",
    "argmax": "place of the largest",
    r"\sim": "drawn from",
    r"\#": "number of",
    r"\odot": "product entry by entry",
    r"\leftarrow": "becomes",
    r"\top": "transposed",
    r"\|": "length of a vector",
    "k": "experts per token",
}
ROUTERS = {
    "x": "vector of a token",
    "X": "vectors of all tokens, one in a row",
    "W": "weights of the gate, a column for each expert",
    r"\ell": "logits, one for each expert",
    "p": "probability of each expert",
    "s": "score of each expert",
    "b": "bias of each expert, which steers the choice and no weight",
    "T": "experts that are chosen",
    "w": "weight of an expert's result",
    "e": "an expert",
    "j": "one of the experts in a sum",
    "i": "first or second choice",
    "t": "a token",
    "N": "number of tokens",
    "E": "number of experts",
    "table": "experts of each token id, fixed before training",
    "f": "what an expert computes",
    r"\sigma": "sigmoid, 1 / (1 + exp(−z))",
    r"\gamma": "factor on all weights",
    "g": "share of one choice in both probabilities",
}
BALANCERS = {
    r"\mathcal L": "loss that is added to that of the task",
    "E": "number of experts",
    "T": "number of tokens in the batch",
    "t": "a token",
    "i": "an expert",
    "d": "a device",
    "D": "number of devices",
    r"\mathcal E": "experts on a device, in bars their number",
    "c": "number of choices that fell on an expert",
    r"\bar c": "mean of c over the experts",
    "p": "probability that the gate gives an expert for a token",
    "s": "score that the gate gives an expert for a token",
    "f": "share of an expert in the choices, as counted here",
    "P": "mean over the tokens of the probability that the gate gives an expert",
    "b": "bias of an expert's score, which steers the choice and no weight",
    r"\alpha": "strength of the loss",
    r"\beta": "strength of the loss",
    "sign": "−1, 0 or 1",
    "mean": "average over the experts",
}
_BEST_OF_OTHERS = "k-th largest of the noisy logits of the other experts"
OWN: dict[str, dict[str, str]] = {
    # Routers.
    "base": {"a": "expert of each token, all tokens in one assignment"},
    "deepseek_v2": {
        "G": "score of a device, that of its best expert",
        "d": "a device",
        "M": "devices that a token may reach",
    },
    "deepseek_v3": {
        r"\hat s": "score with the bias",
        "G": "score of a group",
        "g": "a group of experts",
        "M": "groups that a token may reach",
    },
    "dynmoe": {
        "g": "column of the gate, the direction of an expert",
        r"\theta": "threshold of an expert, learned",
    },
    "expert_choice": {
        "S": "score of each token and expert",
        "C": "tokens that an expert takes",
        "c": "mean number of experts per token",
        "T": "tokens that an expert takes, by their number",
    },
    "expert_threshold": {"c": "bar of each expert, a quantile of its past logits"},
    "gshard": {"u": "a random number", "U": "uniform distribution between two bounds"},
    "longcat": {"Z": "number of experts that return what they get"},
    "moe_pp": {
        r"\ell^{(j)}": "logits of layer j",
        r"\ell^{(j-1)}": "those of the layer before",
        "W_g": "learned matrix that mixes them",
        "FFN": "an ordinary expert",
        r"\alpha": "two learned weights of the constant expert",
        "v": "its learned vector",
    },
    "noisy_topk": {
        "h": "logits with noise",
        "W_g": "weights of the gate",
        "W_n": "weights for the size of the noise",
        r"\epsilon": "noise",
        r"\mathcal N": "normal distribution with its mean and variance",
    },
    "null_experts": {
        r"\ell": "logits, one for each expert of the pool",
        "v": "weights of the null expert, whose logit stands there M times",
        "N": "number of experts that compute, the first of the pool",
    },
    "sinkhorn": {
        r"\Pi": "plan that divides tokens evenly among experts",
        "d": "factors of the rows and of the columns, found in turns",
        "diag": "matrix with these numbers on its diagonal",
        r"\mathbf 1": "vector of ones",
    },
    "soft": {
        "L": "logits of each token and slot",
        "s": "scale, learned",
        r"\Phi": "vectors of the slots, one in a column",
        "D": "how much of each token is in a slot",
        "C": "how much of each slot a token gets",
        "f": "what the experts compute, each on its slots",
        "Y": "results of all tokens",
        r"\|": "length of each vector in a matrix",
    },
    "sparsemixer": {
        "C": "experts that compete with a choice",
        r"\epsilon": "half the relative distance at which one no longer competes",
    },
    "st_moe": {r"\theta": "share from which the second expert is always taken"},
    "switch": {
        r"\epsilon": "jitter while training",
        "j": "how far it goes",
        "U": "uniform distribution between two bounds",
    },
    "top_p": {
        "P": "share of the probability to reach",
        "t": "experts that a token gets",
        "i": "place of an expert in the order of p",
    },
    # Balancers.
    "bias": {
        "TopK": "the k largest",
        "u": "step of the bias",
    },
    "communication": {
        r"\alpha_3": "strength of the loss",
        "f''": "share of a device in what tokens were sent to, in fair shares",
        "P''": "sum of P over a device's experts",
        "M": "devices that a token may reach",
    },
    "cutoff_ema": {
        "c": "bar of an expert",
        r"\beta": "share of the past in the running mean",
        "q": "fair share of an expert, in tokens",
        r"\ell": "logit of an expert for a token",
    },
    "device": {
        r"\alpha_2": "strength of the loss",
        "f'": "mean load of a device's experts, in fair shares",
        "P'": "sum of P over a device's experts",
    },
    "importance_load": {
        "w_{imp}": "strength of the first part",
        "w_{load}": "strength of the second part",
        "CV": "coefficient of variation over the experts, spread over mean",
        "x": "vector of a token",
        "G": "weights of all experts for a token",
        "Load": "smooth count of an expert's tokens",
        r"\Phi": "distribution function of the normal distribution",
        "W_g": "weights of the gate",
        "W_n": "weights for the size of the noise",
        "H": "logits with noise",
        "kth": _BEST_OF_OTHERS,
    },
    "l1": {
        r"\lambda": "strength, which changes from batch to batch",
        "n": "number of the batch",
        "R": "what ReLU lets through, the weight of an expert for a token",
        r"\alpha": "factor by which the strength changes",
        "S^*": "share of zeros that is wanted",
        "S_n": "share of zeros in batch n",
    },
    "pi": {
        "e": "relative error of an expert's load",
        "clip": "the first, held between the other two",
        "I": "integral, the sum of past errors",
        "K_I": "gain of the integral",
        "K_P": "gain of the error itself",
        "L": "bound of the integral",
        r"\sigma": "spread of an expert's scores",
        "std": "standard deviation over the tokens",
    },
    "quantile": {
        r"\alpha": "bar that a token's chosen experts are above",
        "c": "how far above the bars the load may reach at which an expert is full",
        "q": "fair share of the choices, in tokens",
        r"\rho": "share of the step that is taken",
    },
    "simbal": {
        "W": "weights of the gate, a column for each expert",
        "I": "identity matrix",
        r"\|": "sum of the absolute values of a matrix's entries",
    },
    "simple_diverse": {
        r"\hat W": "gate with columns of length 1",
        "w": "column of the gate, the direction of an expert",
        r"\hat w": "the same with length 1",
        "I": "identity matrix",
        "F": "of a whole matrix, the root of the sum of all squares",
    },
    "smebu": {
        r"\Delta": "step before the mean over past ones",
        r"\lambda": "longest step of the bias",
        "tanh": "hyperbolic tangent, between −1 and 1",
        r"\kappa": "how soon a step is as long as it gets",
        "m": "running mean of an expert's steps",
        "j": "each of the experts",
        r"\beta": "share of the past in that mean",
    },
    "z": {r"\ell": "logit of an expert for a token"},
    "zero_computation": {
        r"\Delta": "change after a batch",
        r"\mu": "step of the bias",
        "K_e": "choices of a token that shall compute",
        "K": "choices of a token",
        "N": "number of experts that compute",
        "T": "tokens that an expert got",
        "T_{all}": "tokens of the batch",
    },
    "zero_weighted": {r"\eta": "price of an expert", r"\tau": "price of one that computes nothing"},
    # Scales of the auxiliary loss, by their names.
    "scale": {"f": "an expert's share of what is counted"},
}  # fmt: skip

_NAME = re.compile(r"\\(?:operatorname\*?|mathrm)\{([^}]*)\}")
_WORDS = re.compile(r"\\(?:text|begin|end)\{[^}]*\}")
_ACCENT = re.compile(r"\\(mathcal|mathbf|hat|bar)\s*(?:\{(\w)\}|(\w))")
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_LETTERS = re.compile(r"[A-Za-z]+'*")
_SAME = {r"\lVert": r"\|", r"\rVert": r"\|"}
_MARKS = {"hat": "\N{COMBINING CIRCUMFLEX ACCENT}", "bar": "\N{COMBINING MACRON}"}
_SCRIPT = {"L": "ℒ", "E": "ℰ", "N": "𝒩"}
_SIGNS = {
    r"\sim": "∼", r"\#": "#", r"\odot": "⊙", r"\leftarrow": "←", r"\top": "⊤", r"\|": "‖ ‖",
    r"\ell": "ℓ", r"\epsilon": "ϵ",
}  # fmt: skip


def line(latex: str, kind: dict[str, str], own: str = "") -> str:
    """Return what the symbols of a formula mean, as a line of Markdown.

    Parameters
    ----------
    kind
        Meanings in formulas of its kind: `ROUTERS` or `BALANCERS`.
    own
        Whose meanings go before them: a key of `OWN`, if it has any.

    Raises
    ------
    ValueError
        If a symbol has no meaning.
    """
    meanings = EVERYWHERE | kind | OWN.get(own, {})
    found = symbols_of(latex, meanings)
    unknown = [symbol for symbol in found if symbol not in meanings]
    if unknown:
        raise ValueError(f"formula {own}: got {unknown}, allowed are symbols with a meaning")
    return "; ".join(f"{shown(symbol)}: {meanings[symbol]}" for symbol in found) + "."


def symbols_of(latex: str, known: dict[str, str]) -> list[str]:
    """Return the symbols of a formula in their order, each once.

    Parameters
    ----------
    known
        Symbols that have a meaning: one with an index, such as `W_g`, counts as a whole only if
        it is among them.
    """
    whole = sorted((one for one in known if re.search(r"[_^]", one)), key=len, reverse=True)
    found: dict[str, None] = {}
    at = 0
    while at < len(latex):
        symbol, step = _next(latex[at:], whole)
        at += step
        if symbol and symbol.lstrip("\\") not in PLAIN | LAYOUT:
            found[_SAME.get(symbol, symbol)] = None
    return list(found)


def _next(rest: str, whole: list[str]) -> tuple[str, int]:
    """The symbol that a text begins with, if any, and how many letters it has."""
    for symbol in whole:
        if rest.startswith(symbol) and not rest[len(symbol) : len(symbol) + 1].isalpha():
            return symbol, len(symbol)
    if name := _NAME.match(rest):
        return name[1].replace(r"\,", ""), name.end()
    if words := _WORDS.match(rest):
        return "", words.end()
    if accent := _ACCENT.match(rest):
        return f"\\{accent[1]} {accent[2] or accent[3]}", accent.end()
    if command := _COMMAND.match(rest):
        return command[0], command.end()
    if rest.startswith((r"\#", r"\|")):
        return rest[:2], 2
    if rest.startswith("\\"):
        return "", 2
    if letters := _LETTERS.match(rest):
        return letters[0], letters.end()
    return "", 1


def shown(symbol: str) -> str:
    """Return a symbol as Markdown."""
    base, mark, index = re.fullmatch(r"(.+?)(?:([_^])(.+))?", symbol).groups()  # type: ignore[union-attr]
    accent = _ACCENT.fullmatch(base)
    if base in _SIGNS:
        text = _SIGNS[base]
    elif accent and accent[1] in _MARKS:
        text = f"*{unicodedata.normalize('NFC', accent[3] + _MARKS[accent[1]])}*"
    elif accent:
        text = _SCRIPT[accent[3]] if accent[1] == "mathcal" else f"**{accent[3]}**"
    elif base.startswith("\\"):
        text = _greek(base[1:])
    else:
        text = base if len(base.rstrip("'")) > 1 else f"*{base.replace(chr(39), '′')}*"
    if not mark:
        return text
    inside = index.strip("{}").replace("*", r"\*")
    return f"{text}<sub>{inside}</sub>" if mark == "_" else f"{text}<sup>{inside}</sup>"


def _greek(name: str) -> str:
    size = "CAPITAL" if name[0].isupper() else "SMALL"
    letter = {"lambda": "lamda"}.get(name.lower(), name)
    return f"*{unicodedata.lookup(f'GREEK {size} LETTER {letter.upper()}')}*"
