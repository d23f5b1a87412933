"""Branches are read as if they had been written, and every first word has one label."""

import numpy as np
import torch
from tiny_models import tiny_llama

from backtracking.organism.grammar import parse_sentence
