"""How fast this machine is, measured, and what has to be compiled first."""
