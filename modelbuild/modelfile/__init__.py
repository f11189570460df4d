"""The Modelfile: from TOML text to what the user wrote, with locations."""
