"""The compressed model as a folder: its layers, how they are stored and loaded, and ONNX."""
