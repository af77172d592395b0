"""The settlement gate: small pure rules, and the signed authorisation that they lead to."""
