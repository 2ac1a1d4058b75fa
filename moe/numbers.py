"""Numbers as people read them, each way of writing them once."""

from __future__ import annotations


def digits(value: float, n: int = 2) -> str:
    """Return a number with n significant digits and no exponent: '1,200', '9.9', '0.12'."""
    rounded = float(f"{value:.{n}g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10 ** (n - 1) else f"{rounded:g}"


def short(value: float) -> str:
    """Return a large number of four digits with a letter: '671B', '14.8T', '2.664M', '70,272'."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def span_words(*values: float) -> str:
    """Return low, middle and high as 'low / middle / high', and what is the same only once."""
    return " / ".join(dict.fromkeys(map(short, values)))


def dollars(value: float, n: int = 2) -> str:
    """Return money with n significant digits: '$5.6M', or '$5.576M' with four of them."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if value >= size:
            return f"${digits(value / size, n)}{letter}"
    return f"${digits(value, n)}"


def count(value: float, n: int = 2) -> str:
    """Return a number with its size in words: '2.7 million', '93,000'."""
    for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{digits(value / size, n)} {name}"
    return digits(value, n)


def gigabytes(value: float) -> str:
    """Return '3.8 GB', '377 GB' from ten on, and '42 MB' below a tenth."""
    if 0 < value < 0.1:
        return f"{digits(1000 * value)} MB"
    return f"{value:,.0f} GB" if value >= 10 else f"{value:.1f} GB"


def percent(share: float) -> str:
    """Return a share with two significant digits if it is small: '2.5%', '12%'."""
    return f"{share:.1%}" if share < 0.095 else f"{share:.0%}"


def plural(n: int, noun: str) -> str:
    """Return a number of things: '1 token', '2,048 tokens', '3 batches'."""
    ending = "es" if noun.endswith("ch") else "s"
    return f"{n:,} {noun}{'' if n == 1 else ending}"
