"""One thread (tiny models are slower with two), no hub, and a cache folder that is nobody's."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["NO_COLOR"] = "1"

import torch

torch.set_num_threads(1)
