"""A dispensing session: append-only steps, folded into what may happen next."""
