"""What is kept, for how long, and how that is proven. The only package both sides use."""
