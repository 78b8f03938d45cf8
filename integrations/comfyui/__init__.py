"""Starts jobshim beside this ComfyUI. It adds no nodes: ComfyUI loads any folder that has these names."""

from .beside import start

NODE_CLASS_MAPPINGS = {}
NODE_DISPLAY_NAME_MAPPINGS = {}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]

start()
