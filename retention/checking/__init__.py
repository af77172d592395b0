"""The parts of `countersight retention check`: each looks at one thing and only ever reads."""
