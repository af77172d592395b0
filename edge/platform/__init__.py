"""Speaking to the insurance platform, behind one port."""
