"""Records to Altair charts with alt text, one file per page; used by app, docs and exports.

Position is the expert and colour the quantity: no palette separates 64 experts. Every figure has
a second channel (text, shape or dash) beside colour.
"""
