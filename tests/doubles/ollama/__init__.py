"""Parts of the Ollama test server: what goes over the wire, the stored models, the loaded ones, and replies."""
