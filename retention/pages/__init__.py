"""What the pages of node and central share: look, language, assets, headers. No page itself."""
