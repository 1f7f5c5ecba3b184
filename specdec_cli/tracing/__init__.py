"""Looks into a run step by step: inspection, traces and their replay."""
