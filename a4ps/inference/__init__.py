"""Engines that run language models, behind one port (`engine.Engine`)."""
