"""Tests, file by file as the package. Nothing in them may reach for the network."""

import os

# read by huggingface_hub and datasets when they are imported, which is after this
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
