"""How well the anomaly rules find what they should: python -m benchmarks.anomaly"""
