"""The process that looks at pictures: is a camera's view usable, and what does it show now."""
