"""A small note while kernels are compiled behind the page; it goes away by itself."""

from __future__ import annotations

from ... import kernels
from .component import component

# At the lower edge, so that nothing moves when it goes.
NOTE = """<p class="moe-compiling" role="status">First start on this computer: fast code is being
compiled, once, for about half a minute. All works meanwhile, but slower.</p><style>
.moe-compiling { position: fixed; left: 1rem; bottom: 1rem; z-index: 9; max-width: 22rem; margin: 0;
  padding: 0.5rem 0.75rem; border-radius: 0.5rem; font-size: 0.875rem; line-height: 1.4;
  color: #1b1f24; background: #fff3d6; border: 1px solid #b58100; pointer-events: none; }
[data-testid="stElementContainer"]:has(.moe-compiling) { position: absolute; width: 0; height: 0; }
@media print { .moe-compiling { display: none; } }
</style>"""
_note = component("compiling", __file__, NOTE, "compiling.js", on_page=True)


def compiling_note() -> None:
    """Show the note if kernels are being compiled now."""
    if kernels.standing_in():
        _note(key="compiling")
