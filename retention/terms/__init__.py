"""What both sides are bound by: reasons, wire messages, signed commands."""
