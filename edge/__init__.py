"""The pharmacy node: records the scenes, verifies the person, gates the settlement, keeps proof."""
